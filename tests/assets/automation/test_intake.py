"""Readings through the channels on a real instance: what a live run takes, which months it touches, when one polls."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts import declared
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest import channels
from aerocast.ingest.channels import patience
from aerocast.ingest.channels.posted import PostStore
from aerocast.ingest.channels.readings import to_raw
from aerocast.ingest.sources.nws import NwsSource
from aerocast.lake import Lake
from aerocast.tables.raw import Delivery
from aerocast_assets.keys import key, live_job_name
from tests.factories.drift import set_clock
from tests.factories.feeds import START, declaration, small_feed, write_readings
from tests.harness.graph import check, metadata, refresh
from tests.harness.loop import Loop

# Whole loops of the asset graph.
pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_room")]

LAYERS = ("raw", "bronze", "silver", "windows")


@pytest.fixture
def made(tmp_path: Path, home: Path, instance: dg.DagsterInstance) -> Loop:
    """A feed of three months, all of its tables made, and its sensor."""
    path = write_readings(tmp_path / "readings.csv", hours=24 * 91)
    feed = small_feed(path, end="2024-04-01T00:00:00Z", batching={"readings": "PT0S"})
    assert refresh(feed, home, instance, selection=[key(feed, layer) for layer in LAYERS]).success
    return Loop(feed, home, instance, sensor="live")


def late(day: str, temperature: float) -> dict[str, Any]:
    return {"station": "AAA", "time": f"{day}T12:00:00Z", "t": temperature, "w": 1.5, "p": 1013.0}


def span(run: dg.ExecuteInProcessResult) -> list[str]:
    tags = run.dagster_run.tags
    return [tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]


def events(loop: Loop) -> dict[str, dict[str, int]]:
    """The newest materialisation of each layer's months."""
    storage, made = loop.instance.event_log_storage, dg.DagsterEventType.ASSET_MATERIALIZATION
    return {layer: storage.get_latest_storage_id_by_partition(key(loop.feed, layer), made) for layer in LAYERS}


def temperature(loop: Loop, day: str) -> float:
    with duckdb.connect() as con:
        rows = Lake(loop.home).relation(con, "small/bronze").filter(f"station = 'AAA' AND time = '{day} 12:00:00Z'")
        ((found,),) = rows.select("temperature").fetchall()
    return float(found)


class Broken:
    """A channel behind which something waits that cannot be read."""

    name = "cellar"
    rejections: list[str] = []
    notes: list[str] = []

    def backlog(self) -> int:
        return 1

    def take(self, feed: Feed) -> Iterator[Any]:
        raise AeroCastError("the cellar is flooded")
        yield

    def confirm(self, batch: Any) -> None:
        raise AssertionError("nothing was taken")


