"""The platform and a broker on a real instance: claims become raw, retrain runs and promotions are told of."""

import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aerocast.feed.declaration import Feed
from aerocast.ingest.brokers import connect
from aerocast.lake import Lake
from aerocast_assets.assets.claims import KEY
from aerocast_assets.automation import announcing
from aerocast_assets.automation.claiming import JOB, claiming
from aerocast_assets.keys import key, retrain_job_name
from aerocast_assets.resources import Platform
from cli.__main__ import main
from tests.factories.releases import publish
from tests.harness.brokers import RunningBroker, start_kafka, start_nats
from tests.harness.graph import definitions, metadata

UNSET = "no broker: set AEROCAST_BROKER"


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[RunningBroker]:
    with start_nats(tmp_path) as broker:
        yield broker


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[RunningBroker]:
    with start_kafka(tmp_path) as broker:
        yield broker


class Sensor:
    """A sensor with its cursor between ticks."""

    def __init__(self, instance: dg.DagsterInstance, home: Path, defs: dg.Definitions, name: str) -> None:
        self.instance, self.cursor = instance, None
        self.platform = {"platform": Platform(home=str(home))}
        self.sensor = defs.resolve_sensor_def(name)

    def look(self) -> Any:
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=self.platform) as context:
            data = self.sensor.evaluate_tick(context)
        self.cursor = data.cursor
        return data

    def said(self) -> str:
        data = self.look()
        assert not data.run_requests
        return str(data.skip_message)


