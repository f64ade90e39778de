"""What the server says of anomalies: the document that the platform publishes, by station and time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from aerocast.contracts import anomalies as state
from aerocast.contracts.anomalies import Anomaly, AnomalyState, Newest
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.problems import problem_of
from tests.harness.server import Server

Start = Callable[..., tuple[Server, httpx.Client]]
NOW, DAY = datetime(2013, 12, 30, 19, tzinfo=UTC), timedelta(days=1)
DETAIL = "temperature 71.2 degF, 5.1 usual deviations above what the days before suggest"


def event(station: str, start: datetime, end: datetime | None) -> Anomaly:
    return Anomaly(station, start, end, start, start, 3.6, "weather", {"temperature": 1.0}, DETAIL, 1, ("LGA",), 2)


@pytest.fixture
def client(tmp_path: Path, serve: Start) -> httpx.Client:
    """A server whose platform has seen three events, of which one lasts."""
    publish(tmp_path)
    write_tail(tmp_path)
    events = (
        event("JFK", NOW - 9 * DAY, NOW - 8 * DAY),
        event("EWR", NOW - 5 * DAY, NOW - 4 * DAY),
        event("JFK", NOW - DAY / 4, None),
    )
    newest = {"JFK": Newest(NOW, 3.2), "EWR": Newest(NOW, None)}
    state.document(tmp_path, "noaa").write(AnomalyState("noaa", NOW, events, newest))
    return serve()[1]


def starts(client: httpx.Client, **asked: str) -> list[str]:
    return [each["start"] for each in client.get("/v1/anomalies", params=asked).json()["events"]]


def test_events_have_columns_cause_and_a_sentence(client: httpx.Client) -> None:
    answer = client.get("/v1/anomalies").json()
    assert (answer["feed"], answer["judged_at"]) == ("noaa", "2013-12-30T19:00:00Z")
    assert {each["station"]: each["surprise"] for each in answer["newest"]} == {"JFK": 3.2, "EWR": None}
    newest = answer["events"][-1]
    assert (newest["station"], newest["end"], newest["cause"], newest["detail"]) == ("JFK", None, "weather", DETAIL)
    assert (newest["columns"], newest["seen_at"]) == ({"temperature": 1.0}, ["LGA"])


def test_station_and_time_choose_events_that_overlap(client: httpx.Client) -> None:
    first, second, third = starts(client)
    assert starts(client, station="EWR", feed="noaa") == [second]
    assert starts(client, station="JFK") == [first, third]
    assert starts(client, **{"from": "2013-12-25T19:30:00Z"}) == [second, third], "one that lasts until after it"
    assert starts(client, to="2013-12-25T19:00:00Z") == [first], "none that begins then"
    assert starts(client, **{"from": "2013-12-22T19:00:00Z", "to": "2013-12-25T19:00:00Z"}) == []


def test_what_breaks_a_rule_is_named(client: httpx.Client) -> None:
    assert problem_of(client.get("/v1/anomalies?from=yesterday"), 400, "invalid-field")["field"] == "from"
    assert problem_of(client.get("/v1/anomalies?to=2013-12-25T19:00:00"), 400, "invalid-field")["field"] == "to"
    assert client.get("/v1/anomalies?station=XXX").status_code == 422
    assert client.get("/v1/anomalies?feed=other").status_code == 422


def test_feed_that_was_never_looked_at_has_none(http: httpx.Client) -> None:
    assert http.get("/v1/anomalies").json() == {"feed": "noaa", "judged_at": None, "newest": [], "events": []}


def test_damaged_document_is_a_refusal_and_not_an_empty_list(tmp_path: Path, client: httpx.Client) -> None:
    (tmp_path / "anomalies/noaa.json").write_text("{")
    answer = client.get("/v1/anomalies")
    problem_of(answer, 503, "anomalies-unreadable")
    assert answer.headers["retry-after"] == "60"
