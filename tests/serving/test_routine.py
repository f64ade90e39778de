"""The routine check: a champion's age in the feed's time, and the request for a retrain that it leaves."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from aerocast.contracts import clock, declared, requests
from aerocast.contracts.clock import Clock
from aerocast.contracts.pointer import Hold
from aerocast.releases import release
from tests.factories.feeds import small_feed
from tests.factories.releases import graph, manifest, publish
from tests.factories.tails import write_tail
from tests.harness.server import Server
from tests.harness.waits import until

pytestmark = pytest.mark.e2e  # a server beside an instance

Start = Callable[..., tuple[Server, httpx.Client]]
PATH = "/routine-retrain-check"
MADE = datetime(2013, 10, 19, tzinfo=UTC)


def promoted(home: Path, limit: timedelta | None, feed_time: datetime | None = MADE, **changes: Any) -> str:
    """A release made at `feed_time`, of a feed that ends 73 days later."""
    made = manifest(**changes)
    feed = msgspec.structs.replace(made.feed, max_age=limit)
    lineage = msgspec.structs.replace(made.lineage, feed_time=feed_time)
    made = msgspec.structs.replace(made, feed=feed, lineage=lineage)
    version = release.write(home, made, {"model.onnx": graph()})
    release.promote(home, feed.name, made.target, version)
    write_tail(home, feed.name)
    return version


def check(http: httpx.Client, **query: str) -> dict[str, Any]:
    answer = http.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ask(http: httpx.Client, body: Any = None, **query: str) -> dict[str, Any]:
    answer = http.post(PATH, json=body, params=query) if body is not None else http.post(PATH, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_old_champion_is_due_and_only_post_requests_retrain(tmp_path: Path, serve: Start) -> None:
    version = promoted(tmp_path, timedelta(days=30))
    server, http = serve()
    found = check(http)
    assert found == {
        "feed": "noaa",
        "target": "temperature",
        "version": version,
        "trained_at": "2013-10-19T00:00:00Z",
        "now": "2013-12-31T00:00:00Z",
        "age_seconds": 73 * 86400,
        "limit_seconds": 30 * 86400,
        "due": True,
        "request": None,
        "hold": None,
    }
    assert requests.open_requests(tmp_path, "noaa") == {}
    asked = ask(http)
    request = requests.open_requests(tmp_path, "noaa")["temperature"]
    assert asked == found | {"request": request.id}
    assert request.reason == f"{version} is 73 days old, its limit is 30 days"
    assert ask(http)["request"] == check(http)["request"] == request.id, "one open request a target"
    server.process.kill()
    server.process.wait()
    _, http = serve()
    assert check(http)["request"] == request.id, "it outlives the server"
    requests.close_request(tmp_path, "noaa", "temperature", request)
    assert check(http)["request"] is None


def test_young_champion_is_requested_only_with_force(tmp_path: Path, serve: Start) -> None:
    version = promoted(tmp_path, timedelta(days=100))
    _, http = serve()
    for body in (None, {}, {"force": False}):
        found = ask(http, body)
        assert (found["due"], found["request"]) == (False, None)
    assert requests.open_requests(tmp_path, "noaa") == {}
    assert ask(http, {"force": True})["request"]
    request = requests.open_requests(tmp_path, "noaa")["temperature"]
    assert (request.reason, request.force) == (f"forced; {version} is 73 days old", True)


def test_age_follows_clock_of_feed(tmp_path: Path, serve: Start) -> None:
    promoted(tmp_path, timedelta(days=30))
    clock.document(tmp_path, "noaa").write(Clock(MADE + timedelta(days=29), datetime.now(UTC), 0.0))
    _, http = serve()
    assert (check(http)["age_seconds"], check(http)["due"]) == (29 * 86400, False)
    clock.document(tmp_path, "noaa").write(Clock(MADE + timedelta(days=31), datetime.now(UTC), 0.0))
    until(lambda: bool(check(http)["due"]))


def test_limit_and_end_follow_current_declaration(tmp_path: Path, serve: Start) -> None:
    """No model depends on them, so that a changed declaration does not wait for the next release."""
    promoted(tmp_path, timedelta(days=30))
    _, http = serve()
    assert check(http)["due"]
    changes = {"end": "2014-02-01T00:00:00Z", "retraining": {"max_age": "P200D"}}
    declared.publish(tmp_path, small_feed(tmp_path / "none.csv", name="noaa", start="2013-01-01T00:00:00Z", **changes))
    until(lambda: check(http)["now"] == "2014-02-01T00:00:00Z")
    seen = check(http)
    assert (seen["due"], seen["limit_seconds"]) == (False, 200 * 86400)


def test_older_release_has_neither_limit_nor_feed_time(tmp_path: Path, serve: Start) -> None:
    promoted(tmp_path, None, None)
    _, http = serve()
    found = check(http)
    assert (found["limit_seconds"], found["due"], found["age_seconds"]) == (None, False, 0.0)
    assert found["trained_at"] == "2024-01-01T00:00:01Z", "real time, later than the recorded feed's end"


def test_hold_is_shown_with_champion(tmp_path: Path, serve: Start) -> None:
    version = promoted(tmp_path, timedelta(days=30))
    release.promote(tmp_path, "noaa", "temperature", version, Hold(MADE, reason="the newer one is worse"))
    _, http = serve()
    hold = {"since": "2013-10-19T00:00:00Z", "until": None, "reason": "the newer one is worse"}
    places = [check(http), http.get("/health").json()["releases"][0], http.get("/models").json()[0]]
    assert [place["hold"] for place in places] == [hold] * 3
    release.promote(tmp_path, "noaa", "temperature", version, Hold(MADE, until=MADE + timedelta(days=1)))
    until(lambda: check(http)["hold"] is None)  # its time has passed


def test_feed_and_target_may_be_named(tmp_path: Path, serve: Start) -> None:
    promoted(tmp_path, timedelta(days=30), number=1)
    promoted(tmp_path, timedelta(days=30), number=2, target="pressure")
    publish(tmp_path, 3, feed="midwest")
    _, http = serve()
    problem = http.get(PATH)
    assert (problem.status_code, problem.json()["field"]) == (422, "feed")
    assert check(http, feed="noaa")["target"] == "temperature"
    assert ask(http, feed="noaa", target="pressure")["request"]
    assert [*requests.open_requests(tmp_path, "noaa")] == ["pressure"]
    assert check(http, feed="noaa")["request"] is None


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [(b"{", 400, "body"), (b'{"force": 1}', 422, "force"), (b'{"now": true}', 422, "now"), (b"[]", 422, "body")],
)
def test_invalid_body_is_refused(http: httpx.Client, body: bytes, status: int, field: str) -> None:
    answer = http.post(PATH, content=body)
    assert (answer.status_code, answer.json()["field"]) == (status, field), answer.text


def test_unknown_names_are_refused(http: httpx.Client) -> None:
    for query, field in (({"feed": "mars"}, "feed"), ({"target": "rain"}, "target")):
        for answer in (http.get(PATH, params=query), http.post(PATH, params=query)):
            assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_unwritable_disk_is_problem(tmp_path: Path, serve: Start) -> None:
    promoted(tmp_path, timedelta(days=30))
    _, http = serve()
    (tmp_path / "requests").write_text("")
    answer = http.post(PATH)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:aerocast:problem:requests-unavailable")
    assert http.post("/predict", json={"station": "JFK"}).status_code == 200


def test_unreadable_request_is_problem(tmp_path: Path, serve: Start) -> None:
    promoted(tmp_path, timedelta(days=30))
    _, http = serve()
    path = tmp_path / "requests" / "noaa" / "temperature.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"id": ')
    for answer in (http.get(PATH), http.post(PATH)):
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:aerocast:problem:requests-unavailable")


def test_check_without_release_is_refused(tmp_path: Path, serve: Start) -> None:
    _, http = serve()
    assert http.get(PATH).status_code == http.post(PATH).status_code == 503
