"""Sensors: each kind of fault is found, dated and seen to end; what is natural is left alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aerocast.common.units import conversion
from aerocast.monitoring.drift.clocks import clock_jump
from aerocast.monitoring.drift.conversions import mistakes, unit_change
from aerocast.monitoring.drift.habits import Habits, gaps, habits, is_on_lattice, run_lengths, runs, spike_sizes
from aerocast.monitoring.drift.profile import Profile, profile
from aerocast.monitoring.drift.sensors import drop_out, flat_line, spikes
from tests.factories import worlds
from tests.factories.worlds import YEAR, Reals

FEED = worlds.feed()
PAST = profile(FEED, worlds.grid({"temperature": worlds.climate(1, YEAR)}))
USUAL = habits(PAST, "temperature")
WEEKS = 21 * 24
TIME = worlds.times(WEEKS, worlds.START + (YEAR + 24 * 60) * worlds.HOUR)


def recent(seed: int = 2) -> Reals:
    return worlds.climate(seed, 2 * YEAR)[YEAR + 24 * 60 :][:WEEKS]


def known(values: Reals) -> Habits:
    made = worlds.feed({"column": "dimensionless"})
    return habits(profile(made, worlds.grid({"column": values})), "column")


@pytest.mark.parametrize("seed", range(2, 8))
def test_healthy_sensor_has_no_fault(seed: int) -> None:
    values = recent(seed)
    assert flat_line("t", values, USUAL).faults == ()
    assert spikes("t", values, USUAL, 24).faults == ()
    assert drop_out("t", values, USUAL, 24).faults == ()
    assert unit_change(FEED.columns[0], values, USUAL).faults == ()
    [clock] = clock_jump(("temperature",), values[:, None], TIME, PAST)
    assert clock.faults == ()


def test_stuck_sensor_is_detected() -> None:
    values = recent()
    values[300:] = values[300]
    [fault] = flat_line("t", values[:340], USUAL).faults
    assert (fault.start, fault.end) == (301, None)
    values[340:] = recent()[340:]
    [fault] = flat_line("t", values, USUAL).faults
    assert (fault.start, fault.end) == (301, 340)


def test_natural_plateau_is_no_flat_line() -> None:
    rng = np.random.default_rng(4)
    rain = np.where(rng.random(YEAR) < 0.05, rng.integers(1, 9, YEAR) / 4, 0.0)
    rain[1000:1240] = 0  # ten dry days
    usual = known(rain)
    dry = np.zeros(400)
    assert flat_line("rain", dry, usual).faults == ()
    assert flat_line("rain", np.full(40, 1.25), usual).faults, "rain that never changes is no rest"
    assert drop_out("rain", dry, usual, 24).faults == ()


def test_missing_readings_do_not_break_run() -> None:
    values = recent()
    values[300:] = values[300]
    values[310:320] = np.nan
    assert flat_line("t", values, USUAL).faults[0].end is None


def test_spikes_and_their_end_are_detected() -> None:
    values = recent()
    values[[250, 262, 281, 300]] += (30, -28, 35, 31)
    [fault] = spikes("t", values[:310], USUAL, 24).faults
    assert (fault.start, fault.end) == (250, None)
    [fault] = spikes("t", values, USUAL, 24).faults
    assert (fault.start, fault.end) == (250, 301)
    assert spikes("t", recent() + 30 * (np.arange(WEEKS) == 250), USUAL, 24).faults == (), "one is an accident"


def test_silence_and_sparse_readings_are_drop_outs() -> None:
    values = recent()
    values[300:330] = np.nan
    [fault] = drop_out("t", values[:330], USUAL, 24).faults
    assert (fault.start, fault.end) == (300, None)
    [fault] = drop_out("t", values, USUAL, 24).faults
    assert (fault.start, fault.end) == (300, 330)
    often = recent()
    often[np.random.default_rng(1).random(WEEKS) < 0.75] = np.nan
    assert drop_out("t", often, USUAL, 24).faults[-1].end is None


def test_mostly_silent_column_is_no_drop_out() -> None:
    rng = np.random.default_rng(5)
    gusts = np.where(rng.random(YEAR) < 0.15, rng.normal(20, 4, YEAR), np.nan)
    assert drop_out("gust", np.where(np.arange(200) < 60, np.nan, 20.0), known(gusts), 24).faults == ()


@pytest.mark.parametrize(
    ("declared", "really", "level"),
    [("degF", "degC", 55.0), ("degC", "degF", 12.0), ("degC", "kelvin", 12.0), ("hPa", "kPa", 1013.0)],
)
def test_changed_unit_is_detected(declared: str, really: str, level: float) -> None:
    column = worlds.feed({"temperature": declared}).columns[0]
    size = 1.0 if declared == "degF" else 0.55
    values = level + (recent() - 55) * size
    past = level + (worlds.climate(1, YEAR) - 55) * size
    made = worlds.feed({"temperature": declared})
    usual = habits(profile(made, worlds.grid({"temperature": past})), "temperature")
    factor, offset = conversion(declared, really)
    assert unit_change(column, values, usual).faults == ()
    values[300:400] = values[300:400] * factor + offset
    [fault] = unit_change(column, values[:320], usual).faults
    assert (fault.start, fault.end) == (300, None)
    [fault] = unit_change(column, values, usual).faults
    assert (fault.start, fault.end) == (300, 400)
    [later] = unit_change(column, values[330:380], usual, fault.detail).faults
    assert later.end is None
    [over] = unit_change(column, values[330:], usual, fault.detail).faults
    assert over.end == 70


def test_cold_front_is_no_unit_change() -> None:
    values = recent()
    values[300:] -= 25 * np.clip((np.arange(WEEKS - 300) + 1) / 3, 0, 1)
    assert unit_change(FEED.columns[0], values, USUAL).faults == ()


def test_unit_change_is_detected_in_gusty_values() -> None:
    rng = np.random.default_rng(6)
    column = worlds.feed({"wind": "mph"}).columns[0]
    knots = np.rint(np.abs(worlds.wander(rng, YEAR + WEEKS, 20, 6)) + np.abs(rng.normal(4, 3, YEAR + WEEKS)))
    wind = knots * conversion("knot", "mph")[0]
    made = worlds.feed({"wind": "mph"})
    usual = habits(profile(made, worlds.grid({"wind": wind[:YEAR]})), "wind")
    values = wind[YEAR:].astype(np.float32).astype(np.float64)
    assert unit_change(column, values, usual).faults == ()
    values[300:] *= conversion("mph", "m/s")[0]
    [fault] = unit_change(column, values, usual).faults
    assert 300 <= fault.start <= 305
    assert "m/s" in fault.detail


@given(st.sampled_from([("degF", "degF"), ("degC", "degF"), ("m/s", "mph"), ("hPa", "hPa"), ("km", "mile")]))
def test_conversion_undoes_every_unit_mistake(units: tuple[str, str]) -> None:
    source, unit = units
    for other, factor, offset in mistakes(source, unit):
        true = np.array([-3.0, 12.5, 240.0])
        sent, wrong = conversion(unit, other), conversion(source, unit)
        arrived = (true * sent[0] + sent[1]) * wrong[0] + wrong[1]
        assert np.allclose(arrived * factor + offset, true)


def late(values: Reals, hours: int, start: int, stop: int) -> Reals:
    """A clock that jumps ahead and is set right again, as the record shows it."""
    made = values.copy()
    made[start + hours : stop] = values[start : stop - hours]
    made[start : start + hours] = np.nan
    return made


@pytest.mark.parametrize("hours", [3, 5, 8, 11])
def test_clock_jump_is_detected(hours: int) -> None:
    values = late(recent(), hours, 200, 400)
    [clock] = clock_jump(("temperature",), values[:380, None], TIME[:380], PAST)
    [fault] = clock.faults
    assert (fault.start, fault.end) == (200 + hours, None)
    assert f"{hours} h late" in fault.detail
    [after] = clock_jump(("temperature",), values[:470, None], TIME[:470], PAST, fault.detail)
    assert after.faults[0].end == pytest.approx(400, abs=24)
    [later] = clock_jump(("temperature",), values[:490, None], TIME[:490], PAST)
    assert all(fault.end == pytest.approx(400, abs=24) for fault in later.faults)  # over, not open again


def test_gap_alone_is_no_clock_jump() -> None:
    values = recent()
    values[200:205] = np.nan
    assert clock_jump(("temperature",), values[:, None], TIME, PAST)[0].faults == ()


def test_clock_needs_daily_cycle() -> None:
    made = worlds.feed({"pressure": "hPa"})
    past: Profile = profile(
        made, worlds.grid({"pressure": 1013 + worlds.wander(np.random.default_rng(1), YEAR, 50, 8)})
    )
    assert clock_jump(("pressure",), np.full((WEEKS, 1), 1013.0), TIME, past)[0].evidence.value is None


series = arrays(np.float64, st.integers(0, 60), elements=st.sampled_from([0.0, 1.0, 2.5, np.nan]))


@given(series)
def test_runs_and_gaps_cover_series(values: Reals) -> None:
    first, last, held = runs(values)
    counts, again = run_lengths(values)
    assert counts.sum() == np.isfinite(values).sum()
    assert held.tolist() == again.tolist()
    for start, end, value in zip(first, last, held, strict=True):
        within = values[start : end + 1]
        assert set(within[np.isfinite(within)].tolist()) == {value}
    begin, stop = gaps(values)
    assert (stop - begin).sum() == np.isnan(values).sum()
    assert spike_sizes(values).min(initial=0.0) >= 0


@given(st.integers(2, 400), st.floats(-50, 50))
def test_value_on_lattice_is_recognised(size: int, base: float) -> None:
    lattice = base + np.arange(size) * 0.5
    assert is_on_lattice(lattice, lattice).all()
    assert not is_on_lattice(lattice, lattice + 0.2).any()


def test_wider_daily_cycle_is_no_clock_jump() -> None:
    values = recent()
    day = worlds.cycle(len(values))
    start = len(values) - 12 * 24
    values[start:] += 2.5 * worlds.cycle(len(values), late=4)[start:] - day[start:]
    [clock] = clock_jump(("temperature",), values[:, None], TIME, PAST)
    assert clock.faults == ()
