"""Changes of unit seen on single readings: found at once, with the unit and the instant; weather is none."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.contracts.drift_state import Fault
from aerocast.feed.column import Column
from aerocast.feed.declaration import Feed
from aerocast.monitoring.drift.jumps import KIND, Series, unit_jumps
from tests.factories.feeds import small_feed

START = datetime(2026, 1, 27, tzinfo=UTC)
TEMPERATURE = Column(
    name="temperature", field="temperature", source_unit="degF", unit="degF", range=(-80, 130), max_step=20
)


@dataclass
class Made:
    """Readings each five minutes around a level, in degF."""

    value: np.ndarray

    @property
    def series(self) -> Series:
        steps = np.arange(len(self.value)) * np.timedelta64(5, "m")
        return Series(np.datetime64(START.replace(tzinfo=None), "us") + steps, self.value)

    def at(self, row: int) -> datetime:
        return START + row * timedelta(minutes=5)

    def in_celsius(self, start: int, end: int | None = None) -> "Made":
        value = self.value.copy()
        value[start:end] = np.round((value[start:end] - 32) / 1.8)
        return Made(value)


@pytest.fixture(scope="module")
def feed() -> Feed:
    return small_feed(Path("x.csv"))


def weather(level: float = 12.0, readings: int = 60) -> Made:
    return Made(np.round(level + 0.4 * np.sin(np.arange(readings) / 5), 1))


def test_changed_unit_is_detected_with_unit_and_instant(feed: Feed) -> None:
    made = weather().in_celsius(40)
    (fault,) = unit_jumps(feed, TEMPERATURE, "S", made.series)
    assert (fault.kind, fault.column, fault.start, fault.end) == (KIND, "temperature", made.at(40), None)
    assert " degC " in fault.detail


def test_gas_that_is_sent_as_a_share_has_jumps_and_units_of_its_mass(feed: Feed) -> None:
    ozone = Column(name="o3", field="o3", source_unit="ppb", unit="ug/m3", gas="O3", range=(0, 1000), max_step=20)
    steady = Made(np.round(60 + 4 * np.sin(np.arange(60) / 5), 1))
    assert unit_jumps(feed, ozone, "S", steady.series) == []
    sent_as_milligrams = Made(np.where(np.arange(60) < 40, steady.value, steady.value / 1000 * 1.9954))
    (fault,) = unit_jumps(feed, ozone, "S", sent_as_milligrams.series)
    assert (fault.start, " mg/m^3 " in fault.detail) == (steady.at(40), True)


def test_exchanged_meter_is_no_change_of_unit(feed: Feed) -> None:
    meter = Column(name="e", field="e", source_unit="kWh", unit="kWh", range=(0, 1e9), max_step=500, quantity="counter")
    totals = Made(np.where(np.arange(60) < 40, 9000.0 + np.arange(60), 9.0 + np.arange(60)))
    assert unit_jumps(feed, meter, "S", totals.series) == []


def test_returning_declared_unit_ends_fault(feed: Feed) -> None:
    made = weather().in_celsius(20, 45)
    (fault,) = unit_jumps(feed, TEMPERATURE, "S", made.series)
    assert (fault.start, fault.end) == (made.at(20), made.at(45))


def test_unit_change_needs_three_readings(feed: Feed) -> None:
    for readings, faults in ((41, 0), (42, 0), (43, 1)):
        series = weather().in_celsius(40).series
        cut = Series(series.time[:readings], series.value[:readings])
        assert len(unit_jumps(feed, TEMPERATURE, "S", cut)) == faults


def test_known_change_with_onset_out_of_sight_lasts_until_jump_back(feed: Feed) -> None:
    begun = Fault("S", "temperature", KIND, START - timedelta(days=90), None, "temperature reads like degC since then")
    assert unit_jumps(feed, TEMPERATURE, "S", weather().in_celsius(0).series, begun) == [begun]
    (over,) = unit_jumps(feed, TEMPERATURE, "S", weather().in_celsius(0, 30).series, begun)
    assert (over.start, over.end) == (begun.start, weather().at(30))


def test_front_and_spike_are_no_unit_change(feed: Feed) -> None:
    front, spike = weather(30.0), weather()
    front.value[30:] -= 24.9  # a fall as deep as a change of unit, but to nowhere that a unit would put it
    spike.value[30] = -11.0
    assert unit_jumps(feed, TEMPERATURE, "S", front.series) == []
    assert unit_jumps(feed, TEMPERATURE, "S", spike.series) == []


@given(
    st.floats(-30, 110),
    st.lists(st.floats(-1, 1), min_size=20, max_size=60),
)
def test_weather_without_large_steps_is_no_unit_change(level: float, steps: list[float]) -> None:
    made = Made(level + np.cumsum(steps))
    assert unit_jumps(small_feed(Path("x.csv")), TEMPERATURE, "S", made.series) == []


@given(st.floats(20, 110), st.integers(4, 50))
def test_unit_change_is_detected_at_any_level_where_scales_differ(level: float, at: int) -> None:
    made = weather(level).in_celsius(at)
    (fault,) = unit_jumps(small_feed(Path("x.csv")), TEMPERATURE, "S", made.series)
    assert (fault.start, fault.end) == (made.at(at), None)
