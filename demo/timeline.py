"""The timeline of a demonstration: each news once, with its real second, the feed's instant, and the evidence."""

import textwrap
import time
from datetime import datetime, timedelta

from aerocast.contracts.drift_state import Diagnosis, Evidence
from demo.watching import LoopFacts

WIDTH = 110
INDENT = 45


class Timeline:
    """Says what is new in the facts; `marks` are those that belong in the picture."""

    def __init__(self, unit: str, cadence: timedelta) -> None:
        self._started = time.monotonic()
        self._unit, self._cadence = unit, cadence
        self._history: set[tuple[str, ...]] = set()
        self._silent = False
        self.marks: list[tuple[datetime, str]] = []
        self.seconds: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Real seconds since the beginning."""
        return time.monotonic() - self._started

    def say(self, at: datetime | None, event: str, evidence: str = "", mark: str = "") -> None:
        """One event, at an instant of the feed; with a `mark` the picture shows it, too."""
        if self._silent:
            return
        clock_text = f"{at:%Y-%m-%d %H:%M}" if at else ""
        lines = textwrap.wrap(evidence, WIDTH - INDENT) or [""]
        print(f"{self.elapsed:6.1f} s  {clock_text:<16}  {event:<16}  {lines[0]}".rstrip(), flush=True)
        for line in lines[1:]:
            print(f"{'':<{INDENT}}{line}", flush=True)
        if at and mark:
            self.marks.append((at, mark))

    def news(self, facts: LoopFacts, *, silent: bool = False) -> None:
        """What the facts hold that was not told yet; `silent` takes it as told."""
        self._silent = silent
        self._examination(facts)
        self._retrains(facts)
        self._silent = False

    def _retrains(self, facts: LoopFacts) -> None:
        for run in facts.retrains:
            name, start = ("first aid",) * 2 if run.is_first_aid else ("retrain", "retrain started")
            if self._new("started", run.run_id):
                self.say(facts.now, start, f"retrain_reason: {run.reason}", name)
            if run.status in ("SUCCESS", "FAILURE", "CANCELED") and self._new("ended", run.run_id):
                self.say(facts.now, f"{name} ended", f"run {run.run_id[:8]} {run.status}")
        decision = facts.promotion
        if decision and self._new("decided", str(decision["verdict"]), str(decision["decided_at"])):
            event = "promoted" if decision["promoted"] else "refused"
            self.say(facts.now, event, str(decision["reason"]), event)
        if facts.served and self._new("served", facts.served):
            self.say(facts.now, "server answers", f"with {facts.served}")

    def _examination(self, facts: LoopFacts) -> None:
        diagnosis, heat = facts.diagnosis, facts.heat
        if diagnosis and self._new("judged", diagnosis.judged_at.isoformat()):
            self.say(diagnosis.judged_at, diagnosis.verdict.replace("_", " "), self._evidence(diagnosis))
        if heat.hot and self._new("hot", str(heat.edges)):
            since = f"cool -> hot, edge {heat.edges}"
            onset = f"; it seems to have begun {heat.onset:%Y-%m-%d %H:%M}" if heat.onset else ""
            self.say(heat.since or facts.now, "DRIFT DETECTED", since + onset, "drift detected")
        if heat.edges and not heat.hot and self._new("cool", str(heat.edges)):
            self.say(heat.since or facts.now, "cool again", f"after {heat.calm} calm examinations")

    def _evidence(self, diagnosis: Diagnosis) -> str:
        parts = [f"{diagnosis.outcomes} outcomes"]
        if diagnosis.rmse is not None:
            parts.append(f"RMSE {diagnosis.rmse:.2f} {self._unit}")
        if diagnosis.expected_rmse is not None:
            parts.append(f"{diagnosis.expected_rmse:.2f} expected")
        if diagnosis.coverage is not None:
            parts.append(f"intervals cover {diagnosis.coverage:.0%}")
        fired = [
            each.detail for each in sorted(diagnosis.evidence, key=_telling) if each.fired and diagnosis.verdict != "ok"
        ]
        return ", ".join(parts) + ("; " + "; ".join(fired[:2]) if fired else "")

    def _new(self, *what: str) -> bool:
        new = what not in self._history
        self._history.add(what)
        return new


def _telling(evidence: Evidence) -> bool:
    """What speaks of errors comes first: distributions shift in harmless weather, too."""
    return not evidence.test.startswith(("error", "foreseeable"))