def test_late_readings_rebuild_only_their_months_beside_broken_channel(
    made: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of January is posted, one of January and one of March lie in the inbox: two runs, and none over February."""
    posted, before, inbox = PostStore(made.home, "small"), events(made), made.home / "inbox" / "small"
    posted.post("a key", json.dumps([late("2024-01-15", 7.5)]).encode(), "json", 1)
    posted.close()
    inbox.mkdir(parents=True)
    rows = [late("2024-01-10", 1.0), late("2024-03-20", 2.0)]
    (inbox / "readings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (inbox / "cut.parquet").write_bytes(b"PAR1 and no more")
    (taken,) = made.tick()
    assert taken.success
    assert span(taken) == ["2024-03", "2024-03"], "raw is asked over the present, wherever the readings belong"
    assert taken.dagster_run.tags["aerocast/live"] == "readings wait: 1 at http, 2 at inbox"
    said = metadata(taken, key(made.feed, "raw"))
    assert (said["rows_from_http"], said["rows_from_inbox"]) == (1, 2)
    assert said["months_touched"] == "2024-01, 2024-03"
    assert said["rejected"].startswith("cut.parquet: ")
    assert temperature(made, "2024-03-20") == pytest.approx(35.6), "the present was made with it"
    (apart,) = made.tick()
    assert apart.success
    assert span(apart) == ["2024-01", "2024-01"]
    assert temperature(made, "2024-01-15") == pytest.approx(45.5)
    after = events(made)
    for layer in LAYERS:
        assert after[layer]["2024-02"] == before[layer]["2024-02"], "nobody touched it"
        assert after[layer]["2024-01"] > before[layer]["2024-01"]
    (made.home / "declared" / "small.json").unlink()
    assert "nothing waits in the channels" in made.said()
    found = declared.document(made.home, "small").read()
    assert found is not None, "a look publishes what the server must know"
    assert found.stations == ("AAA", "BBB")
    _beside_a_broken_door(made, monkeypatch)


def _beside_a_broken_door(made: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run fails, but at its end: all that came in another way is made."""
    monkeypatch.setattr(patience, "PAUSE", timedelta(hours=1))
    real = channels.channels_of
    monkeypatch.setattr(channels, "channels_of", lambda *about: [Broken(), *real(*about)])
    posted = PostStore(made.home, "small")
    posted.post("another key", json.dumps(late("2024-03-15", 7.5)).encode(), "json", 1)
    posted.close()
    (run,) = made.tick()
    assert not run.success
    assert metadata(run, key(made.feed, "raw"))["could_not_be_read"] == "cellar: the cellar is flooded"
    assert not check(run, "all_read").passed
    assert temperature(made, "2024-03-15") == pytest.approx(45.5)
    assert metadata(run, key(made.feed, "windows"))["months_computed"] == 1
    assert "cellar: tried 1 time, next at" in made.said(), "it is tried again on its own"
    posted = PostStore(made.home, "small")
    posted.post("a third key", json.dumps(late("2024-03-16", 7.5)).encode(), "json", 1)
    posted.close()
    (run,) = made.tick()
    assert run.dagster_run.tags["aerocast/live"] == "readings wait: 1 at http", "and keeps no other waiting"
    assert temperature(made, "2024-03-16") == pytest.approx(45.5)


@pytest.fixture
def service(tmp_path: Path, home: Path, instance: dg.DagsterInstance) -> Loop:
    """A feed that a schedule polls; nothing is made yet."""
    feed = Feed.parse(declaration(tmp_path, source={"kind": "nws"}, end=None, poll="PT5M"))
    return Loop(feed, home, instance, sensor="live").at(START + timedelta(days=70))


def poll(loop: Loop) -> Any:
    with dg.build_schedule_context(
        instance=loop.instance,
        scheduled_execution_time=datetime.now(UTC),
        repository_def=loop.repository,
        resources=loop.platform,
    ) as context:
        return loop.defs.resolve_schedule_def("small_poll").evaluate_tick(context)


def heard(feed: Feed, hours: range, value: str = "5.0") -> list[Delivery]:
    """What the service answers: readings of these hours since the start."""
    rows = [{"station": "AAA", "timestamp": f"{START + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"} for hour in hours]
    import pyarrow as pa

    table = pa.Table.from_pylist([{**row, "t": value} for row in rows])
    found = to_raw(feed, table, feed.source.label, f"{hours}", START + timedelta(days=70))
    months = dict.fromkeys(found["month"].to_pylist())
    return [Delivery(m, f"{hours}{value}", m, found.filter(pa.compute.equal(found["month"], m))) for m in months]


def test_service_is_polled_on_schedule_and_repetition_is_noop(service: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    feed, answers = service.feed, list[list[Delivery]]()
    asked: list[Any] = []

    def read(source: Any, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
        asked.append(request.months)
        yield from answers.pop(0)

    monkeypatch.setattr(NwsSource, "read", read)
    assert "source" not in service.said(), "the sensor does not look at it"
    (request,) = poll(service).run_requests
    assert request.tags["aerocast/live"] == "api.weather.gov is asked"
    assert request.tags["dagster/asset_partition_range_start"] == "2024-01", "nothing is made yet"
    answers += [heard(feed, range(24 * 60, 24 * 70)), heard(feed, range(24 * 69, 24 * 70 + 2)), []]
    first = service.execute(request)
    assert first is not None
    assert first.success
    assert metadata(first, key(feed, "raw"))["rows_from_source"] == 24 * 10
    set_clock(service.home, feed, START + timedelta(days=70, hours=2))
    (request,) = poll(service).run_requests
    assert [request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")] == ["2024-03"] * 2
    second = service.execute(request)
    assert second is not None
    said = metadata(second, key(feed, "raw"))
    assert (said["rows_from_source"], said["no_news"]) == (2, 24)
    assert asked[1] is None, "whatever month it tells of"
    assert "every month is up to date" in service.said()


def test_poll_waits_for_running_poll_and_back_off(service: Loop) -> None:
    job = service.defs.resolve_job_def(live_job_name(service.feed))
    under_way = service.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert poll(service).skip_message == f"run {under_way.run_id[:8]} is under way"
    service.instance.report_run_failed(under_way)
    assert "the newest run failed: the next one starts in" in poll(service).skip_message


@pytest.mark.parametrize(("every", "cron"), [("PT5M", "*/5 * * * *"), ("PT1H", "0 * * * *"), (None, "0 * * * *")])
def test_poll_schedule_follows_declared_interval(tmp_path: Path, home: Path, every: str | None, cron: str) -> None:
    from tests.harness.graph import definitions

    feed = Feed.parse(declaration(tmp_path, source={"kind": "nws"}, end=None, poll=every))
    schedule = definitions(home, feed).resolve_schedule_def("small_poll")
    assert schedule.cron_schedule == cron
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


@pytest.mark.parametrize("every", ["PT7M", "PT90M", "PT30S", "PT5M30S"])
def test_interval_without_cron_schedule_is_refused(tmp_path: Path, every: str) -> None:
    with pytest.raises(AeroCastError, match=r"poll: .* must be a whole number of minutes that divides an hour"):
        Feed.parse(declaration(tmp_path, source={"kind": "nws"}, poll=every))
