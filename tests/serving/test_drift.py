"""What the server shows of the loop's state: heat, faults and the feed's own clock, as their files change."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from aerocast.contracts import clock
from aerocast.contracts import drift_state as state
from aerocast.contracts.adaptation import Adaptation
from aerocast.contracts.clock import Clock
from aerocast.contracts.drift_state import DriftState, Fault, Heat
from aerocast.releases import release
from tests.factories.releases import HALF, graph, manifest, publish
from tests.factories.tails import write_tail
from tests.harness.server import Server, metric
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
NOW = datetime(2013, 12, 30, 19, tzinfo=UTC)
NEWEST = datetime(2013, 12, 30, 18, tzinfo=UTC)
LABELS = '{feed="noaa",target="temperature"}'
STUCK = Fault("JFK", "pressure", "stuck", NOW - timedelta(hours=9), None, "the same value for 9 steps")


def believe(home: Path, hot: bool = False, edges: int = 0, faults: tuple[Fault, ...] = ()) -> None:
    state.document(home, "noaa").write(DriftState("noaa", NOW, NOW, (), faults, (Heat("temperature", hot, edges),)))


def codes(http: httpx.Client, **body: Any) -> list[str]:
    answer = http.post("/predict", json=body).json()
    assert answer["degraded"] == bool(answer["reasons"])
    return [reason["code"] for reason in answer["reasons"]]


def test_heat_metric_follows_state_both_ways(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    _, http = serve()

    def flagged() -> bool:
        return bool(http.post("/eval", json={"predicted": 1.0, "actual": 1.0}).json()["drift_flagged"])

    def health() -> Any:
        return http.get("/health").json()["releases"][0]["drift"]

    assert (flagged(), health(), metric(http, f"aerocast_drift_flag{LABELS}")) == (False, None, 0)
    believe(tmp_path, hot=True, edges=1)
    until(flagged)
    assert (health(), metric(http, f"aerocast_drift_flag{LABELS}")) == ("hot", 1)
    assert metric(http, f"aerocast_drift_count{LABELS}") == 1
    believe(tmp_path, hot=False, edges=1)
    until(lambda: not flagged())
    assert (health(), metric(http, f"aerocast_drift_flag{LABELS}")) == ("cool", 0)
    assert metric(http, f"aerocast_drift_count{LABELS}") == 1, "edges, not examinations"


def test_faulty_sensor_degrades_its_station_until_fault_ends(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    believe(tmp_path, faults=(STUCK, msgspec.structs.replace(STUCK, station="EWR", end=NOW)))
    _, http = serve()
    steps = [[40.0, 9.0, 1015.0]] * 48
    assert codes(http, station="JFK") == ["sensor_fault"]
    assert codes(http, station="JFK", sequence=steps, time="2013-12-30T18:00:00Z") == ["sensor_fault"]
    assert codes(http, sequence=steps) == [], "nobody said which sensor measured that"
    assert codes(http, station="EWR") == ["stale_station"], "a fault that has ended is none"
    (reason,) = http.post("/predict", json={"station": "JFK"}).json()["reasons"]
    assert reason["column"] == "pressure"
    assert "since 2013-12-30 10:00 UTC: the same value for 9 steps" in reason["detail"]
    assert http.get("/health").json()["releases"][0]["faults"] == ["JFK.pressure: stuck"]
    believe(tmp_path)
    until(lambda: codes(http, station="JFK") == [])


def test_intervals_follow_what_live_outcomes_say_of_this_release(tmp_path: Path, serve: Start) -> None:
    version = publish(tmp_path)
    write_tail(tmp_path)
    _, http = serve()

    def answer(**body: Any) -> list[dict[str, Any]]:
        forecasts: list[dict[str, Any]] = http.post("/predict", json=body).json()["forecasts"]
        return forecasts

    def ends(forecasts: list[dict[str, Any]]) -> list[tuple[float, ...]]:
        return [
            (round(each["lower"] - each["value"], 3), round(each["upper"] - each["value"], 3)) for each in forecasts
        ]

    plain = answer(station="JFK")
    assert ends(plain) == [(-HALF, HALF)] * 3
    assert all("adapted" not in each for each in plain)
    own = Adaptation(version, (1.5, 1.0, 2.0), (0.5, -0.25, 9.0), 200)
    other = msgspec.structs.replace(own, version="0009-00000000")
    adaptations = {"temperature": {"JFK": own, "LGA": other}}
    state.document(tmp_path, "noaa").write(DriftState("noaa", NOW, NOW, adaptations=adaptations))
    until(lambda: "adapted" in answer(station="JFK")[0])
    adapted = answer(station="JFK")
    assert [each["value"] for each in adapted] == [each["value"] for each in plain], "the forecast stays"
    assert ends(adapted) == [(-2.5, 3.5), (-2.25, 1.75), (0.0, 13.0)], "and lies in its interval"
    assert adapted[0]["adapted"] == {"factor": 1.5, "shift": 0.5}
    assert adapted[0]["quantiles"]["0.05"] == adapted[0]["lower"]
    assert ends(answer(station="LGA")) == [(-HALF, HALF)] * 3, "what is said of another release is not for this one"
    assert "adapted" not in answer(station="EWR")[0]
    assert "adapted" not in answer(sequence=[[40.0, 9.0, 1015.0]] * 48)[0]


@pytest.mark.parametrize(
    "change", [{"factor": [1.0]}, {"factor": [0.0, 1.0, 1.0]}, {"shift": [0.0, 0.0, None]}], ids=["few", "zero", "null"]
)
def test_adaptation_that_cannot_be_is_damage(tmp_path: Path, serve: Start, change: dict[str, Any]) -> None:
    version = publish(tmp_path)
    write_tail(tmp_path)
    believe(tmp_path, faults=(STUCK,))
    _, http = serve()
    own = {"version": version, "factor": [1.0] * 3, "shift": [0.0] * 3, "outcomes": 9} | change
    path = tmp_path / "drift" / "noaa.json"
    damaged = msgspec.json.decode(path.read_bytes()) | {"adaptations": {"temperature": {"JFK": own}}, "faults": []}
    path.write_bytes(msgspec.json.encode(damaged))
    until(lambda: "drift/noaa.json" in str(http.get("/health").json()))
    assert codes(http, station="JFK") == ["sensor_fault"], "the state before it stays"


def test_damaged_state_keeps_old_one_and_is_reported(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    believe(tmp_path, hot=True, edges=2)
    _, http = serve()
    (tmp_path / "drift" / "noaa.json").write_text("{")
    until(lambda: bool(http.get("/health").json()["status"] == "degraded"))
    assert "drift state" in http.get("/health").json()["releases"][0]["errors"][0]
    assert metric(http, f"aerocast_drift_flag{LABELS}") == 1
    believe(tmp_path)
    until(lambda: bool(http.get("/health").json()["status"] == "ok"))


def live(home: Path) -> None:
    """A release of a feed without an end, so that its present is that of its clock."""
    feed = msgspec.structs.replace(manifest().feed, end=None)
    version = release.write(home, msgspec.structs.replace(manifest(), feed=feed), {"model.onnx": graph()})
    release.promote(home, "noaa", "temperature", version)
    write_tail(home)


def test_simulated_feed_goes_stale_by_its_clock(tmp_path: Path, serve: Start) -> None:
    """Readings up to 18:00 and 6 hours of freshness, fresh at 19:00 of the feed; then the clock runs on."""
    live(tmp_path)
    clock.document(tmp_path, "noaa").write(Clock(NOW, datetime.now(UTC), 0.0))
    _, http = serve()
    assert codes(http, station="JFK") == []
    clock.document(tmp_path, "noaa").write(Clock(NEWEST + timedelta(hours=5), datetime.now(UTC), 3600.0))
    until(lambda: codes(http, station="JFK") == ["stale_feed"])
    (tmp_path / "clock" / "noaa.json").unlink()
    until(lambda: "days" in http.post("/predict", json={"station": "JFK"}).json()["reasons"][0]["detail"])


@pytest.mark.parametrize("content", ["{", '{"instant": 3}'])
def test_damaged_clock_keeps_old_one(tmp_path: Path, serve: Start, content: str) -> None:
    live(tmp_path)
    clock.document(tmp_path, "noaa").write(Clock(NOW, datetime.now(UTC), 0.0))
    _, http = serve()
    (tmp_path / "clock" / "noaa.json").write_text(content)
    until(lambda: bool(http.get("/health").json()["status"] == "degraded"))
    assert codes(http, station="JFK") == []
