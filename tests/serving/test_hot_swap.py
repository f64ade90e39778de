"""Releases and tails come and go while requests flow: none fails, and a bad one never replaces a good one."""

import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from aerocast.contracts import tail
from aerocast.contracts.intervals import Intervals
from aerocast.contracts.manifest import Graph, Graphs, StationInfo
from aerocast.releases import release
from tests.factories.releases import HORIZONS, damage, graph, manifest, point, publish
from tests.factories.tails import grid, write_tail
from tests.harness.server import metric
from tests.harness.waits import until

pytestmark = pytest.mark.e2e  # a server as a process, beside who writes releases

Start = Callable[..., tuple[Any, httpx.Client]]
JFK = {"station": "JFK"}


def serving(http: httpx.Client) -> str:
    return str(http.get("/health").json()["releases"][0]["version"])


def test_new_release_takes_over_under_load_without_failed_request(tmp_path: Path, serve: Start) -> None:
    versions = [publish(tmp_path, 1, bias=1.0)]
    write_tail(tmp_path)
    server, http = serve()
    seen: Counter[tuple[str, float]] = Counter()
    failed: list[str] = []
    done = threading.Event()

    def client(body: dict[str, Any]) -> None:
        with httpx.Client(base_url=server.url, timeout=60) as mine:
            while not done.is_set():
                answer = mine.post("/predict", json=body)
                if answer.status_code == 200:
                    found = answer.json()
                    step = found["forecasts"][1]["value"] - found["forecasts"][0]["value"]
                    seen[found["model"]["version"], step] += 1
                else:
                    failed.append(answer.text)

    whole = {"sequence": [[40.0, 9.0, 1015.0]] * 48}
    clients = [threading.Thread(target=client, args=(body,)) for body in (JFK, JFK, whole, {"station": "LGA"})]
    for thread in clients:
        thread.start()
    try:
        for number in range(1, 8):
            if number > 1:
                versions.append(publish(tmp_path, number, bias=float(number)))
                write_tail(tmp_path)
            until(lambda: any(version == versions[-1] for version, _ in list(seen)))
    finally:
        done.set()
        for thread in clients:
            thread.join()
    assert failed == []
    assert server.process.poll() is None
    expected = {(version, 5.0 * (index + 1)) for index, version in enumerate(versions)}
    assert set(seen) == expected, "each answer comes from one release as a whole"
    print(f"{sum(seen.values())} requests over {len(versions)} releases")
    assert metric(http, "aerocast_retrain_total") == 6
    assert metric(http, "aerocast_last_rmse") == 1.5 + 7
    assert metric(http, "aerocast_last_retrain_ts") == 1704067207


def break_(place: Path, fault: str) -> None:
    if fault == "bit":
        damage(place / "model.onnx")
    elif fault == "manifest":
        (place / "manifest.json").write_text("{}")
    elif fault == "gone":
        shutil.rmtree(place)


@pytest.mark.parametrize("fault", ["bit", "manifest", "gone", "features", "horizons", "no graph", "unknown features"])
def test_bad_release_keeps_old_one_serving(tmp_path: Path, serve: Start, fault: str) -> None:
    first = publish(tmp_path, 1)
    write_tail(tmp_path)
    _, http = serve()
    data = {"features": graph(features=3), "horizons": graph(horizons=(1, 2)), "no graph": b"no graph"}
    made = manifest(2)
    if fault == "unknown features":
        station = msgspec.structs.replace(made.graphs.station, features=("moon",))
        made = msgspec.structs.replace(made, graphs=msgspec.structs.replace(made.graphs, station=station))
    second = release.write(tmp_path, made, {"model.onnx": data.get(fault, graph(bias=5.0))})
    break_(release.folder(tmp_path, "noaa", "temperature") / second, fault)
    point(tmp_path, second)
    until(lambda: metric(http, "aerocast_release_failing") == 1)
    report = http.get("/health")
    (one,) = report.json()["releases"]
    assert report.status_code == 200
    assert (report.json()["status"], one["status"], one["version"]) == ("degraded", "degraded", first)
    assert one["load_failures"] >= 1
    assert len(one["errors"]) == 1
    assert "\n" not in one["errors"][0]
    assert metric(http, "aerocast_release_load_failures_total") >= 1
    assert http.post("/predict", json=JFK).json()["model"]["version"] == first
    third = publish(tmp_path, 3)
    until(lambda: serving(http) == third)
    assert http.get("/health").json()["status"] == "ok"
    assert metric(http, "aerocast_release_failing") == 0


