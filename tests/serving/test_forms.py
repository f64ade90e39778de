"""Requests of older clients over real HTTP: declared forms beside the common one, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts import declared
from aerocast.feed.declaration import Feed
from tests.factories.feeds import small_feed
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.server import Server
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
SITES = {
    "station": "site_id",
    "time": "timestamp",
    "answer": {"site_id": "station", "timestamp": "time", "{target}_pred": "value", "source": "source"},
}
DEMAND = {
    "columns": {"temp": "temperature"},
    "ignored": ["humidity"],
    "station": "meter",
    "answer": {"model_version": "version", "predicted_demand": "value"},
}


@pytest.fixture
def http(tmp_path: Path, noaa: Feed, serve: Start) -> httpx.Client:
    """A server of noaa, whose release forecasts the newest temperature and a degree for each hour."""
    publish(tmp_path, 1, bias=1.0)
    write_tail(tmp_path)
    feed = Feed.parse(noaa.model_dump(mode="json") | {"request_forms": [SITES, DEMAND]})
    declared.publish(tmp_path, feed)
    _, client = serve()
    until(lambda: "site_id" in client.post("/predict", json={"site_id": "JFK"}).text)
    return client


def ask(http: httpx.Client, body: Any, address: str = "/predict?feed=noaa&target=temperature") -> dict[str, Any]:
    answer = http.post(address, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_older_client_reads_its_own_words(http: httpx.Client) -> None:
    common = ask(http, {"station": "JFK", "feed": "noaa"}, "/predict")
    answer = ask(http, {"site_id": "JFK", "timestamp": "2024-06-01T00:00:00"})
    assert answer == {
        "site_id": "JFK",
        "timestamp": "2024-06-01T00:00:00",
        "temperature_pred": common["forecasts"][0]["value"],
        "source": "online",
    }
    assert ask(http, {"site_id": "EWR"})["source"] == "parquet", "its readings are late"
    assert ask(http, {"site_id": "JFK"})["timestamp"] == common["origin"]


def test_values_of_the_request_stand_for_the_newest_step(http: httpx.Client) -> None:
    cold, warm = (ask(http, {"meter": "JFK", "temp": value, "humidity": 60}) for value in (20.0, 80.0))
    assert warm["predicted_demand"] - cold["predicted_demand"] == pytest.approx(60, abs=0.01)
    assert set(cold) == {"model_version", "predicted_demand"}
    plain = ask(http, {"station": "JFK"})
    assert ask(http, {"meter": "JFK", "humidity": 1})["predicted_demand"] == plain["forecasts"][0]["value"]


def test_common_form_may_name_feed_and_target_in_the_address(http: httpx.Client) -> None:
    assert ask(http, {"station": "JFK"})["feed"] == "noaa"
    refusal = http.post("/predict?feed=noaa", json={"station": "JFK", "feed": "small"})
    assert refusal.status_code == 422
    assert refusal.json()["field"] == "feed"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"site_id": "XXX"}, "station"),
        ({"timestamp": "2024-06-01"}, "site_id"),
        ({"site_id": True}, "site_id"),
        ({"meter": "JFK", "temp": 400}, "temp"),
        ({"meter": "JFK", "temp": "warm"}, "temp"),
        ({"meter": "JFK", "temp": 20, "wind": 3}, "meter"),
        ({"site_id": "JFK", "meter": "JFK"}, "site_id"),
    ],
)
def test_request_that_fits_no_form_is_refused_by_field(http: httpx.Client, body: Any, field: str) -> None:
    answer = http.post("/predict?feed=noaa", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"answer": {"y": "value"}}, "must name a field"),
        ({"station": "a", "time": "a", "answer": {"y": "value"}}, "'a' is named twice"),
        ({"station": "a", "answer": {}}, "answer"),
        ({"station": "a", "answer": {"y": "forecast"}}, "answer"),
        ({"station": "a", "columns": {"x": "snow"}, "answer": {"y": "value"}}, "'snow' is not a column"),
        ({"station": "a", "target": "snow", "answer": {"y": "value"}}, "'snow' is not a target"),
        ({"time": "a", "answer": {"y": "value"}}, "the feed has 2 stations"),
    ],
)
def test_declared_form_is_checked(tmp_path: Path, form: dict[str, Any], words: str) -> None:
    with pytest.raises(AeroCastError, match=words):
        small_feed(tmp_path, request_forms=[form])
