"""The stream of events over real connections: each kind once, resumed without gap, and nobody held up by a listener."""

import random
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.contracts import anomalies, declared, drift_state, loop_notes
from aerocast.contracts.anomalies import Anomaly, AnomalyState
from aerocast.contracts.drift_state import Diagnosis, DriftState, Evidence, Fault, Heat
from aerocast.contracts.loop_notes import DecisionNotes, PastDecision, RetrainNotes, RetrainRun
from serving import notices
from serving.notices import KINDS
from tests.factories.feeds import small_feed
from tests.factories.releases import publish
from tests.factories.tails import NEWEST, grid, write_tail
from tests.harness.listener import Event, Listener
from tests.harness.problems import problem_of
from tests.harness.server import Server, metric
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
NOW, HOUR = datetime(2013, 12, 30, 19, tzinfo=UTC), timedelta(hours=1)
READING = {"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": 1.5}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish(tmp_path)
    write_tail(tmp_path)
    return tmp_path


def unusual(home: Path, *events: tuple[str, int, datetime | None], detail: str = "colder") -> None:
    """What the platform says of anomalies: (station, hour of its start, end)."""
    found = [
        Anomaly(station, NOW + at * HOUR, end, NOW, NOW, 3.5, "unknown", {"temperature": 1.0}, detail)
        for station, at, end in events
    ]
    anomalies.document(home, "noaa").write(AnomalyState("noaa", NOW, tuple(found)))


def diagnosed(home: Path, verdict: drift_state.Verdict, *, hot: bool, faults: tuple[Fault, ...] = ()) -> None:
    """What the platform believes of JFK's temperature."""
    evidence = (Evidence("error_ratio", "rmse", 1.8, 1.5, True, "errors are 1.8 times as large"),)
    diagnosis = Diagnosis("temperature", "JFK", verdict, NOW, None, 3.4, 1.9, 0.7, 60, evidence)
    heat = Heat("temperature", hot=hot, edges=int(hot), since=NOW)
    drift_state.document(home, "noaa").write(DriftState("noaa", NOW, NOW, (diagnosis,), faults, (heat,)))


def next_hour(home: Path) -> None:
    """JFK's readings go on by an hour."""
    write_tail(home, JFK=grid("JFK", rows=49, newest=NEWEST + np.timedelta64(3600, "s")))


def test_each_kind_is_told_once(home: Path, serve: Start) -> None:
    declared.publish(home, small_feed(home))
    diagnosed(home, "ok", hot=False)
    unusual(home)
    server, http = serve()
    with Listener(server.url) as listener:
        answer = http.get("/v1/predictions/JFK").json()
        (forecast,) = listener.take(1)
        assert forecast.what == ("forecast", "")
        assert (forecast.data["id"], forecast.data["station"]) == (answer["id"], "JFK")
        assert [each["horizon"] for each in forecast.data["forecasts"]] == [1, 6, 24]
        next_hour(home)
        (met,) = listener.take(1)
        assert met.what == ("outcome", "reading")
        assert (met.data["station"], met.data["horizon"], met.data["time"]) == ("JFK", 1, "2013-12-30T19:00:00Z")
        assert met.data["error"] == pytest.approx(met.data["actual"] - met.data["predicted"], abs=1e-3)
        http.post("/v1/eval", json={"predicted": 41.0, "actual": 40.5, "station": "LGA"})
        (posted,) = listener.take(1)
        assert posted.what == ("outcome", "posted")
        assert (posted.data["station"], posted.data["actual"]) == ("LGA", 40.5)
        http.post("/v1/observations/small", json=[READING] * 3)
        (accepted,) = listener.take(1)
        assert accepted.what == ("outcome", "observations")
        assert (accepted.data["feed"], accepted.data["readings"]) == ("small", 3)
        diagnosed(home, "concept_drift", hot=True)
        assert [each.what for each in listener.take(2)] == [("drift", "hot"), ("drift", "verdict")]
        fault = Fault("EWR", "pressure", "stuck", NOW, None, "it does not move")
        diagnosed(home, "concept_drift", hot=True, faults=(fault,))
        (began,) = listener.take(1)
        assert (began.what, began.data["column"]) == (("drift", "fault_began"), "pressure")
        diagnosed(home, "ok", hot=False)
        assert [each.data["change"] for each in listener.take(3)] == ["cool", "verdict", "fault_ended"]
        unusual(home, ("JFK", 0, None))
        unusual_now = listener.take(1)
        unusual(home, ("JFK", 0, NOW + 3 * HOUR))
        assert [each.what for each in unusual_now + listener.take(1)] == [("anomaly", "opened"), ("anomaly", "closed")]
        version = publish(home, 2)
        (promotion,) = listener.take(1)
        assert (promotion.what, promotion.data["version"]) == (("promotion", "serving"), version)
        http.get("/v1/predictions/JFK")  # nothing else was told in between
        (last,) = listener.take(1)
        assert (last.kind, last.number) == ("forecast", 14)
    for event in (forecast, met, posted, accepted, began, promotion, last):
        struct = getattr(notices, f"{event.kind.title()}Notice")
        assert msgspec.to_builtins(msgspec.convert(event.data, struct)) == event.data


