"""The simulated source: any span alone is the same span, calm stays calm, and nothing is delivered twice."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.contracts import clock
from aerocast.contracts.clock import Clock
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.channels.intake import IntakeReport, take_source
from aerocast.ingest.sources._simulated_series import temperatures
from aerocast.ingest.sources.simulated import SimulatedSource
from aerocast.lake import Lake
from aerocast.tables.raw import Delivery, raw_schema
from aerocast_assets.feeds import find_feed
from aerocast_assets.keys import key
from tests.harness.graph import definitions, metadata, refresh

START = datetime(2024, 1, 1, tzinfo=UTC)
ONSET = datetime(2024, 4, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def feed(**changes: Any) -> Feed:
    declared = find_feed("heatwave").model_dump(mode="json")
    declared["source"] |= changes.pop("source", {})
    return Feed.parse(declared | changes)


def series(declared: Feed, start: int, stop: int, station: int = 0, *, calm_only: bool = False) -> Any:
    """Values at the hours `start` .. `stop` after the feed's start."""
    source, first = declared.source, int(START.timestamp()) // 3600
    assert isinstance(source, SimulatedSource)
    steps = range(first + start, first + stop)
    return temperatures(source, declared.stations[station], steps, declared.cadence, calm_only=calm_only)


def rows(found: list[Delivery]) -> pa.Table:
    return pa.concat_tables([delivery.table for delivery in found])


def deliver(declared: Feed, now: datetime, **more: Any) -> list[Delivery]:
    return list(declared.source.read(declared, ReadRequest(now=now, **more)))


@given(start=st.integers(0, 8000), length=st.integers(0, 200), before=st.integers(0, 50), behind=st.integers(0, 50))
def test_span_equals_same_span_of_longer_series(start: int, length: int, before: int, behind: int) -> None:
    declared = feed()
    before = min(before, start)
    whole = series(declared, start - before, start + length + behind)
    np.testing.assert_allclose(whole[before : before + length], series(declared, start, start + length), rtol=1e-12)


@given(seed=st.integers(0, 2**31))
def test_calm_series_stays_between_20_and_30_with_daily_cycle(seed: int) -> None:
    declared = feed(source={"seed": seed})
    calm = series(declared, 0, 100 * 24)
    assert calm.min() >= 20
    assert calm.max() <= 30
    by_hour = calm.reshape(-1, 24).mean(axis=0)
    phase = np.angle(np.fft.rfft(by_hour)[1])  # of the cycle, not of one hour that noise may lift
    assert -phase / (2 * np.pi) * 24 % 24 == pytest.approx(15, abs=0.5)
    assert np.ptp(by_hour) == pytest.approx(2 * 3.2, abs=0.3)
    noise = series(declared, 0, 240) - series(feed(source={"seed": seed, "noise": 0}), 0, 240)
    assert noise.std() == pytest.approx(0.2, rel=0.25)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.25, "one reading's noise says nothing of the next"


def test_heatwave_raises_level_and_changes_daily_cycle() -> None:
    declared = feed()
    onset = int((ONSET - START) / HOUR)
    calm, hot = series(declared, onset - 240, onset), series(declared, onset + 48, onset + 48 + 240)
    np.testing.assert_allclose(calm, series(declared, onset - 240, onset, calm_only=True), rtol=1e-12)
    assert hot.mean() - calm.mean() > 10
    assert np.ptp(hot.reshape(-1, 24), axis=1).mean() > 2 * np.ptp(calm.reshape(-1, 24), axis=1).mean()
    ramp = series(feed(source={"noise": 0}), onset, onset + 24)
    assert np.abs(np.diff(ramp[:6])).max() < 1.2, "it begins gently"


def test_seeds_and_stations_give_different_series() -> None:
    two = feed(stations=[{"id": "A"}, {"id": "B"}])
    assert np.abs(series(two, 0, 48) - series(two, 0, 48, station=1)).max() > 0.3
    assert np.abs(series(feed(), 0, 48) - series(feed(source={"seed": 8}), 0, 48)).max() > 0.3


def test_calm_only_is_read_at_read_time(monkeypatch: pytest.MonkeyPatch) -> None:
    declared, now = feed(), ONSET + timedelta(days=20)
    hot, before = rows(deliver(declared, now)), declared.source.fingerprint(declared, now)
    monkeypatch.setenv("CALM_ONLY", "1")
    calm = rows(deliver(declared, now))
    assert max(map(float, hot["temperature"].to_pylist())) > 40
    assert max(map(float, calm["temperature"].to_pylist())) <= 30
    assert declared.source.fingerprint(declared, now) != before
    monkeypatch.setenv("CALM_ONLY", "")
    assert rows(deliver(declared, now)).equals(hot)