@pytest.mark.parametrize(
    "content", ["", "{", '{"version": 3}', '{"version": "../../etc", "promoted_at": "2024-01-01T00:00:00Z"}']
)
def test_bad_pointer_keeps_old_release_serving(tmp_path: Path, serve: Start, content: str) -> None:
    first = publish(tmp_path, 1)
    write_tail(tmp_path)
    _, http = serve()
    (release.folder(tmp_path, "noaa", "temperature") / "current.json").write_text(content)
    until(lambda: http.get("/health").json()["status"] == "degraded")
    assert http.post("/predict", json=JFK).json()["model"]["version"] == first


def test_vanished_pointer_keeps_old_release_serving(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path, 1)
    write_tail(tmp_path)
    _, http = serve()
    shutil.rmtree(tmp_path / "releases")
    until(lambda: http.get("/health").json()["status"] == "degraded")
    assert "current.json of noaa/temperature is gone" in http.get("/health").text
    assert http.post("/predict", json=JFK).status_code == 200
    assert http.get("/models").status_code == 200


def test_server_started_with_bad_release_loads_previous_one(tmp_path: Path, serve: Start) -> None:
    first = publish(tmp_path, 1)
    second = publish(tmp_path, 2)
    write_tail(tmp_path)
    damage(release.folder(tmp_path, "noaa", "temperature") / second / "model.onnx")
    _, http = serve()
    assert http.post("/predict", json=JFK).json()["model"]["version"] == first
    assert http.get("/health").json()["status"] == "degraded"


def test_rollback_is_followed(tmp_path: Path, serve: Start) -> None:
    first, second = publish(tmp_path, 1), publish(tmp_path, 2)
    write_tail(tmp_path)
    _, http = serve()
    assert serving(http) == second
    release.promote(tmp_path, "noaa", "temperature", first)
    until(lambda: serving(http) == first)
    (models,) = http.get("/models").json()
    assert [(one["version"], one["serving"]) for one in models["releases"]] == [(second, False), (first, True)]


def test_server_without_releases_says_so_and_loads_first(tmp_path: Path, serve: Start) -> None:
    _, http = serve()
    report = http.get("/health")
    assert (report.status_code, report.json()["status"]) == (503, "no release")
    answer = http.post("/predict", json=JFK)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert http.get("/feeds").json() == http.get("/models").json() == []
    assert "predictions_total" in http.get("/metrics").text
    publish(tmp_path, 1)
    until(lambda: http.get("/health").status_code == 200)
    answer = http.post("/predict", json=JFK)
    assert (answer.status_code, answer.json()["field"]) == (503, "station"), "a release, but no readings yet"
    assert http.post("/predict", json={"sequence": [[40.0, 9.0, 1015.0]] * 5}).status_code == 200
    write_tail(tmp_path)
    until(lambda: http.post("/predict", json=JFK).status_code == 200)


def test_newer_readings_are_loaded_and_damaged_ones_are_not(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path, 1)
    write_tail(tmp_path)
    _, http = serve()
    assert http.post("/predict", json=JFK).json()["forecasts"][0]["value"] == 51.75
    write_tail(tmp_path, JFK=grid("JFK", level=60.0))
    until(lambda: http.post("/predict", json=JFK).json()["forecasts"][0]["value"] == 71.75)
    damage(tmp_path / tail.document_name("noaa"))
    until(lambda: http.get("/health").json()["status"] == "degraded")
    assert http.post("/predict", json=JFK).json()["forecasts"][0]["value"] == 71.75
    assert metric(http, "aerocast_tail_load_failures_total") >= 1
    write_tail(tmp_path)
    until(lambda: http.get("/health").json()["status"] == "ok")


def test_several_feeds_and_targets_are_served(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path, 1)
    publish(tmp_path, 2, target="pressure")
    publish(tmp_path, 3, feed="midwest")
    write_tail(tmp_path)
    write_tail(tmp_path, "midwest")
    _, http = serve()
    problem = http.post("/predict", json=JFK)
    assert (problem.status_code, problem.json()["field"]) == (422, "feed")
    assert problem.json()["rule"] == "one of midwest, noaa"
    sequence = http.post("/predict", json={"sequence": [[40.0, 9.0, 1015.0]] * 5})
    assert (sequence.status_code, sequence.json()["field"]) == (422, "feed")
    first = http.post("/predict", json=JFK | {"feed": "noaa"}).json()
    assert (first["target"], first["unit"]) == ("temperature", "degF"), "the first of the declaration"
    assert http.post("/predict", json=JFK | {"feed": "noaa", "target": "pressure"}).json()["unit"] == "hPa"
    assert {feed["name"]: len(feed["targets"]) for feed in http.get("/feeds").json()} == {"midwest": 1, "noaa": 2}
    assert len(http.get("/models").json()) == 3
    assert len(http.get("/models", params={"target": "pressure"}).json()) == 1