def test_one_forecast_is_told_once_however_often_it_is_asked_for(home: Path, serve: Start) -> None:
    server, http = serve()
    with Listener(server.url, kind=["forecast", "drift"]) as listener:
        for _ in range(200):
            http.post("/v1/predict", json={"station": "JFK"})
        http.post("/v1/predict", json={"sequence": [[40.0, 9.0, 1015.0]] * 5, "station": "LGA"})
        diagnosed(home, "ok", hot=True)
        assert [each.what for each in listener.take(2)] == [("forecast", ""), ("drift", "hot")]


def decided(home: Path, *decisions: PastDecision, feed: str = "noaa") -> None:
    loop_notes.decisions(home, feed, "temperature").write(DecisionNotes(feed, "temperature", decisions[::-1]))


def decision(number: int, *, promoted: bool = False, **figures: Any) -> PastDecision:
    return PastDecision(datetime.now(UTC) + number * HOUR, "a word", f"reason {number}", promoted, **figures)


def retrained(home: Path, run: RetrainRun) -> None:
    loop_notes.retraining(home, "noaa").write(RetrainNotes("noaa", NOW, {}, {"temperature": run}))


def test_retrains_and_decisions_are_told(home: Path, serve: Start) -> None:
    old = PastDecision(NOW, "promoted", "long ago", promoted=True, test_rows=1)
    decided(home, old)
    retrained(home, RetrainRun("run-1", "drift", "promoted", NOW, NOW))
    server, http = serve()
    with Listener(server.url) as listener:
        retrained(home, RetrainRun("run-2", "drift temperature: JFK", "running", NOW))
        (began,) = listener.take(1)
        assert (began.what, began.data["run_id"]) == (("retrain", "began"), "run-2")
        refusal = decision(1, gain=0.01, p_value=0.4, test_rows=400, challenger="0003-9f2c01aa")
        decided(home, old, refusal)
        (refused,) = listener.take(1)
        assert refused.what == ("promotion", "refused")
        figures = {name: refused.data[name] for name in ("gain", "p_value", "test_rows", "challenger")}
        assert figures == {"gain": 0.01, "p_value": 0.4, "test_rows": 400, "challenger": "0003-9f2c01aa"}
        ended = RetrainRun("run-2", "drift temperature: JFK", "refused", NOW, NOW + HOUR)
        retrained(home, ended)
        (end,) = listener.take(1)
        assert (end.what, end.data["outcome"]) == (("retrain", "ended"), "refused")
        retrained(home, msgspec.structs.replace(ended, obstacle="hot, but waiting until tomorrow"))
        (wait,) = listener.take(1)
        assert (wait.what, wait.data["reason"]) == (("retrain", "waits"), "hot, but waiting until tomorrow")
        retrained(home, RetrainRun("run-3", "request", "failed", NOW, NOW))
        assert [each.data["change"] for each in listener.take(2)] == ["began", "ended"]
        back = decision(2, promoted=True, version="0001-a", incumbent="0002-a", hold="a person holds it")
        decided(home, old, refusal, back, decision(3), decision(4, hold="again"), decision(5, promoted=True))
        changes = [each.data["change"] for each in listener.take(4)]
        assert changes == ["rolled_back", "lifted", "held", "chosen"]
        for _ in range(2):
            http.post("/v1/routine-retrain-check", json={"force": True})
        (asked,) = listener.take(1)
        assert asked.what == ("retrain", "asked")
        assert asked.data["reason"].startswith("forced")


def test_first_decision_of_a_feed_is_told_and_older_ones_are_not(home: Path, serve: Start) -> None:
    server, _ = serve()
    with Listener(server.url) as listener:
        old, new = PastDecision(NOW, "refused", "long ago", test_rows=1), decision(1, promoted=True, test_rows=1)
        decided(home, old, new)
        retrained(home, RetrainRun("run-1", "drift", "failed", NOW, NOW))
        retrained(home, RetrainRun("run-2", "drift", "running", NOW))
        assert {each.what for each in listener.take(2)} == {("promotion", "promoted"), ("retrain", "began")}
        decided(home, new, feed="midwest")
        publish(home, feed="midwest")
        assert {each.what for each in listener.take(2)} == {("promotion", "serving"), ("promotion", "promoted")}


