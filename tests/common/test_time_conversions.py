"""Instants between texts, numpy and UTC: one instant, whatever it was written as."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from aerocast.common.times import (
    EPOCH,
    from_iso,
    from_microseconds,
    from_numpy,
    to_microseconds,
    to_minute,
    to_numpy,
    utc,
)

NOON = datetime(2024, 4, 10, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize("time", [NOON, NOON.replace(tzinfo=None), NOON.astimezone(timezone(timedelta(hours=-5)))])
def test_utc_of_naive_time_assumes_utc(time: datetime) -> None:
    assert utc(time) == NOON
    assert utc(time).utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["2024-04-10T12:30:00Z", "2024-04-10 12:30", "2024-04-10T07:30:00-05:00"])
def test_iso_text_gives_instant(text: str) -> None:
    assert from_iso(text) == NOON


@pytest.mark.parametrize("text", ["", "noon", "2024-13-01", "0001-01-01T00:00:00+05:00"])
def test_malformed_text_gives_none(text: str) -> None:
    assert from_iso(text) is None


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_numpy_round_trip_in_any_unit(unit: str) -> None:
    assert from_numpy(np.datetime64("2024-04-10T12:30", unit)) == NOON
    assert to_numpy(NOON.astimezone(timezone(timedelta(hours=3)))) == np.datetime64("2024-04-10T12:30:00", "s")


def test_microseconds_count_from_1970() -> None:
    assert to_microseconds(EPOCH + timedelta(seconds=1)) == 1_000_000
    assert from_microseconds(to_microseconds(NOON)) == NOON


def test_minute_text_is_in_utc() -> None:
    assert to_minute(NOON.astimezone(timezone(timedelta(hours=3)))) == "2024-04-10 12:30 UTC"