def test_station_of_single_feed_needs_no_feed(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path, 1)
    other = manifest(3, feed="midwest")
    lone = msgspec.structs.replace(other.feed, stations=(StationInfo("KMSN", "Madison", "UTC"),))
    version = release.write(tmp_path, msgspec.structs.replace(other, feed=lone), {"model.onnx": graph()})
    release.promote(tmp_path, "midwest", "temperature", version)
    write_tail(tmp_path)
    _, http = serve()
    assert http.post("/predict", json=JFK).json()["feed"] == "noaa"
    nobody = http.post("/predict", json={"station": "XXX"})
    assert (nobody.status_code, nobody.json()["field"]) == (422, "station")
    assert nobody.json()["detail"].startswith("No feed has a station 'XXX'")
    assert {"JFK", "LGA", "EWR", "KMSN"} <= set(nobody.json()["rule"].removeprefix("one of ").split(", "))


def test_second_graph_answers_sequences(tmp_path: Path, serve: Start) -> None:
    made = manifest(1)
    names = made.graphs.station.features
    plain = Intervals(0.8, HORIZONS, (1.0, 2.0, 3.0), (), (), (), ((), (), ()), 100)
    both = Graphs(made.graphs.station, Graph("sequence.onnx", names[:5], plain))
    files = {"model.onnx": graph(bias=1.0), "sequence.onnx": graph(bias=10.0, features=5)}
    version = release.write(tmp_path, msgspec.structs.replace(made, graphs=both), files)
    release.promote(tmp_path, "noaa", "temperature", version)
    write_tail(tmp_path)
    _, http = serve()
    assert http.post("/predict", json=JFK).json()["forecasts"][0]["value"] == 52.75
    answer = http.post("/predict", json={"sequence": [[40.0, 9.0, 1015.0]] * 5}).json()
    assert answer["level"] == 0.8
    assert [(one["lower"], one["upper"]) for one in answer["forecasts"]] == [(49, 51), (98, 102), (277, 283)]


def test_silent_feed_degrades_its_answers(tmp_path: Path, serve: Start) -> None:
    feed = msgspec.structs.replace(manifest().feed, end=None)
    version = release.write(tmp_path, msgspec.structs.replace(manifest(), feed=feed), {"model.onnx": graph()})
    release.promote(tmp_path, "noaa", "temperature", version)
    write_tail(tmp_path)
    _, http = serve()
    answer = http.post("/predict", json=JFK).json()
    assert answer["degraded"]
    assert [reason["code"] for reason in answer["reasons"]] == ["stale_feed"]


def test_swaps_with_corrupt_ones_among_them_fail_no_request(tmp_path: Path, serve: Start) -> None:
    """`AEROCAST_SWAPS=1000` swaps more often."""
    publish(tmp_path, 1)
    write_tail(tmp_path)
    server, http = serve()
    statuses: Counter[int] = Counter()
    values: dict[str, set[float]] = {}
    corrupt = set()
    done = threading.Event()

    def client() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as mine:
            while not done.is_set():
                answer = mine.post("/predict", json=JFK)
                statuses[answer.status_code] += 1
                found = answer.json()
                values.setdefault(found["model"]["version"], set()).add(found["forecasts"][1]["value"])

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    try:
        for number in range(2, 2 + int(os.environ.get("AEROCAST_SWAPS", "30"))):
            if number % 10 == 0:
                version = release.write(tmp_path, manifest(number), {"model.onnx": graph()})
                corrupt.add(version)
                damage(release.folder(tmp_path, "noaa", "temperature") / version / "model.onnx")
                before = metric(http, "aerocast_release_load_failures_total")
                point(tmp_path, version)
                until(lambda before=before: metric(http, "aerocast_release_load_failures_total") > before)
            else:
                version = publish(tmp_path, number, bias=float(number))
                until(lambda version=version: serving(http) == version)
    finally:
        done.set()
        for thread in clients:
            thread.join()
    assert set(statuses) == {200}
    assert not corrupt & values.keys()
    assert all(len(own) == 1 for own in values.values()), "what it says depends on the release that it names"
    assert len(set.union(*values.values())) == len(values), "and each says something else"
    assert server.memory("VmHWM") < 400
    print(f"{statuses.total()} requests")