def test_release_that_does_not_load_is_told(home: Path, serve: Start) -> None:
    server, _ = serve()
    with Listener(server.url) as listener:
        version = publish(home, 2)
        (first,) = listener.take(1)
        assert first.what == ("promotion", "serving")
        (home / "releases/noaa/temperature/current.json").write_text("{")
        (damaged,) = listener.take(1)
        assert damaged.what == ("promotion", "unusable")
        assert damaged.data["version"] == version, "it serves on"


def test_client_that_comes_back_misses_nothing(home: Path, serve: Start) -> None:
    server, _ = serve()
    with Listener(server.url) as listener:
        last = listener.last
    unusual(home, ("JFK", 0, None), ("EWR", 1, None), ("LGA", 2, None))
    with Listener(server.url, last) as listener:
        first, second = listener.take(2)
    assert (first.data["station"], second.data["station"]) == ("JFK", "EWR")
    with Listener(server.url, first.id) as listener:
        again, third = listener.take(2)
    assert again == second
    assert third.data["station"] == "LGA"


@pytest.mark.parametrize("last", ["1-1", "x", "", "99999999999999999999999", "-", "1796071180495-\u0663", "a" * 3000])
def test_id_of_another_process_begins_with_reset(http: httpx.Client, shared_server: Server, last: str) -> None:
    headers = {"last-event-id": last.encode()}
    with http.stream("GET", "/v1/events", headers=headers) as answer:
        block = next(answer.iter_text())
    assert ("event: reset" in block) is bool(last)
    assert not last or '"reason":"other-process"' in block


@pytest.mark.e2e
def test_event_that_is_gone_begins_with_reset(home: Path, serve: Start) -> None:
    server, http = serve()
    with Listener(server.url) as listener:
        first = listener.last
    unusual(home, *(("JFK", at, None) for at in range(6000)))
    until(lambda: metric(http, 'aerocast_events_total{kind="anomaly"}') == 6000)
    with Listener(server.url, first) as listener:
        (event,) = listener.take(1)
        assert event.what == ("reset", "too-old")
        unusual(home)
        unusual(home, ("EWR", -1, None))
        (event,) = listener.take(1)
        assert (event.what, event.data["station"]) == (("anomaly", "opened"), "EWR")


def test_filters_choose_by_feed_station_and_kind(home: Path, serve: Start) -> None:
    publish(home, feed="midwest")
    write_tail(home, "midwest")
    server, http = serve()
    with ExitStack() as stack:

        def listening(**asked: object) -> Listener:
            return stack.enter_context(Listener(server.url, **asked))

        of_feed, of_station = listening(feed="midwest"), listening(station="EWR")
        of_kind, of_two = listening(kind="promotion"), listening(kind=["anomaly", "promotion"], feed="noaa")
        unusual(home, ("JFK", 0, None), ("EWR", 0, None))
        until(lambda: metric(http, 'aerocast_events_total{kind="anomaly"}') == 2)
        publish(home, 2)
        until(lambda: metric(http, 'aerocast_events_total{kind="promotion"}') == 1)
        publish(home, 2, feed="midwest")
        until(lambda: metric(http, 'aerocast_events_total{kind="promotion"}') == 2)
        http.get("/v1/predictions/EWR?feed=noaa")
        assert [each.data["feed"] for each in of_feed.take(1)] == ["midwest"]
        assert [each.kind for each in of_station.take(2)] == ["anomaly", "forecast"]
        assert [each.data["feed"] for each in of_kind.take(2)] == ["noaa", "midwest"]
        assert [each.kind for each in of_two.take(3)] == ["anomaly", "anomaly", "promotion"]


def test_what_breaks_a_rule_is_named(http: httpx.Client) -> None:
    odd = problem_of(http.get("/v1/events?kind=drift&kind=storm"), 400, "invalid-field")
    assert (odd["field"], odd["value"]) == ("kind", "storm")
    assert all(kind in odd["rule"] for kind in KINDS)
    odd = problem_of(http.get("/v1/events?feed=other"), 422, "unknown-feed")
    assert (odd["field"], odd["value"], odd["rule"]) == ("feed", "other", "one of noaa")
    odd = problem_of(http.get("/v1/events?station=XXX&feed=noaa"), 422, "unknown-station")
    assert (odd["field"], odd["value"]) == ("station", "XXX")
    assert "JFK" in odd["rule"]
    foreign = http.get("/v1/events", headers={"sec-fetch-site": "cross-site"})
    problem_of(foreign, 403, "cross-origin")
    assert http.post("/v1/events").status_code == 405


@given(feed=st.text(max_size=6), station=st.text(max_size=6), kind=st.lists(st.text(max_size=6), max_size=3))
def test_no_parameter_gives_status_500(http: httpx.Client, feed: str, station: str, kind: list[str]) -> None:
    """Here, because the fuzzers of all endpoints read answers to their end, and a stream has none."""
    asked: dict[str, object] = {"feed": feed, "station": station, "kind": kind}
    for each in ({"feed": feed}, {"station": station}, {"kind": kind}, asked):
        status = http.head("/v1/events", params=each).status_code  # type: ignore[arg-type]
        assert status in (200, 400, 422)