def test_readings_are_raw_text_up_to_now() -> None:
    declared, now = feed(stations=[{"id": "A"}, {"id": "B"}]), datetime(2024, 2, 3, 4, 59, tzinfo=UTC)
    found = deliver(declared, now)
    assert [delivery.month for delivery in found] == ["2024-01", "2024-02"]
    table = rows(found)
    assert table.schema.equals(raw_schema(declared))
    assert table["time"].to_pylist()[0] == START
    assert table["time"].to_pylist()[-1] == datetime(2024, 2, 3, 4, tzinfo=UTC)
    assert table["time_text"].to_pylist()[-1] == "2024-02-03T04:00:00Z"
    assert len(table) == 2 * (31 * 24 + 2 * 24 + 5)
    assert all(len(text.split(".")[1]) == 1 for text in table["temperature"].to_pylist())
    assert deliver(declared, START - HOUR) == []
    assert [delivery.month for delivery in deliver(declared, now, months=["2024-02", "2024-03"])] == ["2024-02"]
    assert deliver(declared, now, months=[]) == []


@given(cuts=st.lists(st.integers(0, 70 * 24), min_size=1, max_size=6))
def test_pieces_add_up_to_whole_for_any_cut(cuts: list[int]) -> None:
    declared, last = feed(), START + timedelta(days=70)
    after: dict[str, datetime] = {}
    pieces: list[Delivery] = []
    for now in [*(START + hour * HOUR for hour in sorted(cuts)), last]:
        new = deliver(declared, now, after=after)
        after |= {delivery.month: delivery.table["time"].to_pylist()[-1] for delivery in new}
        pieces += new
    names = ["station", "time", "time_text", "temperature", "month"]
    whole = rows(deliver(declared, last)).select(names)
    assert rows(pieces).select(names).equals(whole)


def test_fingerprint_changes_with_each_reading() -> None:
    declared = feed()
    prints = [declared.source.fingerprint(declared, START + minutes * HOUR / 60) for minutes in (0, 59, 60)]
    assert prints[0] == prints[1] != prints[2]
    end = datetime(2025, 1, 1, tzinfo=UTC)
    late = [declared.source.fingerprint(declared, end + days * 24 * HOUR) for days in (0, 9)]
    assert late[0] == late[1], "a feed that has ended does not change"


@pytest.mark.e2e  # runs of a whole graph
def test_raw_takes_each_reading_once(home: Path, instance: dg.DagsterInstance) -> None:
    declared, keys = feed(), [key(feed(), layer) for layer in ("raw", "bronze", "silver")]
    seen, lake = [], Lake(home)
    for now in (ONSET, ONSET, ONSET + 5 * HOUR, datetime(2024, 5, 1, 2, tzinfo=UTC)):
        clock.document(home, declared.name).write(Clock(now, datetime.now(UTC), 0.0))
        result = refresh(declared, home, instance, selection=keys, partitions=("2024-01", "2024-05"))
        assert result.success
        seen.append(metadata(result, key(declared, "raw")))
        hours = int((now - START) / HOUR) + 1
        assert [sum(lake.rows(f"heatwave/{layer}").values()) for layer in ("raw", "bronze", "silver")] == [hours] * 3
    assert [found["segments_new"] for found in seen] == [4, 0, 1, 2]
    assert [found["rows_new"] for found in seen] == [100 * 24 + 1, 0, 5, 21 * 24 - 4 + 1]


def test_two_concurrent_readers_append_each_reading_once(home: Path) -> None:
    """Both saw the same newest reading; the one that comes second brings what the first one did not."""
    declared, lake = feed(), Lake(home)
    for hours, fresh in ((10, 11), (12, 2), (12, 0)):
        taken = IntakeReport()
        take_source(lake, declared, deliver(declared, START + hours * HOUR), taken)
        assert taken.rows.total() == fresh
    with duckdb.connect() as con:
        times = lake.relation(con, "heatwave/raw").order("time").select("time").fetchall()
    assert [time for (time,) in times] == [START + hour * HOUR for hour in range(13)]


def test_simulated_feed_loads_beside_others(home: Path, feed: Feed) -> None:
    both = definitions(home, feed, find_feed("heatwave"))
    assert key(find_feed("heatwave"), "raw") in both.resolve_asset_graph().get_all_asset_keys()
