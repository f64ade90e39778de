"""No wait is longer than the pause that was meant, whatever a clock that was wrong has left behind."""

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import dagster as dg
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from aerocast.common import waits
from aerocast.common.waits import LONGEST_PAUSE, is_recent, pause_end, remaining
from aerocast.contracts.drift_state import Heat
from aerocast.feed.policies import Retraining
from aerocast.retraining.memory import Attempt, LastRun, RetrainMemory
from aerocast.retraining.policy import decide, first_champion_due, routine_due
from aerocast_assets.automation.runs import back_off

NOW = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
# Around the present: a clock was ahead by up to years, or behind.
INSTANTS = st.timedeltas(-90 * DAY, 3000 * DAY).map(lambda since: NOW + since)
PAUSES = st.timedeltas(timedelta(0), 40 * DAY)
LIMITS = Retraining(max_age=30 * DAY, cool_down=DAY / 4, daily_budget=3, min_span=3 * DAY, settle=2 * DAY)
OUTCOMES = st.sampled_from(["promoted", "refused", "failed", "helped"])


@given(PAUSES, INSTANTS)
def test_remaining_pause_never_exceeds_pause(pause: timedelta, since: datetime) -> None:
    assert timedelta(0) <= remaining(pause, since, NOW) <= pause
    assert pause_end(pause, since, NOW) <= NOW + pause
    if since <= NOW:
        assert pause_end(pause, since, NOW) == since + pause


@given(INSTANTS, st.integers(1, 12))
def test_back_off_of_failed_runs_never_exceeds_longest_pause(ended: datetime, failures: int) -> None:
    failed = SimpleNamespace(
        dagster_run=SimpleNamespace(status=dg.DagsterRunStatus.FAILURE), end_time=ended.timestamp()
    )
    records: Any = [failed] * failures
    assert back_off(records, ended + LONGEST_PAUSE) == (failures, ""), "in its own time"
    assert back_off(records, NOW + LONGEST_PAUSE)[1] == "" or ended > NOW
    assert back_off(records, NOW)[1] == "" or ended <= NOW


@st.composite
def memories(draw: st.DrawFn) -> RetrainMemory:
    """What a loop remembers whose clock was anything when it noted it."""
    attempts = tuple(
        Attempt(f"a{number}", draw(INSTANTS), number, draw(OUTCOMES), draw(INSTANTS))
        for number in range(1, draw(st.integers(0, 4)) + 1)
    )
    return RetrainMemory(
        edge=1, since=NOW, tries=draw(st.integers(0, 9)), failures=draw(st.integers(0, 9)), attempts=attempts
    )


@given(memories(), st.none() | INSTANTS, st.none() | INSTANTS, OUTCOMES)
def test_drift_retrain_respects_limits_with_wrong_clock(
    memory: RetrainMemory, onset: datetime | None, ended: datetime | None, outcome: Any
) -> None:
    heat = Heat("temperature", hot=True, edges=1, warm=2, since=NOW, onset=onset)
    last = LastRun(outcome, ended, ended) if ended else None
    first = decide(LIMITS, heat, memory, NOW, last=last)
    # What is remembered of the first look is remembered of the next, as a sensor's cursor.
    kept = msgspec.json.decode(msgspec.json.encode(first.memory), type=RetrainMemory)
    longest = max(LIMITS.min_span, LIMITS.settle, LIMITS.cool_down * 2**waits.DOUBLINGS, DAY)
    assert first.act or any(decide(LIMITS, heat, kept, NOW + n * longest, last=last).act for n in (1, 2))
    assert first.since is None or first.since <= NOW


@given(INSTANTS, st.none() | INSTANTS, OUTCOMES)
def test_routine_retrain_respects_limits_with_wrong_clock(made: datetime, ended: datetime | None, outcome: Any) -> None:
    """An instant that is still to come counts once it has: one pause may follow another, and no more."""
    last = LastRun(outcome, ended, ended) if ended else None

    def looks(pause: timedelta) -> list[datetime]:
        return [NOW + times * pause for times in (0, 1.01, 2.02)]

    assert any(routine_due(LIMITS, made, now, last=last)[0] for now in looks(LIMITS.max_age))
    assert any(first_champion_due(LIMITS, made, now, newer=True, last=last)[0] for now in looks(LIMITS.cool_down))


@given(st.floats(-1e9, 1e9), st.floats(0, 1e6))
def test_file_with_future_time_is_recent_no_longer_than_current_file(age: float, span: float) -> None:
    if is_recent(age, span):
        assert not is_recent(age + 2 * span, span)
    assert not is_recent(-time.time(), span)
