"""What the loop remembers of a target's retrains: attempts on an edge, and what became of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from aerocast.contracts.drift_state import Heat

if TYPE_CHECKING:
    from aerocast.feed.policies import Retraining

Outcome = Literal["running", "promoted", "refused", "failed", "helped"]
CONCLUSIVE: tuple[Outcome, ...] = ("promoted", "refused")
OWED = 4  # times `min_span` after a regime began, nobody tries any more to beat first aid


class LastRun(msgspec.Struct, frozen=True):
    """The newest retrain run of a target, by loop or person; `key` is that of the Action that started it, if any.

    `run_id` and `reason` are for people.
    """

    outcome: Outcome
    start: datetime
    end: datetime | None = None
    key: str = ""
    run_id: str = ""
    reason: str = ""

    @property
    def finish(self) -> datetime:
        """Its end, or its start as long as no end is known."""
        return self.end or self.start


class Attempt(msgspec.Struct, frozen=True):
    """The `number`th retrain on one edge; its outcome is `helped` once the target cooled after its promotion.

    `since` is where the regime of a first aid began.
    """

    key: str
    at: datetime
    number: int = 1
    outcome: Outcome = "running"
    ended: datetime | None = None
    since: datetime | None = None


class RetrainMemory(msgspec.Struct, frozen=True):
    """A target's retrain history, stored as JSON between two evaluations of the policy.

    `edge` and `since` name the edge acted on. `tries` and `failures` count what went without help, and what failed, in
    a row before the newest attempt. `challenger` is the last one that live evidence asked to promote; `aid` the newest
    first aid.
    """

    edge: int = 0
    since: datetime | None = None
    tries: int = 0
    failures: int = 0
    attempts: tuple[Attempt, ...] = ()
    challenger: str = ""
    aid: Attempt | None = None

    @property
    def newest(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def without_help(self) -> int:
        """Finished retrains in a row that have not cooled the target."""
        return self.tries + bool(self.newest and self.newest.outcome in CONCLUSIVE)

    @property
    def failure_count(self) -> int:
        """Training runs in a row that failed."""
        return self.failures + 1 if self.newest and self.newest.outcome == "failed" else 0

    def owed(self, limits: Retraining, now: datetime) -> datetime | None:
        """Where a regime began that first aid serves, and that no retrain has learned yet, for as long as one may."""
        aid = self.aid
        if aid is None or aid.outcome != "promoted" or aid.since is None or now > aid.since + OWED * limits.min_span:
            return None
        learned = any(each.at >= aid.at and each.outcome in ("promoted", "helped") for each in self.attempts)
        return None if learned else aid.since

    def acted_on(self, heat: Heat) -> bool:
        """Whether a retrain was started for the edge that made it hot."""
        return bool(self.attempts) and (self.edge, self.since) == (heat.edges, heat.since)


def note_run(memory: RetrainMemory, run: LastRun | None) -> RetrainMemory:
    """Adds the outcome of a run to the attempt that started it; any other run changes nothing."""
    if run is None or not run.key:
        return memory

    def update(attempt: Attempt) -> Attempt:
        if attempt.key != run.key or attempt.outcome == "helped":
            return attempt
        # The first look knows best when it ended: a clock may be set again afterwards.
        end = attempt.ended if attempt.ended and attempt.outcome == run.outcome else run.end
        return msgspec.structs.replace(attempt, outcome=run.outcome, ended=end)

    return _each(memory, update)


def clamp_to_now(memory: RetrainMemory, now: datetime) -> RetrainMemory:
    """Moves times that a clock noted when it was ahead back to now."""

    def clamped(attempt: Attempt) -> Attempt:
        ended = min(attempt.ended, now) if attempt.ended else None
        return msgspec.structs.replace(attempt, at=min(attempt.at, now), ended=ended)

    return _each(memory, clamped)


def fail_lost_run(memory: RetrainMemory, now: datetime) -> RetrainMemory:
    """Counts an attempt as failed whose run is neither under way nor known (deleted, never launched)."""

    def failed(attempt: Attempt) -> Attempt:
        is_lost = attempt.outcome == "running"
        return msgspec.structs.replace(attempt, outcome="failed", ended=now) if is_lost else attempt

    return _each(memory, failed)


def credit_promotion(memory: RetrainMemory) -> RetrainMemory:
    """Marks a promotion as helpful once the target is cool, or was meanwhile; refusals and failures stay."""
    newest = memory.newest
    if newest is None or newest.outcome != "promoted":
        return memory
    good = msgspec.structs.replace(newest, outcome="helped")
    return msgspec.structs.replace(memory, tries=0, failures=0, attempts=(*memory.attempts[:-1], good))


def _each(memory: RetrainMemory, change: Callable[[Attempt], Attempt]) -> RetrainMemory:
    """The memory with every attempt changed, first aid among them."""
    aid = change(memory.aid) if memory.aid else None
    return msgspec.structs.replace(memory, attempts=tuple(map(change, memory.attempts)), aid=aid)
