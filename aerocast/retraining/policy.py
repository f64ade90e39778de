"""Decides when a target is retrained: a pure policy over its heat and the attempts before.

It acts once on each edge cool -> hot, and again on the same edge only when a retrain failed or did not help and its
back-off has passed. Every instant is in the feed's time; nothing here reads a clock, a file or Dagster.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from aerocast.common.waits import backoff, pause_end
from aerocast.common.words import duration
from aerocast.contracts.drift_state import Heat, Shadow
from aerocast.retraining.memory import (
    Attempt,
    LastRun,
    Outcome,
    RetrainMemory,
    clamp_to_now,
    credit_promotion,
    fail_lost_run,
    note_run,
)

if TYPE_CHECKING:
    from aerocast.feed.policies import Promotion, Retraining

FAILURE_SHARE = 4  # a failed run trained nothing: its first retry comes after this part of a cool-down
WORTH = 0.05  # share of the loss that must be saved to give up what was learned last
DAILY_LOOKS = 10  # times smaller must a p-value be that has a chance each day
PAIRS = 50  # fewer live requests that both answered say nothing about a challenger
AID_SHARE, AID_AGAIN = 4, 1.5  # of `min_span` there is a first aid at the earliest, and the next when it has grown so
OLDER_ATTEMPTS = 8  # attempts remembered beyond those of the day, for people who read the memory


class Action(msgspec.Struct, frozen=True):
    """What to do now. `reason` is a sentence for people, always; `key` names the run to start, once forever.

    With `first_aid` what serves is reweighted for the regime that began `since`, and nothing is trained.
    """

    act: bool
    reason: str
    memory: RetrainMemory
    key: str = ""
    since: datetime | None = None
    first_aid: bool = False


def decide(
    limits: Retraining, heat: Heat, memory: RetrainMemory, now: datetime, *, last: LastRun | None = None, hold: str = ""
) -> Action:
    """Whether drift starts a retrain of this target now, and what to remember.

    `last` is the newest retrain run, `hold` says that a person holds what serves, and since when.
    """
    memory = clamp_to_now(note_run(memory, last), now)
    if run := _under_way(last):
        return Action(False, run, memory)
    memory = fail_lost_run(memory, now)
    if not heat.hot or not memory.acted_on(heat):
        memory = credit_promotion(memory)
    owed = memory.owed(limits, now)
    if not heat.hot and not owed:
        return Action(False, _cool(heat), memory)
    silence = "" if heat.spoke or owed else "the newest examination shows no drift: waiting for the next"
    early = _too_early(limits, owed or heat.onset or heat.since, now)
    settles = last and last.outcome == "promoted" and now < pause_end(limits.settle, last.finish, now)
    if early and not (owed or hold or silence or settles) and (aid := _first_aid(limits, heat, memory, now)):
        return aid
    waits = (hold, silence, early, _back_off(limits, memory, now, last))
    obstacle = next(filter(None, waits), "") or _budget_spent(limits, memory, now)
    return (
        Action(False, f"{_state(heat)}, but {obstacle}", memory)
        if obstacle
        else _start_retrain(heat, memory, now, owed)
    )


def routine_due(
    limits: Retraining, created_at: datetime, now: datetime, *, last: LastRun | None = None, hold: str = ""
) -> tuple[bool, str]:
    """Whether a champion of that age is due for its routine retrain now, and why (not); `hold` as in `decide`.

    A champion that a routine retrain did not beat is as good as a new one: the next try comes after another `max_age`.
    """
    if created_at <= now:
        due, state = now - created_at > limits.max_age, f"the champion is {duration(now - created_at)} old"
    else:
        due, state = True, f"the champion was made at {minute_text(created_at)}, by a clock that was ahead"
    state += f", limit {duration(limits.max_age)}"
    if run := _under_way(last):
        return False, f"{state}; {run}"
    if hold or not due:
        return False, f"{state}; {hold}" if hold else state
    if last:
        until = pause_end(limits.cool_down if last.outcome == "failed" else limits.max_age, last.finish, now)
        if now < until:
            causes = {"failed": "a retrain failed", "refused": "nothing better was found"}
            cause = causes.get(last.outcome, "a newer release was made and is not the one that serves")
            return False, f"{state}; {cause} at {minute_text(last.finish)}, next try at {minute_text(until)}"
    return True, state


def first_champion_due(
    limits: Retraining, refused_at: datetime | None, now: datetime, *, newer: bool, last: LastRun | None = None
) -> tuple[bool, str]:
    """Whether a target that nothing serves is due for another try, and why (not).

    The first models are trained without a retrain. Where none of them was good enough (at `refused_at`), rows that are
    `newer` are worth a try each cool-down: so a feed that began with few rows gets its first champion.
    """
    if refused_at is None:
        return False, "nothing serves yet, so nothing is old"
    state = f"nothing serves yet: no model was good enough at {minute_text(refused_at)}"
    if run := _under_way(last):
        return False, f"{state}; {run}"
    if not newer:
        return False, f"{state}, and there are no newer rows"
    until = max(pause_end(limits.cool_down, at, now) for at in (refused_at, last.finish if last else refused_at))
    if now < until:
        return False, f"{state}; next try at {minute_text(until)}"
    return True, f"{state}, and there are newer rows"


def replacement_due(
    limits: Retraining, why: str, now: datetime, *, last: LastRun | None = None, hold: str = ""
) -> tuple[bool, str]:
    """Whether a champion that cannot answer any more is due to be replaced, and why (not); see `routine_due`."""
    state = f"what serves cannot be used: {why}"
    if run := _under_way(last):
        return False, f"{state}; {run}"
    if hold:
        return False, f"{state}; {hold}"
    until = pause_end(limits.cool_down, last.finish, now) if last else now
    return (False, f"{state}; next try at {minute_text(until)}") if now < until else (True, state)


def has_proof(limits: Promotion, shadow: Shadow) -> bool:
    """Whether live outcomes alone prove that the challenger is better than the champion."""
    # There is always something that was judged, and it is looked at each day: chance must not withdraw what serves.
    max_p, least = (limits.max_p / DAILY_LOOKS, WORTH) if shadow.as_judged else (limits.max_p, 0.0)
    is_significant = shadow.p_value is not None and shadow.p_value <= max_p
    return is_significant and shadow.gain > least and shadow.pairs >= PAIRS


def has_helped(limits: Retraining, heat: Heat, decided_at: datetime | None, now: datetime) -> tuple[bool, str]:
    """False once the newest decision on a champion had its time and the target is still hot; with the reason."""
    if not heat.hot:
        return True, _cool(heat)
    if decided_at is None or (heat.since and decided_at < heat.since):
        return True, f"{_hot(heat)}; no retrain was finished since"
    until = decided_at + limits.settle
    if now < until:
        return True, f"{_hot(heat)}; the decision of {minute_text(decided_at)} has until {minute_text(until)} to show"
    return (
        False,
        f"{_hot(heat)}: the decision of {minute_text(decided_at)} has not helped in {duration(now - decided_at)}",
    )


def minute_text(at: datetime) -> str:
    """An instant for people, to the minute."""
    return f"{at:%Y-%m-%d %H:%M}"


def _under_way(last: LastRun | None) -> str:
    """A sentence on the run that has not finished; empty if there is none."""
    running = last is not None and last.outcome == "running"
    return f"a retrain is under way since {minute_text(last.start)}" if last and running else ""


def _start_retrain(heat: Heat, memory: RetrainMemory, now: datetime, owed: datetime | None) -> Action:
    number = 1 + memory.newest.number if memory.newest and memory.acted_on(heat) else 1
    # It holds nothing of the present: an evaluation repeated after a crash asks for the same run, not for a second one.
    key = f"{_edge(heat)}{number}"
    today = [each for each in memory.attempts[:-OLDER_ATTEMPTS] if each.at.date() == now.date()]
    memory_after = RetrainMemory(
        edge=heat.edges,
        since=heat.since,
        tries=memory.without_help,
        failures=memory.failure_count,
        attempts=(*today, *memory.attempts[-OLDER_ATTEMPTS:], Attempt(key, now, number)),
        challenger=memory.challenger,
        aid=memory.aid,
    )
    again = f", try {number} on this edge" if number > 1 else ""
    onset = owed or heat.onset
    text = f"; the new regime began {minute_text(onset)}" if onset else ""
    since = onset or heat.since
    # No regime begins in the future: such an onset comes from a clock that was ahead.
    return Action(
        True, f"{_state(heat)}{text}: retraining{again}", memory_after, key, since if since and since <= now else None
    )


def _first_aid(limits: Retraining, heat: Heat, memory: RetrainMemory, now: datetime) -> Action | None:
    """Reweights what serves while the regime is too short for a retrain; again when it is half as long again."""
    onset = heat.onset or heat.since
    if onset is None or memory.acted_on(heat) or not limits.daily_budget:
        return None
    edge = _edge(heat)
    before = memory.aid if memory.aid and memory.aid.key.startswith(edge) else None
    least = AID_AGAIN * (before.at - onset) if before else limits.min_span / AID_SHARE
    if now - onset < least:
        return None
    number = before.number + 1 if before else 1
    attempt = Attempt(f"{edge}aid-{number}", now, number, since=min(onset, now))
    reason = f"{_hot(heat)}; the new regime began {minute_text(onset)}: first aid, until there is enough to retrain"
    memory_after = msgspec.structs.replace(memory, aid=attempt)
    return Action(True, reason, memory_after, attempt.key, attempt.since, first_aid=True)


def _edge(heat: Heat) -> str:
    """What the keys of all attempts on one edge begin with."""
    return f"{heat.target}/{heat.edges}@{heat.since.isoformat() if heat.since else ''}#"


def _too_early(limits: Retraining, onset: datetime | None, now: datetime) -> str:
    if onset is None or now >= (until := pause_end(limits.min_span, onset, now)):
        return ""
    return f"waiting until {minute_text(until)}: {duration(limits.min_span)} of the new regime are needed to learn from"


def _back_off(limits: Retraining, memory: RetrainMemory, now: datetime, last: LastRun | None) -> str:
    """Cool-down, the time a promotion has to show, and the back-off of what failed or did not help."""
    newest = memory.newest
    mine = newest is not None and (last is None or last.key == newest.key)
    if last and memory.aid and last.key == memory.aid.key:
        until = pause_end(limits.settle, last.finish, now)
        if last.outcome == "promoted" and now < until:
            return f"waiting until {minute_text(until)}: first aid of {minute_text(last.finish)} has until then to show"
    elif last and not mine and last.outcome != "failed":
        until = pause_end(limits.cool_down, last.finish, now)
        if now < until:
            return (
                f"waiting until {minute_text(until)}: cool-down of {duration(limits.cool_down)} since the last retrain"
            )
    if newest is None:
        return ""
    end = newest.ended or newest.at
    if newest.outcome == "failed":
        until = end + backoff(limits.cool_down / FAILURE_SHARE, memory.failure_count - 1)
        why = f"the training run of {minute_text(newest.at)} failed ({memory.failure_count} in a row), back-off"
    elif newest.outcome == "helped":
        until, why = end + limits.cool_down, f"cool-down of {duration(limits.cool_down)} since the last retrain"
    else:
        until, why = _unhelpful_until(limits, memory, newest.outcome, end, now)
    return f"waiting until {minute_text(until)}: {why}" if now < until else ""


def _unhelpful_until(
    limits: Retraining, memory: RetrainMemory, outcome: Outcome, end: datetime, now: datetime
) -> tuple[datetime, str]:
    until = end + backoff(limits.cool_down, memory.without_help)
    if outcome == "promoted":
        until = max(until, end + limits.settle)
        if now < end + limits.settle:
            return until, f"the release of {minute_text(end)} has until {minute_text(end + limits.settle)} to show"
        return until, f"the release of {minute_text(end)} did not help ({memory.without_help} in a row), back-off"
    return until, f"the challenger of {minute_text(end)} was refused ({memory.without_help} in a row), back-off"


def _budget_spent(limits: Retraining, memory: RetrainMemory, now: datetime) -> str:
    count = sum(attempt.at.date() == now.date() for attempt in memory.attempts)
    if count < limits.daily_budget:
        return ""
    return f"the daily budget of {limits.daily_budget} is spent ({count} on {now:%Y-%m-%d})"


def _hot(heat: Heat) -> str:
    since = f" since {minute_text(heat.since)}" if heat.since else ""
    return f"hot{since} (edge {heat.edges})"


def _state(heat: Heat) -> str:
    return _hot(heat) if heat.hot else "cool, by first aid"


def _cool(heat: Heat) -> str:
    since = f" since {minute_text(heat.since)}" if heat.since else ""
    warm = f", {heat.warm} examinations in a row showed drift" if heat.warm else ""
    return f"cool{since}{warm}: nothing to do"
