"""When the loop retrains: a pure policy over a target's heat and what was tried before.

It acts once on each edge cool -> hot, and again on the same edge only when a retrain failed or did not help and its
back-off has passed. Every instant is in the feed's time; nothing here reads a clock, a file or Dagster.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from aerocast.common.waits import backoff, pause_end
from aerocast.common.words import duration
from aerocast.contracts.drift_state import Heat, Shadow

if TYPE_CHECKING:
    from aerocast.feed.policies import Promotion, Retraining

Outcome = Literal["running", "promoted", "refused", "failed", "helped"]
FINISHED: tuple[Outcome, ...] = ("promoted", "refused")

FAILURE_SHARE = 4  # a failed run trained nothing: its first retry comes after this part of a cool-down
PAIRS = 50  # fewer live requests that both answered say nothing about a challenger
KEPT = 8  # attempts kept beyond those of the day, for whoever reads the memory


class LastRun(msgspec.Struct, frozen=True):
    """The newest retrain run of a target, whoever asked for it; `key` is that of the Action that started it, if any."""

    outcome: Outcome
    started: datetime
    ended: datetime | None = None
    key: str = ""


class Attempt(msgspec.Struct, frozen=True):
    """The `number`th retrain on one edge; its outcome is `helped` once the target cooled after its promotion."""

    key: str
    at: datetime
    number: int = 1
    outcome: Outcome = "running"
    ended: datetime | None = None


class RetrainMemory(msgspec.Struct, frozen=True):
    """What is remembered of one target, as JSON between two looks.

    `edge` and `since` name the edge acted on. `tries` and `failures` count what went without help, and what failed, in
    a row before the newest attempt. `challenger` is the last one that live evidence asked to promote.
    """

    edge: int = 0
    since: datetime | None = None
    tries: int = 0
    failures: int = 0
    attempts: tuple[Attempt, ...] = ()
    challenger: str = ""

    @property
    def newest(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def without_help(self) -> int:
        """Finished retrains in a row that have not cooled the target."""
        return self.tries + bool(self.newest and self.newest.outcome in FINISHED)

    @property
    def failed(self) -> int:
        """Training runs in a row that failed."""
        return self.failures + 1 if self.newest and self.newest.outcome == "failed" else 0

    def acted_on(self, heat: Heat) -> bool:
        """Whether a retrain was started for the edge that made it hot."""
        return bool(self.attempts) and (self.edge, self.since) == (heat.edges, heat.since)


class Action(msgspec.Struct, frozen=True):
    """What to do now. `reason` is a sentence for people, always; `key` names the run to start, once forever."""

    act: bool
    reason: str
    memory: RetrainMemory
    key: str = ""
    since: datetime | None = None


def decide(
    limits: Retraining, heat: Heat, memory: RetrainMemory, now: datetime, *, last: LastRun | None = None, hold: str = ""
) -> Action:
    """Whether drift starts a retrain of this target now, and what to remember.

    `last` is the newest retrain run, `hold` says that a person holds what serves, and since when.
    """
    memory = _corrected(note(memory, last), now)
    if last and last.outcome == "running":
        return Action(False, f"a retrain is under way since {show(last.started)}", memory)
    memory = _missed(memory, now)
    if not heat.hot or not memory.acted_on(heat):
        memory = _cooled(memory)
    if not heat.hot:
        return Action(False, _cool(heat), memory)
    waits = (hold, _silent(heat), _too_early(limits, heat, now), _resting(limits, memory, now, last))
    obstacle = next(filter(None, waits), "") or _spent(limits, memory, now)
    return Action(False, f"{_hot(heat)}, but {obstacle}", memory) if obstacle else _act(heat, memory, now)


def note(memory: RetrainMemory, run: LastRun | None) -> RetrainMemory:
    """The memory with the outcome of the run that one of its attempts started; any other run changes nothing."""
    if run is None or not run.key:
        return memory

    def told(attempt: Attempt) -> Attempt:
        if attempt.key != run.key or attempt.outcome == "helped":
            return attempt
        # The first look knows best when it ended: a clock may be set again afterwards.
        ended = attempt.ended if attempt.ended and attempt.outcome == run.outcome else run.ended
        return msgspec.structs.replace(attempt, outcome=run.outcome, ended=ended)

    return msgspec.structs.replace(memory, attempts=tuple(map(told, memory.attempts)))


def routine(
    limits: Retraining, made: datetime, now: datetime, *, last: LastRun | None = None, hold: str = ""
) -> tuple[bool, str]:
    """Whether a champion made then is due for its routine retrain now, and why (not); `hold` as in `decide`.

    A champion that a routine retrain did not beat is as good as a new one: it is asked again after another `max_age`.
    """
    if made <= now:
        due, state = now - made > limits.max_age, f"the champion is {duration(now - made)} old"
    else:
        due, state = True, f"the champion was made at {show(made)}, by a clock that was ahead"
    state += f", limit {duration(limits.max_age)}"
    if last and last.outcome == "running":
        return False, f"{state}; a retrain is under way since {show(last.started)}"
    if hold or not due:
        return False, f"{state}; {hold}" if hold else state
    if last:
        ended, failed = last.ended or last.started, last.outcome == "failed"
        until = pause_end(limits.cool_down if failed else limits.max_age, ended, now)
        if now < until:
            told = {"failed": "a retrain failed", "refused": "nothing better was found"}
            tried = told.get(last.outcome, "a newer release was made and is not the one that serves")
            return False, f"{state}; {tried} at {show(ended)}, next try at {show(until)}"
    return True, state


def unserved(
    limits: Retraining, tried: datetime | None, now: datetime, *, newer: bool, last: LastRun | None = None
) -> tuple[bool, str]:
    """Whether a target that nothing serves is due for another try, and why (not).

    The first models are made by themselves. Where none of them was good enough (at `tried`), rows that are `newer` are
    worth a try each cool-down: so a feed that began with little comes to its first champion.
    """
    if tried is None:
        return False, "nothing serves yet, so nothing is old"
    state = f"nothing serves yet: no model was good enough at {show(tried)}"
    if last and last.outcome == "running":
        return False, f"{state}; a retrain is under way since {show(last.started)}"
    if not newer:
        return False, f"{state}, and there are no newer rows"
    until = max(pause_end(limits.cool_down, at, now) for at in (tried, (last.ended or last.started) if last else tried))
    if now < until:
        return False, f"{state}; next try at {show(until)}"
    return True, f"{state}, and there are newer rows"


def unusable(
    limits: Retraining, why: str, now: datetime, *, last: LastRun | None = None, hold: str = ""
) -> tuple[bool, str]:
    """Whether a champion that cannot answer any more is due to be replaced, and why (not); see `routine`."""
    state = f"what serves cannot be used: {why}"
    if last and last.outcome == "running":
        return False, f"{state}; a retrain is under way since {show(last.started)}"
    if hold:
        return False, f"{state}; {hold}"
    until = pause_end(limits.cool_down, last.ended or last.started, now) if last else now
    return (False, f"{state}; next try at {show(until)}") if now < until else (True, state)


def promising(limits: Promotion, shadow: Shadow) -> bool:
    """Whether live requests alone prove that the challenger is better than the champion."""
    proven = shadow.p_value is not None and shadow.p_value <= limits.max_p
    return proven and shadow.gain > 0 and shadow.pairs >= PAIRS


def helped(limits: Retraining, heat: Heat, retrained: datetime | None, now: datetime) -> tuple[bool, str]:
    """Whether the newest decision on a champion, made then, has to be called useless now: (it has not, a sentence)."""
    if not heat.hot:
        return True, _cool(heat)
    if retrained is None or (heat.since and retrained < heat.since):
        return True, f"{_hot(heat)}; no retrain was finished since"
    until = retrained + limits.settle
    if now < until:
        return True, f"{_hot(heat)}; the decision of {show(retrained)} has until {show(until)} to show"
    return False, f"{_hot(heat)}: the decision of {show(retrained)} has not helped in {duration(now - retrained)}"


def show(at: datetime) -> str:
    """An instant for people, to the minute."""
    return f"{at:%Y-%m-%d %H:%M}"


def _act(heat: Heat, memory: RetrainMemory, now: datetime) -> Action:
    number = 1 + memory.newest.number if memory.newest and memory.acted_on(heat) else 1
    # Nothing of the present in it: a look that is repeated after a crash asks for the same run, not for a second one.
    key = f"{heat.target}/{heat.edges}@{heat.since.isoformat() if heat.since else ''}#{number}"
    held = [each for each in memory.attempts[:-KEPT] if each.at.date() == now.date()]
    started = RetrainMemory(
        edge=heat.edges,
        since=heat.since,
        tries=memory.without_help,
        failures=memory.failed,
        attempts=(*held, *memory.attempts[-KEPT:], Attempt(key, now, number)),
        challenger=memory.challenger,
    )
    again = f", try {number} on this edge" if number > 1 else ""
    begun = f"; the new regime began {show(heat.onset)}" if heat.onset else ""
    since = heat.onset or heat.since
    # No regime begins in the future: a clock was ahead when it was found.
    return Action(
        True, f"{_hot(heat)}{begun}: retraining{again}", started, key, since if since and since <= now else None
    )


def _corrected(memory: RetrainMemory, now: datetime) -> RetrainMemory:
    """What a clock that was ahead has noted happened by now at the latest."""
    attempts = tuple(
        msgspec.structs.replace(each, at=min(each.at, now), ended=min(each.ended, now) if each.ended else None)
        for each in memory.attempts
    )
    return msgspec.structs.replace(memory, attempts=attempts)


def _missed(memory: RetrainMemory, now: datetime) -> RetrainMemory:
    """An attempt whose run is neither under way nor known (deleted, never launched) counts as failed."""
    newest = memory.newest
    if newest is None or newest.outcome != "running":
        return memory
    lost = msgspec.structs.replace(newest, outcome="failed", ended=now)
    return msgspec.structs.replace(memory, attempts=(*memory.attempts[:-1], lost))


def _cooled(memory: RetrainMemory) -> RetrainMemory:
    """Cool, or cooled in between: a promotion has helped. What was refused or failed is not forgotten by that."""
    newest = memory.newest
    if newest is None or newest.outcome != "promoted":
        return memory
    good = msgspec.structs.replace(newest, outcome="helped")
    return msgspec.structs.replace(memory, tries=0, failures=0, attempts=(*memory.attempts[:-1], good))


def _silent(heat: Heat) -> str:
    """A broken sensor, silence or the first calm keeps a target hot, but teaches nothing."""
    return "" if heat.spoke else "the newest examination does not speak for drift: waiting for the next"


def _too_early(limits: Retraining, heat: Heat, now: datetime) -> str:
    begun = heat.onset or heat.since
    if begun is None or now >= (until := pause_end(limits.min_span, begun, now)):
        return ""
    return f"waiting until {show(until)}: {duration(limits.min_span)} of the new regime are needed to learn from"


def _resting(limits: Retraining, memory: RetrainMemory, now: datetime, last: LastRun | None) -> str:
    """Cool-down, the time a promotion has to show, and the back-off of what failed or did not help."""
    newest = memory.newest
    mine = newest is not None and (last is None or last.key == newest.key)
    if last and not mine and last.outcome != "failed":
        until = pause_end(limits.cool_down, last.ended or last.started, now)
        if now < until:
            return f"waiting until {show(until)}: cool-down of {duration(limits.cool_down)} since the last retrain"
    if newest is None:
        return ""
    ended = newest.ended or newest.at
    if newest.outcome == "failed":
        until = ended + backoff(limits.cool_down / FAILURE_SHARE, memory.failed - 1)
        why = f"the training run of {show(newest.at)} failed ({memory.failed} in a row), back-off"
    elif newest.outcome == "helped":
        until, why = ended + limits.cool_down, f"cool-down of {duration(limits.cool_down)} since the last retrain"
    else:
        until, why = _unhelpful(limits, memory, newest.outcome, ended, now)
    return f"waiting until {show(until)}: {why}" if now < until else ""


def _unhelpful(
    limits: Retraining, memory: RetrainMemory, outcome: Outcome, ended: datetime, now: datetime
) -> tuple[datetime, str]:
    until = ended + backoff(limits.cool_down, memory.without_help)
    if outcome == "promoted":
        until = max(until, ended + limits.settle)
        if now < ended + limits.settle:
            return until, f"the release of {show(ended)} has until {show(ended + limits.settle)} to show"
        return until, f"the release of {show(ended)} did not help ({memory.without_help} in a row), back-off"
    return until, f"the challenger of {show(ended)} was refused ({memory.without_help} in a row), back-off"


def _spent(limits: Retraining, memory: RetrainMemory, now: datetime) -> str:
    used = sum(attempt.at.date() == now.date() for attempt in memory.attempts)
    if used < limits.daily_budget:
        return ""
    return f"the daily budget of {limits.daily_budget} is spent ({used} on {now:%Y-%m-%d})"


def _hot(heat: Heat) -> str:
    since = f" since {show(heat.since)}" if heat.since else ""
    return f"hot{since} (edge {heat.edges})"


def _cool(heat: Heat) -> str:
    since = f" since {show(heat.since)}" if heat.since else ""
    warm = f", {heat.warm} examinations in a row spoke for drift" if heat.warm else ""
    return f"cool{since}{warm}: nothing to do"
