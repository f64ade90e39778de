"""The live sensor on a real instance: what makes it run, what it covers, and that there is never a second run."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from aerocast.contracts import drift_state as state
from aerocast.contracts.drift_state import DriftState, Fault
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import patience
from aerocast.ingest.channels.posted import PostStore
from aerocast.lake import Lake
from aerocast.tables import faults
from aerocast_assets.automation import live, runs
from aerocast_assets.keys import key, live_job_name
from tests.factories.drift import set_clock
from tests.factories.feeds import START, small_feed, write_readings
from tests.factories.predictions import HOUR, answer, segment
from tests.harness.graph import check, definitions, metadata, refresh
from tests.harness.loop import LiveLoop

DAY = timedelta(days=1)
QUIET = (
    "nothing waits in the channels; the prediction log is empty; sensor faults have not changed;"
    " every month is up to date"
)

# Whole loops of the asset graph.
pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_room")]

RANGE = tuple(f"dagster/asset_partition_range_{end}" for end in ("start", "end"))


@pytest.fixture
def polled(tmp_path: Path) -> Feed:
    return small_feed(write_readings(tmp_path / "readings.csv", hours=24 * 70), poll="PT5S")


def span(request: dg.RunRequest) -> list[str]:
    return [request.tags[name] for name in RANGE]


def test_changed_source_starts_one_run(polled: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    tick = LiveLoop(polled, home, instance)
    set_clock(home, polled, START + 70 * DAY)
    first = tick.asks()
    assert span(first) == ["2024-01", "2024-04"], "an empty home is filled whole"
    assert first.asset_selection is not None
    assert key(polled, "temperature", "forecasts") not in first.asset_selection, "nothing serves yet"
    result = tick.run(first)
    assert result.success
    made = {event.asset_key for event in result.get_asset_materialization_events()}
    layers = {key(polled, layer) for layer in ("raw", "bronze", "silver", "windows", "evaluation", "anomalies")}
    assert made == layers | {key(polled, "temperature", "training_set")}
    assert {"nothing_lost", "fresh", "sensors", "season", "temperature_drift"} <= {
        each.check_name for each in result.get_asset_check_evaluations()
    }
    assert tick.said() == f"at 2024-03-11 00:00: the source has not changed; {QUIET}"
    write_readings(Path(polled.source.path), hours=24 * 71)
    set_clock(home, polled, START + 71 * DAY)
    newer = tick.asks()
    assert span(newer) == ["2024-03", "2024-03"], "the newest month by the feed's clock"
    again = tick.run(newer)
    assert again.success
    assert metadata(again, key(polled, "bronze"))["months_computed"] == 1
    rest = tick.asks()
    assert rest.tags["aerocast/live"] == "readings are new in 2024-01, 2024-02", "the file is another one throughout"
    assert span(rest) == ["2024-01", "2024-02"]
    assert tick.run(rest).success
    looked_back = tick.asks()
    assert span(looked_back) == ["2024-03", "2024-03"], "its first windows look back over the border"
    assert tick.run(looked_back).success
    assert "source has not changed" in tick.said()


def test_live_run_covers_months_since_last_run(polled: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    tick = LiveLoop(polled, home, instance)
    set_clock(home, polled, START + 20 * DAY)
    assert tick.run(tick.asks()).success
    write_readings(Path(polled.source.path), hours=24 * 110)
    set_clock(home, polled, START + 110 * DAY)
    assert span(tick.asks()) == ["2024-01", "2024-04"], "the daemon slept for three months"


def test_newest_month_of_windows_waits_for_an_hour(home: Path, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    source = write_readings(tmp_path / "readings.csv", hours=24 * 70)
    window = {"steps": 5, "columns": ["temperature"], "look_back": 48}
    feed = small_feed(source, poll="PT5S", cadence="PT30M", window=window)
    tick = LiveLoop(feed, home, instance)
    set_clock(home, feed, START + 71 * DAY)
    assert tick.run(tick.asks()).success

    with source.open("a") as stream:
        stream.write(f"AAA,{START + 70 * DAY:%Y-%m-%dT%H:%M:%SZ},10.0,4.0,1013.0\n")
    result = tick.run(tick.asks())
    assert [metadata(result, key(feed, layer))["months_computed"] for layer in ("silver", "windows")] == [1, 0]
    assert "readings are new" not in tick.said()
    csv = home / "exports/small/temperature/windows.csv"
    os.utime(csv, (csv.stat().st_mtime - 7200,) * 2)
    assert metadata(tick.run(tick.asks()), key(feed, "windows"))["months_computed"] == 1, "an hour later it is made"


def test_live_sensor_starts_one_run_at_a_time(polled: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    tick = LiveLoop(polled, home, instance)
    assert tick.asks()
    job = tick.defs.resolve_job_def(live_job_name(polled))
    for status in (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED):
        run = instance.create_run_for_job(job, status=status)
        tick.cursor = None
        assert tick.said() == f"run {run.run_id[:8]} is under way"
        instance.delete_run(run.run_id)
    assert tick.asks()


def test_failed_run_is_retried_after_pause(
    polled: Feed, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick = LiveLoop(polled, home, instance)
    request = tick.asks()
    source = Path(polled.source.path)
    whole = source.read_bytes()
    source.write_text("nonsense")
    assert not tick.run(request).success
    source.write_bytes(whole)
    tick.cursor = tick.cursor or ""
    assert "the newest run failed: the next one starts in" in tick.said()
    monkeypatch.setattr(runs, "PAUSE", timedelta(0))
    retried = tick.asks()
    assert "the newest run failed" in retried.tags["aerocast/live"]
    assert tick.run(retried).success
    assert "source has not changed" in tick.said()


def test_broken_source_delays_no_channel(
    polled: Feed, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE", timedelta(hours=1))
    at_once = polled.model_copy(update={"batching": polled.batching.model_copy(update={"readings": timedelta(0)})})
    tick, source = LiveLoop(at_once, home, instance), Path(polled.source.path)
    set_clock(home, polled, START + 70 * DAY)
    assert tick.run(tick.asks()).success
    whole = source.read_bytes()
    source.write_text("nonsense")
    broken = tick.run(tick.asks())
    assert not broken.success
    assert not check(broken, "all_read").passed
    posted = PostStore(home, "small")
    posted.post("a key", b'[{"station": "AAA", "time": "2024-03-01T12:00:00Z", "t": 7.5}]', "json", 1)
    posted.close()
    request = tick.asks()
    assert request.tags["aerocast/live"] == "readings wait: 1 at http", "no pause, and no try of the source"
    assert metadata(tick.run(request), key(polled, "windows"))["months_computed"] == 1
    source.write_bytes(whole)
    mended = tick.run(tick.asks())
    assert mended.success
    assert check(mended, "all_read").passed


def test_initial_training_delays_live_run(
    polled: Feed, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick = LiveLoop(polled, home, instance)
    assert tick.run(tick.asks()).success
    tick.cursor = None
    monkeypatch.setattr(live, "ROOM", timedelta(hours=1))
    assert "first models take precedence" in tick.said()


def test_log_of_feed_without_polling_is_taken(feed: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    assert refresh(feed, home, instance).success
    tick = LiveLoop(feed, home, instance)
    assert tick.said() == f"at 2024-05-01 00:00: {QUIET}"
    written = segment(home, "one", [answer("a", START + 120 * DAY, {1: 50.0})])
    assert "1 segments of the prediction log wait, gathered for another" in tick.said(), "nothing can be judged yet"
    os.utime(written, (0, 0))
    request = tick.asks()
    assert "1 segments of the prediction log wait" in request.tags["aerocast/live"]
    assert span(request) == ["2024-04", "2024-04"]
    assert request.asset_selection is None
    result = tick.run(request)
    assert result.success
    assert metadata(result, key(feed, "evaluation"))["predictions_new"] == 1
    assert metadata(result, key(feed, "bronze"))["months_computed"] == 0
    assert {event.asset_key for event in result.get_asset_materialization_events()} >= {
        key(feed, "temperature", "forecasts")
    }
    assert "the prediction log is empty" in tick.said()


def test_changed_faults_rebuild_bronze_once(feed: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    layers = [key(feed, layer) for layer in ("raw", "bronze", "silver", "windows")]
    assert refresh(feed, home, instance, selection=layers).success
    tick = LiveLoop(feed, home, instance)
    start = START + 40 * DAY
    fault = Fault("AAA", "temperature", "spike", start, start + 5 * HOUR, "by hand")
    Lake(home).overwrite("small/faults", faults.to_table([fault]))
    now = datetime.now(UTC)
    state.document(home, "small").write(DriftState("small", START + 120 * DAY, now, faults=(fault,)))
    request = tick.asks()
    assert request.tags["aerocast/live"] == "sensor faults have changed in 2024-02"
    assert span(request) == ["2024-02", "2024-02"], "the month of the fault alone"
    result = tick.run(request)
    assert result.success
    assert metadata(result, key(feed, "bronze"))["months_computed"] == 1
    assert metadata(result, key(feed, "bronze"))["quarantined_by_rule"]["sensor_fault"] == 5
    assert check(result, "nothing_lost").passed
    assert "sensor faults have not changed" in tick.said()
    Lake(home).overwrite("small/faults", faults.to_table([]))
    state.document(home, "small").write(DriftState("small", START + 121 * DAY, now))
    back = tick.run(tick.asks())
    assert "sensor_fault" not in metadata(back, key(feed, "bronze"))["quarantined_by_rule"]
    assert "sensor faults have not changed" in tick.said()


def test_unreadable_cursor_costs_one_run(polled: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    tick = LiveLoop(polled, home, instance, cursor="not json")
    assert tick.asks()
    assert live.LiveCursor().fingerprint != tick.cursor


def test_forward_flow_ignores_polled_feed(polled: Feed, feed: Feed, home: Path) -> None:
    def conditions(of: Feed) -> dict[str, bool]:
        specs = definitions(home, of).resolve_all_asset_specs()
        return {spec.key.to_user_string(): spec.automation_condition is not None for spec in specs}

    layers = [f"small/{layer}" for layer in ("raw", "bronze", "silver", "windows", "evaluation")]
    layers.append("small/temperature/forecasts")
    assert not any(conditions(polled)[layer] for layer in layers)
    assert all(conditions(feed)[layer] for layer in layers)
    for models in (conditions(polled), conditions(feed)):
        assert models["small/temperature/champion"], "first models are made by themselves"


def test_sensor_interval_follows_poll_interval(polled: Feed, feed: Feed, home: Path) -> None:
    for each, seconds in ((polled, 5), (feed, 30)):
        sensor = definitions(home, each).resolve_sensor_def("small_live")
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
        assert sensor.minimum_interval_seconds == seconds
