"""The newest forecast of a station by GET: the same answer as POST /predict gives, logged by the same rules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories.releases import HORIZONS, publish
from tests.factories.tails import write_tail
from tests.harness.problems import assert_problem
from tests.harness.server import Server, logged_answers, metric
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
OWN = ("id", "issued_at")
CROSS_SITE = {"sec-fetch-site": "cross-site"}


def content(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name not in OWN}


def test_newest_forecast_has_all_horizons_and_quantiles(http: httpx.Client) -> None:
    answer = http.get("/v1/predictions/JFK").json()
    assert [each["horizon"] for each in answer["forecasts"]] == list(HORIZONS)
    assert all(each["quantiles"] for each in answer["forecasts"])
    assert (answer["station"], answer["degraded"]) == ("JFK", False)


NAMES = st.one_of(st.sampled_from(["JFK", "LGA", "EWR"]), st.text("AJFK%?# é", min_size=1, max_size=5))
FEEDS = st.sampled_from([None, "noaa", "other"])
TARGETS = st.sampled_from([None, "temperature", "pressure"])


@settings(deadline=None, max_examples=25)
@given(NAMES, FEEDS, TARGETS)
def test_answer_and_refusal_are_those_of_predict(
    http: httpx.Client, station: str, feed: str | None, target: str | None
) -> None:
    parameters = {name: value for name, value in (("feed", feed), ("target", target)) if value}
    one = http.post("/v1/predict", json={"station": station, **parameters})
    other = http.get(f"/v1/predictions/{quote(station, safe='')}", params=parameters)
    assert other.status_code == one.status_code
    assert content(other) == content(one)


def test_unknown_station_names_field_and_rule(http: httpx.Client) -> None:
    problem = assert_problem(http.get("/v1/predictions/XXX"), 422, "unknown-station", "station", None)
    assert problem["value"] == "XXX"


def test_degradation_is_that_of_predict(http: httpx.Client) -> None:
    assert [each["code"] for each in http.get("/v1/predictions/LGA").json()["reasons"]] == ["gap_filled"]
    assert [each["code"] for each in http.get("/v1/predictions/EWR").json()["reasons"]] == ["stale_station"]


def test_nothing_to_forecast_from_is_said(tmp_path: Path, serve: Start) -> None:
    _, http = serve()
    assert http.get("/v1/predictions/JFK").status_code == 503
    publish(tmp_path)
    until(lambda: "no-readings" in http.get("/v1/predictions/JFK").text)


@pytest.mark.parametrize(("headers", "logged"), [({}, 2), (CROSS_SITE, 1)])
def test_log_has_what_predict_would_log(tmp_path: Path, serve: Start, headers: dict[str, str], logged: int) -> None:
    """Who may write is logged each time; a page of another origin, as a stranger, once a forecast."""
    publish(tmp_path)
    write_tail(tmp_path)
    server, http = serve(LOG_SECONDS="0.1")
    ids = [http.get("/v1/predictions/JFK", headers=headers).json()["id"] for _ in range(2)]
    assert metric(http, "predictions_total") == 2
    assert metric(http, "aerocast_predict_latency_ms_count") == 2
    server.__exit__()
    assert [one.id for one in logged_answers(tmp_path)] == ids[:logged]


def test_outcome_by_id_of_newest_forecast_is_accepted(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    _, http = serve()
    answer = http.get("/v1/predictions/JFK").json()
    outcome = {"id": answer["id"], "horizon": 1, "actual": answer["forecasts"][0]["value"]}
    assert http.post("/v1/eval", json=outcome).json()["n"] == 1
