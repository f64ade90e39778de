"""Heat: edges count once, one examination turns nothing, and nothing new counts nothing."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from aerocast.contracts.drift_state import Diagnosis, Heat, Verdict
from aerocast.feed.policies import Drift
from aerocast.monitoring.drift.heat import CONCLUSIVE, advance

T0 = datetime(2024, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LIMITS = Drift(hot_after=2, cool_after=2)
VERDICTS: tuple[Verdict, ...] = ("ok", "sensor_fault", "covariate_shift", "concept_drift")


def saw(verdict: Verdict, at: datetime = T0, outcomes: int = 100, station: str = "A", target: str = "t") -> Diagnosis:
    onset = at - 3 * DAY if verdict == "concept_drift" else None
    return Diagnosis(target, station, verdict, at, onset, 1.0, 1.0, 0.9, outcomes)


def after(*verdicts: Verdict, heat: Heat | None = None, version: str = "1", start: datetime = T0) -> Heat:
    heat = heat or Heat("t")
    for day, verdict in enumerate(verdicts):
        heat = advance(heat, [saw(verdict, start + day * DAY)], LIMITS, start + day * DAY, version, 1.0)
    return heat


def test_two_drifts_turn_hot_and_two_calm_examinations_cool() -> None:
    once, hot = after("concept_drift"), after("concept_drift", "concept_drift")
    assert (once.hot, once.warm, once.edges) == (False, 1, 0)
    assert (hot.hot, hot.edges, hot.since, hot.onset) == (True, 1, T0 + DAY, T0 - 2 * DAY)
    still = after("ok", heat=hot, start=T0 + 2 * DAY)
    cool = after("ok", "ok", heat=hot, start=T0 + 2 * DAY)
    assert still.hot
    assert (cool.hot, cool.edges, cool.since) == (False, 1, T0 + 3 * DAY)
    assert cool.onset == hot.onset, "the present regime still began there"


def test_any_station_warms_and_earliest_onset_counts() -> None:
    early = msgspec.structs.replace(saw("concept_drift", station="B"), onset=T0 - 9 * DAY)
    heat = advance(Heat("t", warm=1), [saw("ok"), saw("concept_drift"), early], LIMITS, T0, "1", 1.0)
    assert heat.hot
    assert heat.onset == T0 - 9 * DAY


def test_drift_of_other_target_warms_nothing() -> None:
    assert advance(Heat("t"), [saw("concept_drift", target="u")], LIMITS, T0, "1", 1.0).warm == 0


def test_missing_verdicts_and_sensor_faults_change_nothing() -> None:
    hot = after("concept_drift", "concept_drift")
    for day, verdict in enumerate(("sensor_fault", "ok", "ok"), start=2):
        few = saw(verdict, outcomes=CONCLUSIVE - 1)
        hot = advance(hot, [few], LIMITS, T0 + day * DAY, "1", None)
    assert hot.hot
    assert hot.calm == 0
    assert not hot.spoke, "what keeps it hot is an old drift, not this examination"
    assert after("concept_drift", heat=hot, start=T0 + 9 * DAY).spoke


def test_new_release_resets_streaks() -> None:
    warm = after("concept_drift", version="1")
    assert after("concept_drift", heat=warm, version="2", start=T0 + DAY).warm == 1
    hot = after("concept_drift", "concept_drift")
    calm = after("ok", heat=hot, start=T0 + 2 * DAY)
    again = after("ok", heat=calm, version="2", start=T0 + 3 * DAY)
    assert (again.hot, again.calm) == (True, 1)


verdicts = st.lists(st.sampled_from(VERDICTS), max_size=40)
limits = st.builds(Drift, hot_after=st.integers(1, 4), cool_after=st.integers(1, 4))


@given(verdicts, limits)
def test_edges_count_cool_to_hot_only(seen: list[Verdict], rules: Drift) -> None:
    heat, edges = Heat("t"), 0
    for day, verdict in enumerate(seen):
        now = T0 + day * DAY
        before, heat = heat, advance(heat, [saw(verdict, now)], rules, now, "1", 1.0)
        edges += heat.hot and not before.hot
        assert heat.edges == edges
        assert heat.edges >= before.edges
        if heat.hot and not before.hot:
            assert heat.warm >= rules.hot_after
            assert heat.onset is not None
            assert heat.onset <= now
        if before.hot and not heat.hot:
            assert heat.calm >= rules.cool_after
        if heat.hot == before.hot:
            assert heat.since == before.since


@given(verdicts, st.sampled_from(VERDICTS), st.integers(-5, 0))
def test_repeated_examination_counts_nothing(seen: list[Verdict], again: Verdict, days: int) -> None:
    heat = after(*seen)
    if heat.judged_at is not None:
        assert advance(heat, [saw(again)], LIMITS, heat.judged_at + days * DAY, "2", 9.0) == heat


@given(verdicts, limits)
def test_turning_takes_whole_streak(seen: list[Verdict], rules: Drift) -> None:
    heat = Heat("t")
    for day, verdict in enumerate(seen):
        heat = advance(heat, [saw(verdict)], rules, T0 + day * DAY, "1", 1.0)
    telling = [verdict for verdict in seen if verdict != "sensor_fault"]
    if len(telling) >= rules.hot_after and set(telling[-rules.hot_after :]) == {"concept_drift"}:
        assert heat.hot
    if telling and len(telling) >= rules.cool_after and "concept_drift" not in telling[-rules.cool_after :]:
        assert not heat.hot
