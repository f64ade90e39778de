"""The policy of the loop: when drift retrains, when it waits, and that it never does too much of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.contracts.drift_state import Heat, Shadow
from aerocast.feed.policies import Promotion, Retraining
from aerocast.retraining.memory import LastRun, RetrainMemory, note_run
from aerocast.retraining.policy import (
    OLDER_ATTEMPTS,
    PAIRS,
    Action,
    decide,
    first_champion_due,
    has_helped,
    has_proof,
    routine_due,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
T0 = datetime(2024, 3, 1, tzinfo=UTC)
LIMITS = Retraining(
    max_age=30 * DAY, cool_down=6 * HOUR, daily_budget=2, min_span=3 * DAY, settle=2 * DAY
)  # fmt: skip


def hot(edge: int = 1, since: datetime = T0, onset: datetime | None = T0 - DAY) -> Heat:
    return Heat("temperature", hot=True, edges=edge, warm=2, since=since, onset=onset)


def cool(edge: int = 0, since: datetime | None = None) -> Heat:
    return Heat("temperature", hot=False, edges=edge, since=since)


def ran(action: Action, outcome: Any, ended: datetime) -> LastRun:
    """The run that an action started, as the instance tells of it."""
    assert action.memory.newest is not None
    return LastRun(outcome, action.memory.newest.at, ended if outcome != "running" else None, action.key)


def first(at: datetime = T0 + 3 * DAY, limits: Retraining = LIMITS) -> Action:
    action = decide(limits, hot(), RetrainMemory(), at)
    assert action.act
    return action


def test_cool_target_waits_and_says_so() -> None:
    action = decide(LIMITS, cool(), RetrainMemory(), T0)
    assert not action.act
    assert "cool" in action.reason
    assert action.memory == RetrainMemory()


def test_new_regime_must_reach_minimum_span() -> None:
    early = decide(LIMITS, hot(onset=T0), RetrainMemory(), T0 + 17 * HOUR)
    assert not early.act
    assert "waiting until 2024-03-04 00:00: 3 days of the new regime" in early.reason
    late = decide(LIMITS, hot(), early.memory, T0 + 2 * DAY)
    assert late.act
    assert not late.first_aid
    assert late.since == T0 - DAY, "candidates learn from where the regime began"


def aided(outcome: Any = "promoted") -> tuple[Action, LastRun]:
    """First aid a day after a regime began at T0, and its run."""
    action = decide(LIMITS, hot(onset=T0), RetrainMemory(), T0 + DAY)
    assert action.memory.aid is not None
    return action, LastRun(outcome, T0 + DAY, T0 + DAY + HOUR, action.key)


def test_short_regime_gets_first_aid_that_no_retrain_counts() -> None:
    action, done = aided("refused")
    assert (action.act, action.first_aid, action.since) == (True, True, T0)
    assert "first aid, until there is enough to retrain" in action.reason
    assert action.memory.attempts == ()
    again = decide(LIMITS, hot(onset=T0), action.memory, T0 + 1.5 * DAY - HOUR, last=done)
    assert not again.act
    assert "3 days of the new regime" in again.reason
    second = decide(LIMITS, hot(onset=T0), again.memory, T0 + 1.5 * DAY, last=done)
    assert second.first_aid, "the regime is half as long again"
    assert second.key != action.key
    failed = LastRun("failed", T0 + 1.5 * DAY, T0 + 1.5 * DAY, second.key)
    late = decide(LIMITS, hot(onset=T0), second.memory, T0 + 3 * DAY, last=failed)
    assert (late.act, late.first_aid) == (True, False)


@pytest.mark.parametrize("heat", [hot(onset=T0), cool(1, T0 + 2 * DAY), hot(2, T0 + 2.5 * DAY, T0 + 2 * DAY)])
def test_regime_with_first_aid_is_learned_once_it_is_long_enough(heat: Heat) -> None:
    action, done = aided()
    before = decide(LIMITS, heat, action.memory, T0 + 3 * DAY - HOUR, last=done)
    assert not before.act
    after = decide(LIMITS, heat, before.memory, T0 + 3 * DAY + HOUR, last=done)
    assert (after.act, after.first_aid) == (True, False), "what first aid cooled has not been learned"
    assert after.since == T0
    calm = cool(heat.edges, T0 + 4 * DAY)
    refused = ran(after, "refused", T0 + 3 * DAY + 2 * HOUR)
    assert decide(LIMITS, calm, after.memory, T0 + 9 * DAY, last=refused).act, "again, with more of the regime"
    late = decide(LIMITS, calm, after.memory, T0 + 13 * DAY, last=refused)
    assert not late.act, "nothing beats first aid"
    learned = decide(LIMITS, calm, after.memory, T0 + 9 * DAY, last=ran(after, "promoted", T0 + 3 * DAY + 2 * HOUR))
    assert not learned.act
    assert "nothing to do" in learned.reason


def test_first_aid_has_its_settle_time_and_a_budget_of_zero_forbids_it() -> None:
    action, done = aided()
    late = msgspec.structs.replace(done, end=T0 + 2.5 * DAY)
    before = decide(LIMITS, hot(onset=T0), action.memory, T0 + 3 * DAY, last=late)
    assert not before.act
    assert "first aid of 2024-03-03 12:00 has until then to show" in before.reason
    assert decide(LIMITS, hot(onset=T0), before.memory, T0 + 4.5 * DAY, last=late).act
    fresh = LastRun("promoted", T0 - DAY, T0 - HOUR, "learned before")
    assert not decide(LIMITS, hot(onset=T0), RetrainMemory(), T0 + DAY, last=fresh).act, "it has its settle time, too"
    none = LIMITS.model_copy(update={"daily_budget": 0})
    assert not decide(none, hot(onset=T0), RetrainMemory(), T0 + DAY).act
    assert not decide(LIMITS, hot(onset=T0), RetrainMemory(), T0 + DAY, hold="0001 stays").act


def test_sensor_fault_or_missing_verdicts_delay_retrain() -> None:
    silent = msgspec.structs.replace(hot(), spoke=False)
    waiting = decide(LIMITS, silent, RetrainMemory(), T0 + 9 * DAY)
    assert not waiting.act
    assert "shows no drift" in waiting.reason
    assert decide(LIMITS, hot(), waiting.memory, T0 + 9 * DAY).act, "the edge is not used up by waiting"


def test_retrain_starts_on_edge_and_not_on_heat() -> None:
    action = first()
    now = T0 + 3 * DAY + HOUR
    under_way = decide(LIMITS, hot(), action.memory, now, last=ran(action, "running", now))
    assert not under_way.act
    assert "under way" in under_way.reason
    settling = decide(LIMITS, hot(), under_way.memory, now + HOUR, last=ran(action, "promoted", now))
    assert not settling.act
    assert "has until" in settling.reason


def test_cooling_promotion_helps_and_next_edge_waits_for_cool_down_only() -> None:
    action = first()
    done = ran(action, "promoted", T0 + 3 * DAY + HOUR)
    calm = decide(LIMITS, cool(1, T0 + 4 * DAY), action.memory, T0 + 4 * DAY, last=done)
    assert not calm.act
    assert calm.memory.without_help == 0
    at = T0 + 3 * DAY + 5 * HOUR
    again = decide(LIMITS, hot(2, at, T0), calm.memory, at, last=done)
    assert not again.act
    assert "cool-down of 6 hours" in again.reason
    assert decide(LIMITS, hot(2, at, T0), again.memory, done.finish + 6 * HOUR, last=done).act


@pytest.mark.parametrize(("outcome", "word"), [("promoted", "did not help"), ("refused", "was refused")])
def test_useless_retrain_doubles_back_off(outcome: str, word: str) -> None:
    limits = LIMITS.model_copy(update={"settle": HOUR, "daily_budget": 99})
    action, now = first(limits=limits), T0 + 3 * DAY
    for tries in (1, 2, 3):
        ended = now + HOUR
        last, wait = ran(action, outcome, ended), limits.cool_down * 2**tries
        before = decide(limits, hot(), action.memory, ended + wait - timedelta(seconds=1), last=last)
        assert not before.act
        assert word in before.reason
        assert f"{tries} in a row" in before.reason
        now = ended + wait
        action = decide(limits, hot(), before.memory, now, last=last)
        assert action.act
        assert f"try {tries + 1}" in action.reason


def test_failed_training_is_retried_sooner_with_growing_pauses() -> None:
    limits = LIMITS.model_copy(update={"daily_budget": 99})
    action, now = first(limits=limits), T0 + 3 * DAY
    for wait in (1.5 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR):
        last = ran(action, "failed", now)
        before = decide(limits, hot(), action.memory, now + wait - timedelta(seconds=1), last=last)
        assert not before.act
        assert "failed" in before.reason
        assert before.memory.without_help == 0
        now += wait
        action = decide(limits, hot(), before.memory, now, last=last)
        assert action.act


def test_run_retried_by_dagster_with_success_is_no_failure() -> None:
    action, now = first(), T0 + 3 * DAY
    failed = decide(LIMITS, hot(), action.memory, now + HOUR, last=ran(action, "failed", now + HOUR))
    assert failed.memory.failure_count == 1
    saved = decide(LIMITS, hot(), failed.memory, now + 2 * HOUR, last=ran(action, "promoted", now + 2 * HOUR))
    assert saved.memory.failure_count == 0
    assert not saved.act
    assert "has until" in saved.reason


def test_vanished_run_counts_as_failed() -> None:
    action, now = first(), T0 + 3 * DAY
    lost = decide(LIMITS, hot(), action.memory, now + HOUR)
    assert not lost.act
    assert "failed" in lost.reason
    assert decide(LIMITS, hot(), lost.memory, now + 3 * HOUR).act


def test_budget_counts_by_day_of_feed() -> None:
    limits = LIMITS.model_copy(update={"daily_budget": 1})
    action, now = first(limits=limits), T0 + 3 * DAY
    last = ran(action, "failed", now)
    spent = decide(limits, hot(), action.memory, now + 23 * HOUR, last=last)
    assert not spent.act
    assert "daily budget of 1 is spent (1 on 2024-03-04)" in spent.reason
    assert decide(limits, hot(), spent.memory, now + DAY, last=last).act


def test_foreign_retrain_is_awaited_and_cools_down() -> None:
    other = LastRun("running", T0 + 3 * DAY)
    assert not decide(LIMITS, hot(), RetrainMemory(), T0 + 3 * DAY, last=other).act
    done = LastRun("refused", T0 + 3 * DAY, T0 + 3 * DAY + HOUR)
    waits = decide(LIMITS, hot(), RetrainMemory(), T0 + 3 * DAY + 6 * HOUR, last=done)
    assert not waits.act
    assert "cool-down" in waits.reason
    assert decide(LIMITS, hot(), RetrainMemory(), T0 + 3 * DAY + 7 * HOUR, last=done).act


def test_lost_drift_state_gives_new_edge() -> None:
    action, now = first(), T0 + 3 * DAY
    done = ran(action, "promoted", now)
    later = now + 7 * HOUR
    assert not decide(LIMITS, hot(1), action.memory, later, last=done).act, "the same edge has to settle first"
    assert decide(LIMITS, hot(1, later - HOUR), action.memory, later, last=done).act


def test_promotion_has_its_settle_time_with_short_back_off() -> None:
    limits = LIMITS.model_copy(update={"cool_down": timedelta(0), "daily_budget": 99})
    action, now = first(limits=limits), T0 + 3 * DAY
    assert not decide(limits, hot(), action.memory, now + 47 * HOUR, last=ran(action, "promoted", now)).act
    assert decide(limits, hot(), action.memory, now + 48 * HOUR, last=ran(action, "promoted", now)).act
    assert decide(limits, hot(), action.memory, now, last=ran(action, "refused", now)).act


def test_new_edge_proves_help_after_unseen_cool_time() -> None:
    action, now = first(), T0 + 3 * DAY
    slept = decide(LIMITS, hot(2, now + 5 * HOUR), action.memory, now + 6 * HOUR, last=ran(action, "promoted", now))
    assert slept.act, "a cool-down, not a back-off"
    assert slept.memory.tries == 0


def test_help_resets_earlier_back_off() -> None:
    action, now = first(), T0 + 3 * DAY
    again = decide(LIMITS, hot(), action.memory, now + 12 * HOUR, last=ran(action, "refused", now))
    assert again.memory.tries == 1
    done = ran(again, "promoted", now + 12 * HOUR)
    calm = decide(LIMITS, cool(1, now + DAY), again.memory, now + DAY, last=done)
    assert (calm.memory.tries, calm.memory.failures, calm.memory.without_help) == (0, 0, 0)
    assert note_run(calm.memory, done) == calm.memory, "and it stays a help"


def test_first_observed_end_of_run_counts() -> None:
    action, now = first(), T0 + 3 * DAY
    seen = note_run(action.memory, ran(action, "refused", now + HOUR))
    assert note_run(seen, ran(action, "refused", now + 9 * HOUR)) == seen


def test_large_budget_is_counted_to_its_end() -> None:
    budget = 3 * OLDER_ATTEMPTS
    limits = LIMITS.model_copy(update={"cool_down": timedelta(0), "daily_budget": budget})
    action, now = first(limits=limits), T0 + 3 * DAY
    for number in range(2, budget + 1):
        now += timedelta(minutes=1)
        action = decide(limits, hot(), action.memory, now, last=ran(action, "failed", now))
        assert action.act, number
    last = ran(action, "failed", now)
    assert not decide(limits, hot(), action.memory, now + HOUR, last=last).act


def test_same_decision_has_same_run_key_and_retry_another() -> None:
    limits = LIMITS.model_copy(update={"daily_budget": 99})
    now, keys = T0 + 3 * DAY, []
    action = first(limits=limits)
    assert decide(limits, hot(), RetrainMemory(), now + HOUR).key == action.key, "a crash before the cursor was kept"
    for _ in range(3 * OLDER_ATTEMPTS):
        keys.append(action.key)
        now += 200 * DAY
        action = decide(limits, hot(), action.memory, now, last=ran(action, "failed", now - 199 * DAY))
    assert len(set(keys)) == 3 * OLDER_ATTEMPTS
    assert len(action.memory.attempts) == OLDER_ATTEMPTS + 1, "what is remembered does not grow forever"


@pytest.mark.parametrize(
    ("pairs", "gain", "p", "good"),
    [
        (PAIRS, 0.1, 0.05, True),
        (PAIRS - 1, 0.1, 0.01, False),
        (PAIRS, 0.0, 0.01, False),
        (PAIRS, 0.1, 0.06, False),
        (PAIRS, 0.1, None, False),
    ],
)
def test_live_evidence_must_be_decisive(pairs: int, gain: float, p: float | None, good: bool) -> None:
    assert has_proof(Promotion(max_p=0.05), Shadow("temperature", "b", "a", pairs, gain, p)) is good


def test_note_changes_only_its_own_run() -> None:
    action = first()
    assert note_run(action.memory, None) == action.memory
    assert note_run(action.memory, LastRun("failed", T0, T0, "another")) == action.memory
    assert note_run(action.memory, LastRun("failed", T0, T0)) == action.memory


Step = tuple[int, str, str]
STEPS = st.lists(
    st.tuples(
        st.integers(1, 40 * 60),  # minutes that pass
        st.sampled_from(["stay", "stay", "flip"]),
        st.sampled_from(["running", "promoted", "refused", "failed", "lost"]),
    ),
    max_size=120,
)
ANY_LIMITS = st.builds(
    Retraining,
    cool_down=st.timedeltas(timedelta(0), 2 * DAY),
    daily_budget=st.integers(0, 4),
    min_span=st.timedeltas(timedelta(0), 3 * DAY),
    settle=st.timedeltas(timedelta(0), 2 * DAY),
)


@given(ANY_LIMITS, STEPS)
def test_limits_hold_for_any_history(limits: Retraining, steps: list[Step]) -> None:
    heat, memory, now = cool(), RetrainMemory(), T0
    last: LastRun | None = None
    acts: list[tuple[datetime, int]] = []
    finished: list[datetime] = []
    on_edge: list[str] = []  # outcomes of the attempts on the present edge
    for minutes, flip, outcome in steps:
        now += timedelta(minutes=minutes)
        if flip == "flip" and heat.hot:
            heat = cool(heat.edges, now)
        elif flip == "flip":
            heat, on_edge = hot(heat.edges + 1, now, now - HOUR), []
        if last and last.outcome == "running" and outcome != "running":
            is_aid = "aid" in last.key
            last = None if outcome == "lost" else LastRun(outcome, last.start, now, last.key)
            if is_aid:
                continue
            on_edge = [*on_edge[:-1], outcome] if on_edge else []  # a run of an older edge is none of this one's
            if outcome in ("promoted", "refused"):
                finished.append(now)
        busy = last is not None and last.outcome == "running"
        action = decide(limits, heat, memory, now, last=last)
        owed = note_run(memory, last).owed(limits, now)
        assert action.reason
        assert msgspec.json.decode(msgspec.json.encode(action), type=Action) == action
        memory = action.memory
        if not action.act:
            assert not action.key
            continue
        assert not busy, "never two at once"
        assert heat.hot or owed
        begin = owed or heat.onset
        assert begin is not None
        assert (now >= begin + limits.min_span) is not action.first_aid
        if action.first_aid:
            assert heat.hot
            assert not owed
            assert limits.daily_budget
            assert now >= begin + limits.min_span / 4
            last = LastRun("running", now, None, action.key)
            continue
        if finished:
            assert now >= finished[-1] + limits.cool_down
        if on_edge and on_edge[-1] in ("promoted", "refused"):
            assert now >= finished[-1] + 2 * limits.cool_down, "a second act on an edge needs its back-off"
        acts.append((now, heat.edges))
        on_edge.append("running")
        last = LastRun("running", now, None, action.key)
    for at, _ in acts:
        assert sum(other.date() == at.date() for other, _ in acts) <= limits.daily_budget
    assert len(memory.attempts) <= len(acts)


def test_old_champion_is_renewed_at_most_once_per_pause() -> None:
    now = T0 + 40 * DAY
    assert routine_due(LIMITS, T0 + 20 * DAY, now) == (False, "the champion is 20 days old, limit 30 days")
    assert routine_due(LIMITS, T0, now) == (True, "the champion is 40 days old, limit 30 days")
    assert not routine_due(LIMITS, T0, now, last=LastRun("running", now))[0]
    refused = LastRun("refused", now, now + HOUR)
    due, why = routine_due(LIMITS, T0, now + 29 * DAY, last=refused)
    assert not due
    assert "nothing better was found at 2024-04-10 01:00" in why
    assert routine_due(LIMITS, T0, now + 31 * DAY, last=refused)[0]
    failed = LastRun("failed", now, now + HOUR)
    assert not routine_due(LIMITS, T0, now + 6 * HOUR, last=failed)[0]
    assert routine_due(LIMITS, T0, now + 7 * HOUR, last=failed)[0]
    ahead = now + DAY
    due, why = routine_due(LIMITS, ahead, now)
    assert due, "how old it is nobody knows, so it is made again, once"
    assert why == "the champion was made at 2024-04-11 00:00, by a clock that was ahead, limit 30 days"
    assert not routine_due(LIMITS, ahead, now + HOUR, last=LastRun("refused", now, now))[0]


def test_retrain_is_judged_useless_only_after_settle_time() -> None:
    assert has_helped(LIMITS, cool(1, T0), T0, T0 + 9 * DAY)[0]
    assert has_helped(LIMITS, hot(), None, T0 + 9 * DAY)[0]
    assert has_helped(LIMITS, hot(), T0 - DAY, T0 + 9 * DAY)[0], "it was before the edge"
    good, why = has_helped(LIMITS, hot(), T0 + DAY, T0 + 2 * DAY)
    assert good
    assert "until 2024-03-04 00:00" in why
    good, why = has_helped(LIMITS, hot(), T0 + DAY, T0 + 4 * DAY)
    assert not good
    assert "has not helped in 3 days" in why


def test_unserved_target_is_retried_with_newer_rows_each_cool_down() -> None:
    assert first_champion_due(LIMITS, None, T0, newer=True) == (False, "nothing serves yet, so nothing is old")
    assert first_champion_due(LIMITS, T0, T0 + 40 * DAY, newer=False) == (
        False,
        "nothing serves yet: no model was good enough at 2024-03-01 00:00, and there are no newer rows",
    )
    soon = T0 + LIMITS.cool_down
    assert not first_champion_due(LIMITS, T0, soon - HOUR, newer=True)[0]
    assert first_champion_due(LIMITS, T0, soon, newer=True)[0]
    running, failed = LastRun("running", T0), LastRun("failed", T0, soon)
    assert not first_champion_due(LIMITS, T0, soon, newer=True, last=running)[0]
    assert "next try" in first_champion_due(LIMITS, T0, soon, newer=True, last=failed)[1]
