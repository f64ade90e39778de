"""The newest readings that the server answers: what was measured, never what fills a gap."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from aerocast.contracts import declared
from aerocast.features.grid import Place
from aerocast.feed.declaration import Feed
from tests.factories.feeds import declaration
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.problems import problem_of
from tests.harness.server import Server

Start = Callable[..., tuple[Server, httpx.Client]]


def test_measured_values_and_age_of_what_a_forecast_takes(http: httpx.Client) -> None:
    answer = http.get("/v1/readings", params={"steps": 4}).json()
    assert (answer["feed"], answer["cadence_seconds"]) == ("noaa", 3600)
    stations = {each["station"]: each for each in answer["stations"]}
    assert list(stations) == ["JFK", "LGA", "EWR"]
    assert stations["JFK"]["times"][-1] == "2013-12-30T18:00:00Z"
    temperature, _, pressure = stations["LGA"]["columns"]
    assert (temperature["column"], temperature["unit"], temperature["age"]) == ("temperature", "degF", 0)
    assert temperature["values"] == pytest.approx([51.0, 51.25, 51.5, 51.75])
    assert pressure["values"][0] == pytest.approx(1015.0)
    assert (pressure["values"][1:], pressure["age"]) == ([None, None, None], 3), "what was carried was not measured"


def test_station_that_is_silent_for_too_long_is_late(http: httpx.Client) -> None:
    late = {each["station"]: each["late"] for each in http.get("/v1/readings").json()["stations"]}
    assert late == {"JFK": False, "LGA": False, "EWR": True}, "the feed's end is its present"


def test_one_station_and_its_refusals(http: httpx.Client) -> None:
    answer = http.get("/v1/readings", params={"station": "EWR", "steps": 1}).json()
    assert [(each["station"], len(each["times"])) for each in answer["stations"]] == [("EWR", 1)]
    problem_of(http.get("/v1/readings", params={"station": "XXX"}), 422, "unknown-station")
    assert http.get("/v1/readings", params={"steps": 0}).status_code == 400


def test_station_without_rows_is_there(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path)
    for each in serve()[1].get("/v1/readings").json()["stations"]:
        assert (each["times"], each["columns"], each["newest_reading"], each["late"]) == ([], [], None, True)


def test_places_are_those_that_are_declared(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    stations = [
        {"id": "JFK", "latitude": 40.6, "longitude": -73.8, "timezone": "America/New_York"},
        {"id": "LGA", "timezone": "America/New_York"},
        {"id": "EWR", "timezone": "America/New_York"},
    ]
    feed = Feed.parse(declaration(tmp_path, name="noaa", stations=stations))
    assert Place.of_feed(feed)[0].latitude == pytest.approx(40.6)
    declared.publish(tmp_path, feed)
    answer = serve()[1].get("/v1/readings").json()
    places = {each["station"]: (each["latitude"], each["longitude"]) for each in answer["stations"]}
    assert places == {"JFK": (40.6, -73.8), "LGA": (None, None), "EWR": (None, None)}