def nobody() -> str:
    """A broker's address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"nats://127.0.0.1:{probe.getsockname()[1]}"


def test_waiting_claims_start_run(
    home: Path, instance: dg.DagsterInstance, kafka: RunningBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defs = dg.Definitions.merge(claiming(), definitions(home))
    sensor = Sensor(instance, home, defs, "claims_waiting")

    def run() -> dg.ExecuteInProcessResult:
        (request,) = sensor.look().run_requests
        return defs.resolve_job_def(JOB).execute_in_process(instance=instance, tags=request.tags, raise_on_error=False)

    assert sensor.said() == UNSET
    monkeypatch.setenv("AEROCAST_BROKER", nobody())
    assert sensor.said().endswith("cannot be reached: Connection refused")
    monkeypatch.setenv("AEROCAST_BROKER", kafka.url)
    assert sensor.said() == "no claims wait"

    files = []
    for hour in range(2):
        files.append(tmp_path / f"{hour}.parquet")
        rows = {"origin": ["JFK", "LGA"], "time_hour": [f"2013-06-01T0{hour}:00:00Z"] * 2, "temp": [61.0, 60.5]}
        pq.write_table(pa.table(rows), files[-1])
    assert main(["announce", "--feed", "noaa", "--topic", "inference-data", *map(str, files)]) == 0
    with connect(kafka.url) as broker:
        broker.publish("training-data", b"{", "poison")
    result = run()
    assert result.success
    shown = metadata(result, KEY)
    assert {name: shown[name] for name in ("status", "messages", "objects", "rows", "dead_letters", "waiting")} == {
        "status": "computed", "messages": 3, "objects": 2, "rows": 4, "dead_letters": 1, "waiting": 0
    }  # fmt: skip
    assert "| noaa | 4 |" in shown["rows_by_feed"]
    assert "| training-data |" in shown["dead_letters_why"]
    assert "the message is not a claim" in shown["dead_letters_why"]
    with duckdb.connect() as con:
        rows_in = Lake(home).relation(con, "noaa/raw").project("station, temp, month").order("temp, station").fetchall()
    assert rows_in == [("LGA", "60.5", "2013-06")] * 2 + [("JFK", "61", "2013-06")] * 2
    assert sensor.said() == "no claims wait"

    # What is in the way fails the run, by name, and the next one waits for a while.
    rows["temp"] = [1.0, 2.0]
    pq.write_table(pa.table(rows), files[0])
    assert main(["announce", "--feed", "noaa", "--to", str(home), str(files[0])]) == 0
    (home / "lake").rename(home / "away")
    (home / "lake").write_text("a file")
    failed = run()
    assert not failed.success
    (step,) = failed.get_step_failure_events()
    assert "1 claims were put off" in str(step.step_failure_data)
    assert sensor.said().startswith("the newest run failed: the next one starts in")
    (home / "lake").unlink()
    (home / "away").rename(home / "lake")
    job = defs.resolve_job_def(JOB)
    assert metadata(job.execute_in_process(instance=instance), KEY)["rows"] == 2


def messages(broker: RunningBroker, topic: str) -> list[dict[str, Any]]:
    with connect(broker.url) as reader:
        return [json.loads(message.body) for message in reader.consume([topic], 1.0) if not reader.commit(message)]


def retrain(feed: Feed, home: Path, instance: dg.DagsterInstance, version: str) -> dg.ExecuteInProcessResult:
    """A real run of the retrain job that chooses a release, which needs no training."""
    job = definitions(home, feed).resolve_job_def(retrain_job_name(feed, "temperature"))
    return job.execute_in_process(
        instance=instance,
        asset_selection=[key(feed, "temperature", "champion")],
        run_config={"ops": {"noaa__temperature__champion": {"config": {"release": version, "automatic": True}}}},
        raise_on_error=False,
        tags={"retrain_reason": f"try {version}"},
    )


@pytest.mark.e2e
def test_retrain_runs_and_promotions_are_announced(
    noaa: Feed, home: Path, instance: dg.DagsterInstance, nats: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = Sensor(instance, home, dg.Definitions.merge(announcing.announcing(), definitions(home)), "announcements")
    assert sensor.said() == UNSET
    first, second = publish(home, 1), publish(home, 2)
    runs = [retrain(noaa, home, instance, version) for version in (first, "0009-00000000", second)]
    assert [run.success for run in runs] == [True, False, True]
    monkeypatch.setenv("AEROCAST_BROKER", nobody())
    assert sensor.said().startswith("to be announced later: the broker nats://127.0.0.1:")
    assert sensor.cursor is None

    monkeypatch.setenv("AEROCAST_BROKER", nats.url)
    monkeypatch.setattr(announcing, "PAGE", 1)  # one event, and one promotion, a tick
    said = [sensor.said() for _ in range(8)]
    assert said[-1] == "nothing new to announce"
    told = messages(nats, announcing.TRAINING)
    assert [(each["run_id"], each["status"]) for each in told] == [
        (run.run_id, status)
        for run, ended in zip(runs, ("SUCCESS", "FAILED", "SUCCESS"), strict=True)
        for status in ("RUNNING", ended)
    ]
    assert {(each["feed"], each["target"]) for each in told} == {("noaa", "temperature")}
    assert [each["reason"] for each in told[::2]] == [f"try {first}", "try 0009-00000000", f"try {second}"]
    assert [each["version"] for each in told] == [None, first, None, None, None, second]
    assert told[1]["config_hash"].startswith(first.split("-")[1])
    assert len({each["id"] for each in told}) == 6

    chosen = messages(nats, announcing.SELECTED)
    assert [(each["version"], each["kind"], each["reason"]) for each in chosen] == [
        (first, "linear", f"try {first}"),
        (second, "linear", f"try {second}"),
    ]
    assert chosen[1]["uri"] == (home / "releases" / "noaa" / "temperature" / second).as_uri()
    assert chosen[0]["metrics"]["rmse"] == 2.5
    assert chosen[0]["config_hash"] == told[1]["config_hash"]

    # A promotion whose run died before its record is told, too, after a while; then nothing more.
    third = publish(home, 3)
    assert sensor.said() == "nothing new to announce"
    monkeypatch.setattr(announcing, "UNRECORDED", timedelta(0))
    assert [sensor.said() for _ in range(2)] == ["announced 1 changes", "nothing new to announce"]
    assert [each["version"] for each in messages(nats, announcing.SELECTED)] == [third]

    # All is told again where the cursor is lost, under the same ids: here the broker drops it.
    sensor.cursor = "no cursor"
    monkeypatch.setattr(announcing, "PAGE", 100)
    assert sensor.said() == "announced 9 changes"
    assert messages(nats, announcing.TRAINING) == []