def test_head_is_answered_and_ends(http: httpx.Client) -> None:
    answer = http.head("/v1/events?kind=drift")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert http.head("/v1/events?kind=storm").status_code == 400
    assert metric(http, "aerocast_event_listeners") == 0


def test_stream_says_when_to_come_back_and_that_it_lives(http: httpx.Client, shared_server: Server) -> None:
    with Listener(shared_server.url, kind="retrain") as listener:
        assert "retry: 3000" in listener.lines
        while ": " not in listener.lines:
            listener._field()
        assert metric(http, "aerocast_event_listeners") == 1
    until(lambda: metric(http, "aerocast_event_listeners") == 0)


def test_listeners_beyond_the_limit_are_refused(home: Path, serve: Start) -> None:
    server, http = serve(MOST_LISTENERS="2")
    with Listener(server.url), Listener(server.url):
        answer = http.get("/v1/events")
        problem_of(answer, 429, "too-many-listeners")
        assert int(answer.headers["retry-after"]) > 0
        assert http.post("/v1/predict", json={"station": "JFK"}).status_code == 200
    until(lambda: http.head("/v1/events").status_code == 200)
    with Listener(server.url) as late:
        assert late.response.status_code == 200


def test_drain_ends_streams_at_once(home: Path, serve: Start) -> None:
    server, _ = serve()
    with Listener(server.url) as listener:
        server.process.terminate()
        assert list(listener) == [], "an end that is no error"
    assert server.process.wait(60) == 0
    assert "Traceback" not in "".join(server.log)


def unread(server: Server) -> socket.socket:
    """A listener that has asked and never reads."""
    host, port = server.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    client.sendall(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    return client


def burst(home: Path, turn: int) -> int:
    """New events of 3 KB each; how many there were with those of the turns before."""
    unusual(home, *(("JFK", 2000 * turn + at, None) for at in range(1500)), detail="x" * 3000)
    return 1500 * (turn + 1)


@pytest.mark.e2e
def test_slow_listener_is_told_and_holds_nobody_up(home: Path, serve: Start) -> None:
    server, http = serve(STALL_SECONDS="600")
    with unread(server) as slow, Listener(server.url) as quick:
        until(lambda: metric(http, "aerocast_event_listeners") == 2)
        for turn in range(5):
            total = burst(home, turn)
            numbers = [each.number for each in quick.take(1500)]
            assert numbers == list(range(total - 1499, total + 1)), "who reads gets all of it"
        memory, tail = server.memory(), b""
        while b"event: reset" not in tail:
            part = slow.recv(1 << 20)
            assert part, "it goes on"
            tail = tail[-1000:] + part
        assert b'"reason":"too-slow"' in tail + slow.recv(1 << 16)
    assert memory < 500, "the ring, whoever does not read"
    until(lambda: metric(http, "aerocast_event_listeners") == 0)


@pytest.mark.e2e
def test_listener_that_never_reads_is_ended_and_leaves_nothing(home: Path, serve: Start) -> None:
    server, http = serve(STALL_SECONDS="2")
    with unread(server):
        until(lambda: metric(http, "aerocast_event_listeners") == 1)
        for turn in range(3):
            total = burst(home, turn)
            until(lambda total=total: metric(http, 'aerocast_events_total{kind="anomaly"}') == total)
        until(lambda: metric(http, "aerocast_event_listeners") == 0)
        assert metric(http, 'aerocast_connections_refused_total{reason="slow-reader"}') == 1
    assert http.get("/health").json()["status"] == "ok"


@pytest.mark.e2e
def test_what_is_read_over_reconnections_has_no_gap(home: Path, serve: Start, seed: int) -> None:
    """Events come while a client connects again and again; what it has at the end is what one that stayed has."""
    server, http = serve()
    chance, most, seen = random.Random(seed), 120, list[Event]()

    def produce() -> None:
        for at in range(most):
            unusual(home, *(("JFK", each, None) for each in range(at + 1)))

    with Listener(server.url) as stayed:
        last = stayed.last
        producer = threading.Thread(target=produce)
        producer.start()
        while len(seen) < most:
            with Listener(server.url, last) as listener:
                seen += listener.take(min(chance.randrange(1, 12), most - len(seen)))
                last = seen[-1].id
        producer.join()
        assert seen == stayed.take(most), f"--seed {seed}"
    assert [each.number for each in seen] == list(range(1, most + 1))
    until(lambda: metric(http, "aerocast_event_listeners") == 0)
