"""What the server writes down: every answer, once, before it is sent; also when it is killed or the disk refuses."""

import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from aerocast.contracts import predictions
from tests.factories.releases import HALF, HORIZONS, publish
from tests.factories.tails import write_tail
from tests.harness.server import Server, logged_answers, metric
from tests.harness.waits import until

pytestmark = pytest.mark.e2e  # servers that are killed

Start = Callable[..., tuple[Server, httpx.Client]]
STEP = [40.0, 9.0, 1015.0]
ORIGIN = datetime(2013, 12, 30, 18, tzinfo=UTC)


def test_answer_is_logged_as_sent(tmp_path: Path, serve: Start) -> None:
    version = publish(tmp_path, 1, bias=1.0)
    write_tail(tmp_path)
    server, http = serve()
    answer = http.post("/predict", json={"station": "LGA"}).json()
    server.process.terminate()
    assert server.process.wait(60) == 0
    (one,) = logged_answers(tmp_path)
    assert (one.id, one.feed, one.target, one.station) == (answer["id"], "noaa", "temperature", "LGA")
    assert (one.version, one.kind, one.graph, one.shadow, one.level) == (version, "linear", "station", False, 0.9)
    assert (one.degraded, one.reasons, one.origin) == (True, ("gap_filled",), ORIGIN)
    assert one.issued_at == datetime.fromisoformat(answer["issued_at"])
    assert [forecast.horizon for forecast in one.forecasts] == list(HORIZONS)
    for forecast, sent in zip(one.forecasts, answer["forecasts"], strict=True):
        assert forecast.time == datetime.fromisoformat(sent["time"])
        assert (forecast.value, forecast.lower, forecast.upper) == (sent["value"], sent["lower"], sent["upper"])
        assert forecast.upper - forecast.lower == 2 * HALF


def test_cached_answers_and_sequences_are_logged_each_time(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    _, http = serve(LOG_SECONDS="0.1")
    bodies = [{"station": "JFK"}, {"station": "JFK"}, {"sequence": [STEP] * 5}]
    bodies.append({"sequence": [STEP] * 48, "station": "EWR", "time": "2013-07-01T12:00:00Z"})
    asked = [http.post("/predict", json=body).json()["id"] for body in bodies]
    until(lambda: len(logged_answers(tmp_path)) == 4)
    found = {one.id: one for one in logged_answers(tmp_path)}
    assert [found[name].graph for name in asked] == ["station", "station", "sequence", "sequence"]
    assert [found[name].station for name in asked] == ["JFK", "JFK", None, "EWR"]
    assert found[asked[2]].origin is None
    assert found[asked[2]].forecasts[0].time is None
    assert found[asked[3]].forecasts[0].time == datetime(2013, 7, 1, 13, tzinfo=UTC)


def test_client_without_token_makes_no_evidence(tmp_path: Path, serve: Start) -> None:
    """Of such a client the log takes what the platform's own readings lead to, each forecast once."""
    publish(tmp_path)
    write_tail(tmp_path)
    server, http = serve(LOG_SECONDS="0.1", TOKEN="secret")
    made_up = {"sequence": [STEP] * 48, "station": "EWR", "time": "2013-07-01T12:00:00Z"}
    for body in ({"station": "JFK"}, {"station": "JFK"}, {"sequence": [STEP] * 5}, made_up):
        assert http.post("/predict", json=body).status_code == 200
    trusted = http.post("/predict", json=made_up, headers={"authorization": "Bearer secret"}).json()["id"]
    server.process.terminate()
    server.process.wait(60)
    assert [one.station for one in logged_answers(tmp_path)] == ["JFK", "EWR"]
    assert logged_answers(tmp_path)[1].id == trusted


def test_server_that_tries_release_logs_nothing(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    server, http = serve(LOG="false")
    answer = http.post("/predict", json={"station": "JFK"}).json()
    pair = {"id": answer["id"], "horizon": HORIZONS[0], "actual": answer["forecasts"][0]["value"] + 1}
    assert http.post("/eval", json=pair).json()["rmse"] == 1.0
    server.process.terminate()
    server.process.wait(60)
    assert not predictions.log_folder(tmp_path, "noaa").exists()


def test_refused_request_is_not_logged(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    server, http = serve()
    assert http.post("/predict", json={"station": "LAX"}).status_code == 422
    server.process.terminate()
    server.process.wait(60)
    assert logged_answers(tmp_path) == []


def test_server_killed_under_load_logged_every_answer_once(tmp_path: Path) -> None:
    """kill -9 while eight clients ask: what a client got is in the log, each once; nothing is torn."""
    publish(tmp_path)
    write_tail(tmp_path)
    got: list[str] = []

    def client(url: str, body: dict[str, Any]) -> None:
        try:
            with httpx.Client(base_url=url, timeout=60) as mine:
                while True:
                    got.append(mine.post("/predict", json=body).json()["id"])
        except httpx.TransportError:
            return

    with Server(tmp_path, settings={"AEROCAST_LOG_SECONDS": "0.2"}) as server:
        bodies: list[dict[str, Any]] = [{"station": "JFK"}, {"sequence": [STEP] * 5}] * 4
        clients = [threading.Thread(target=client, args=(server.url, body)) for body in bodies]
        for thread in clients:
            thread.start()
        until(lambda: len(got) > 2000, 60)
        server.process.send_signal(signal.SIGKILL)
        for thread in clients:
            thread.join()
        server.process.wait()
    counted = Counter(one.id for one in logged_answers(tmp_path))
    segments = predictions.closed_segments(tmp_path, "noaa")
    assert sum(predictions.read_segment(path).damaged for path in segments) == 0
    assert max(counted.values()) == 1
    assert set(got) <= set(counted)
    assert len(counted) <= len(got) + len(clients), "at most what was in flight was logged and not received"
    assert len(segments) > 1


def test_unwritable_log_fails_no_answer(tmp_path: Path, serve: Start) -> None:
    """A file in the place of the log's folder refuses as a full disk does, and can be taken away again."""
    publish(tmp_path)
    write_tail(tmp_path)
    _, http = serve(LOG_SECONDS="0.1")
    (tmp_path / "log").write_text("")  # after its start, at which it looks whether it may write
    assert http.get("/health").json()["status"] == "ok"
    for _ in range(3):
        assert http.post("/predict", json={"station": "JFK"}).status_code == 200
    report = http.get("/health").json()
    assert (report["status"], report["log_failures"]) == ("degraded", 3)
    assert "prediction log" in report["errors"][0]
    assert metric(http, "aerocast_log_failures_total") == 3
    problem = http.post("/eval", json={"predicted": 1.0, "actual": 2.0})
    assert (problem.status_code, problem.json()["type"]) == (503, "urn:aerocast:problem:not-kept")
    (tmp_path / "log").unlink()
    assert http.post("/eval", json={"predicted": 1.0, "actual": 2.0}).json()["n"] == 1, (
        "what was not kept is no outcome"
    )
    assert http.get("/health").json()["status"] == "ok"
    assert metric(http, "aerocast_log_failures_total") == 4


def test_log_folder_may_vanish(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    _, http = serve(LOG_SECONDS="0.1")
    assert http.post("/predict", json={"station": "JFK"}).status_code == 200
    shutil.rmtree(tmp_path / "log", ignore_errors=True)
    until(lambda: metric(http, "aerocast_log_failures_total") >= 1 or bool(logged_answers(tmp_path)))
    assert http.post("/predict", json={"station": "JFK"}).status_code == 200
    until(lambda: len(logged_answers(tmp_path)) >= 1)
