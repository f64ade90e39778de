"""The REST source against a service with scripted and with recorded answers: paging, spans, failures, memory."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from tests import SHARED
from tests.factories.feeds import small_feed
from tests.harness.sources import Poller
from tests.harness.weather_service import Reply, Service

pytest.importorskip("dlt", reason="dlt is not installed")
START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = START + 30 * HOUR


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.shutdown()
    service.server.server_close()


def feed(path: Path, service: Service, address: str = "/readings", **source: Any) -> Feed:
    declared = {"kind": "rest", "url": service.url + address, "station_field": "place", "time_field": "at"}
    return small_feed(path, source=declared | source)


def records(first: int, count: int, station: str = "AAA", **values: Any) -> list[dict[str, Any]]:
    hours = range(first, first + count)
    return [
        {"place": station, "at": (START + hour * HOUR).isoformat(), "t": hour + 0.5, "w": 3} | values for hour in hours
    ]


def test_records_are_readings_as_if_they_were_posted(tmp_path: Path, service: Service) -> None:
    """Names by the declaration, aliases and nested fields included; what is not declared is ignored."""
    service.script["/readings"] = [Reply(records(0, 3) + records(3, 1, p=1013.25, battery=3.1, t=None))]
    poller = Poller(feed(tmp_path, service), tmp_path)
    assert poller.poll(NOW) == 4
    first, *_, last = poller.rows()
    assert [first[name] for name in ("station", "time", "t", "w", "p")] == ["AAA", START, "0.5", "3", None]
    assert (last["t"], last["p"]) == (None, "1013.25")


PAGING: list[tuple[dict[str, Any], dict[str, Any], dict[str, list[Reply]]]] = [
    ({"kind": "link", "path": "next"}, {"records": "data"}, {
        "/readings": [Reply({"data": records(0, 2), "next": "/more?page=2"})],
        "/more?page=2": [Reply({"data": records(2, 2), "next": None})]}),
    ({"kind": "header"}, {}, {
        "/readings": [Reply(records(0, 2), headers={"Link": '</more>; rel="next"'})], "/more": [Reply(records(2, 2))]}),
    ({"kind": "page", "first": 1}, {"records": "data"}, {
        "/readings?page=1": [Reply({"data": records(0, 2)})], "/readings?page=2": [Reply({"data": records(2, 2)})],
        "/readings?page=3": [Reply({"data": []})]}),
    ({"kind": "page", "first": 0, "parameter": "p", "total": "pages"}, {"records": "data"}, {
        "/readings?p=0": [Reply({"data": records(0, 2), "pages": 2})],
        "/readings?p=1": [Reply({"data": records(2, 2), "pages": 2})]}),
    ({"kind": "offset", "limit": 2}, {}, {
        "/readings?offset=0&limit=2": [Reply(records(0, 2))], "/readings?offset=2&limit=2": [Reply(records(2, 2))],
        "/readings?offset=4&limit=2": [Reply([])]}),
    ({"kind": "cursor", "path": "meta.after", "parameter": "after"}, {"records": "items"}, {
        "/readings?after=b": [Reply({"items": records(2, 2), "meta": {}})],
        "/readings": [Reply({"items": records(0, 2), "meta": {"after": "b"}})]}),
]  # fmt: skip


@pytest.mark.parametrize(("paging", "more", "script"), PAGING, ids=[str(each[0]) for each in PAGING])
def test_every_page_is_read(
    tmp_path: Path, service: Service, paging: dict[str, Any], more: dict[str, Any], script: dict[str, list[Reply]]
) -> None:
    service.script |= script
    poller = Poller(feed(tmp_path, service, paging=paging, **more), tmp_path)
    assert poller.poll(NOW) == 4
    assert [row["time"] for row in poller.rows()] == [START + hour * HOUR for hour in range(4)]


def test_poll_asks_for_the_span_since_the_newest_reading(tmp_path: Path, service: Service) -> None:
    service.script["/readings"] = [Reply(records(0, 24)), Reply(records(22, 4))]
    span = {"from": "{since}", "to": "{until}", "unit": "si"}
    poller = Poller(feed(tmp_path, service, parameters=span, reach="P2D", overlap="PT2H"), tmp_path)
    assert poller.poll(NOW) == 24
    assert poller.poll(NOW) == 2, "two of the four are there already"
    asked = [parse_qs(urlsplit(path).query) for path in service.paths()]
    assert asked[0] == {"from": ["2023-12-31T06:00:00Z"], "to": ["2024-01-02T06:00:00Z"], "unit": ["si"]}
    assert asked[1]["from"] == ["2024-01-01T21:00:00Z"]


@pytest.mark.parametrize(
    ("form", "text"), [("epoch", "1704175200"), ("epoch_ms", "1704175200000"), ("%Y-%m-%d", "2024-01-02")]
)
def test_span_is_written_as_declared(tmp_path: Path, service: Service, form: str, text: str) -> None:
    service.script["/readings"] = [Reply(records(0, 1))]
    Poller(feed(tmp_path, service, parameters={"to": "{until}"}, span_format=form), tmp_path).poll(NOW)
    assert service.paths() == [f"/readings?to={text}"]


def test_stations_are_asked_for_one_by_one_and_one_that_fails_stops_no_other(tmp_path: Path, service: Service) -> None:
    rows = [{name: value for name, value in each.items() if name != "place"} for each in records(0, 3)]
    service.script |= {"/AAA/now": [Reply(status=404)], "/BBB/now": [Reply(rows)]}
    poller = Poller(feed(tmp_path, service, "/{station}/now"), tmp_path)
    assert poller.poll(NOW) == 3
    assert {row["station"] for row in poller.rows()} == {"BBB"}
    assert any("station AAA failed" in note and "404" in note for note in poller.notes), poller.notes
    service.script["/AAA/now"] = [Reply(rows)]
    assert poller.poll(NOW) == 3, "what a station failed to say is asked for again"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status=403), "403"),
        (Reply(b"<html>", headers={"Content-Type": "text/html"}), "JSON"),
        (Reply([{"place": "AAA", "t": 1}]), "at"),
        (Reply(["a", "b"]), "object"),
        (Reply({"data": records(0, 1), "next": "http://127.0.0.2:9/steal"}), "another host"),
    ],
    ids=["refused", "no JSON", "no time", "no objects", "another host"],
)
def test_failure_is_one_sentence_and_keeps_keys(tmp_path: Path, service: Service, reply: Reply, words: str,
                                               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("API_KEY", "geheim")
    service.script["/readings"] = [reply]
    paging = {"kind": "link"} if isinstance(reply.body, dict) else {"kind": "none"}
    selector = "data" if isinstance(reply.body, dict) else "$"
    declared = feed(tmp_path, service, headers={"X-Key": "$API_KEY"}, paging=paging, records=selector)
    with pytest.raises(AeroCastError, match=words) as raised:
        list(declared.source.read(declared, ReadRequest(now=NOW)))
    assert "geheim" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert service.asked[0][1]["X-Key"] == "geheim"


def test_lost_lake_is_filled_again_whatever_the_memory_says(tmp_path: Path, service: Service) -> None:
    service.script["/readings"] = [Reply(records(0, 24))]
    declared = feed(tmp_path, service, parameters={"from": "{since}"}, reach="P2D")
    Poller(declared, tmp_path).poll(NOW)
    assert Poller(declared, tmp_path, "another").poll(NOW) == 24
    assert len(set(service.paths())) == 1


@pytest.mark.skipif(not SHARED.exists(), reason=f"no test data at {SHARED} (AEROCAST_TEST_DATA)")
def test_weather_service_is_read_by_declaration_alone(tmp_path: Path, service: Service) -> None:
    """153 observations as api.weather.gov answered them."""
    body = json.loads((SHARED / "nws_api_recorded/restored/2019__KCNK__observations_153.json").read_bytes())
    service.script["/stations/KCNK/observations"] = [Reply(body)]
    columns = [{"name": "temperature", "field": "properties.temperature.value", "source_unit": "degC", "unit": "degC",
                "range": [-50, 55]}]  # fmt: skip
    declared = small_feed(
        tmp_path, stations=[{"id": "KCNK"}], columns=columns, start="2017-01-01T00:00:00Z", end="2020-01-01T00:00:00Z",
        window={"steps": 5, "columns": ["temperature"], "look_back": 24},
        source={"kind": "rest", "url": service.url + "/stations/{station}/observations", "records": "features",
                "station_field": "station", "time_field": "properties.timestamp"},
    )  # fmt: skip
    poller = Poller(declared, tmp_path)
    assert poller.poll(datetime(2019, 8, 17, 12, tzinfo=UTC)) == len(body["features"]) == 153
    measured = [each["properties"]["temperature"]["value"] for each in body["features"]]
    assert sum(row["properties.temperature.value"] is not None for row in poller.rows()) == sum(
        value is not None for value in measured
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"url": "ftp://x/y"}, "url"),
        ({"paging": {"kind": "pages"}}, "paging"),
        ({"paging": {"kind": "cursor"}}, "paging"),
        ({"reach": "-P1D"}, "reach"),
    ],
)
def test_declaration_is_checked(tmp_path: Path, service: Service, source: dict[str, Any], words: str) -> None:
    with pytest.raises(AeroCastError, match=words):
        feed(tmp_path, service, **source)
