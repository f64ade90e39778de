"""Outcomes: by id or as pairs, the live error they give, and what is wrong with a bad one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.contracts import predictions
from aerocast.contracts.predictions import PostedOutcome
from serving.outcomes import LiveErrors, Recent
from serving.schemas import Forecast, ModelInfo, Prediction
from tests.factories.releases import publish
from tests.factories.tails import NEWEST, write_tail
from tests.harness.server import Server, metric
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
JFK = {"station": "JFK"}
LABELS = '{feed="noaa",target="temperature"}'


@pytest.fixture
def started(tmp_path: Path, serve: Start) -> httpx.Client:
    publish(tmp_path, 1, bias=1.0)
    write_tail(tmp_path)
    return serve(LOG_SECONDS="0.1")[1]


def ask(http: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = http.post("/eval", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def posted(home: Path) -> list[PostedOutcome]:
    return [
        one for path in predictions.closed_segments(home, "noaa") for one in predictions.read_segment(path).outcomes
    ]


def test_outcomes_by_id_and_as_pairs_give_live_error(tmp_path: Path, started: httpx.Client) -> None:
    http = started
    assert metric(http, f"aerocast_last_rmse{LABELS}") == 2.5, "before the first: that of the release"
    answer = http.post("/predict", json=JFK).json()
    first = answer["forecasts"][0]["value"]
    found = ask(http, id=answer["id"], horizon=1, actual=first + 3)
    assert found == {"feed": "noaa", "target": "temperature", "rmse": 3.0, "n": 1, "drift_flagged": False}
    found = ask(http, id=answer["id"], horizon=6, actual=answer["forecasts"][1]["value"] - 4)
    assert (found["rmse"], found["n"]) == (pytest.approx(12.5**0.5), 2)
    found = ask(http, predicted=50.0, actual=50.0, station="EWR", feed="noaa", target="temperature")
    assert (found["rmse"], found["n"]) == (pytest.approx((25 / 3) ** 0.5), 3)
    assert metric(http, f"aerocast_last_rmse{LABELS}") == pytest.approx((25 / 3) ** 0.5)
    until(lambda: len(posted(tmp_path)) == 3)
    one, _, pair = posted(tmp_path)
    assert (one.id, one.horizon, one.actual, one.predicted, one.station) == (answer["id"], 1, first + 3, None, "JFK")
    assert (pair.id, pair.horizon, pair.actual, pair.predicted, pair.station) == (None, None, 50.0, 50.0, "EWR")


def test_repeated_outcome_counts_once(tmp_path: Path, started: httpx.Client) -> None:
    http = started
    name = http.post("/predict", json=JFK).json()["id"]
    first = ask(http, id=name, horizon=1, actual=50.0)
    assert ask(http, id=name, horizon=1, actual=50.0) == first
    assert ask(http, id=name, horizon=6, actual=50.0)["n"] == 2
    until(lambda: len(posted(tmp_path)) == 2)


def test_only_newest_200_outcomes_count(started: httpx.Client) -> None:
    for _ in range(50):
        ask(started, predicted=10.0, actual=20.0)
    for _ in range(199):
        found = ask(started, predicted=10.0, actual=10.0)
    assert (found["n"], found["rmse"]) == (200, pytest.approx((100 / 200) ** 0.5))


def test_restart_forgets_ids_and_resets_error(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    server, http = serve()
    name = http.post("/predict", json=JFK).json()["id"]
    ask(http, predicted=10.0, actual=20.0)
    server.process.kill()
    server.process.wait()
    _, http = serve()
    assert metric(http, f"aerocast_last_rmse{LABELS}") == 2.5
    problem = http.post("/eval", json={"id": name, "horizon": 1, "actual": 50.0})
    assert (problem.status_code, problem.json()["field"], problem.json()["value"]) == (404, "id", name)
    assert ask(http, predicted=10.0, actual=10.0)["n"] == 1


ID = "7b0ff3b0-5f5e-4a52-8f0b-2f6f7dbb1d11"
CASES = {
    "empty body": (b"", 400, "malformed-json", "body"),
    "not JSON": (b"{actual: 3}", 400, "malformed-json", "body"),
    "NaN": (b'{"predicted": 1, "actual": NaN}', 400, "malformed-json", "actual"),
    "too large a number": (b'{"predicted": 1, "actual": 1e999}', 422, "invalid-field", "actual"),
    "no actual": (b'{"predicted": 1}', 422, "missing-field", "actual"),
    "only actual": (b'{"actual": 1}', 422, "id-or-predicted", "id, predicted"),
    "null actual": (b'{"predicted": 1, "actual": null}', 422, "invalid-field", "actual"),
    "text": (b'{"predicted": "1", "actual": 1}', 422, "invalid-field", "predicted"),
    "impossible": (b'{"predicted": 1, "actual": 400}', 422, "invalid-field", "actual"),
    "huge": (b'{"predicted": 1e200, "actual": 40}', 422, "invalid-field", "predicted"),
    "unknown field": (b'{"predicted": 1, "actual": 1, "statoin": "JFK"}', 422, "unknown-field", "statoin"),
    "unknown station": (b'{"predicted": 1, "actual": 1, "station": "LAX"}', 422, "invalid-field", "station"),
    "unknown feed": (b'{"predicted": 1, "actual": 1, "feed": "mars"}', 422, "unknown-feed", "feed"),
    "unknown target": (b'{"predicted": 1, "actual": 1, "target": "rain"}', 422, "unknown-target", "target"),
    "a horizon with a pair": (b'{"predicted": 1, "actual": 1, "horizon": 1}', 422, "invalid-field", "horizon"),
    "unknown id": (f'{{"id": "{ID}", "horizon": 1, "actual": 1}}'.encode(), 404, "unknown-forecast", "id"),
    "an id that is none": (b'{"id": "x", "horizon": 1, "actual": 1}', 404, "unknown-forecast", "id"),
    "an empty id": (b'{"id": "", "horizon": 1, "actual": 1}', 404, "unknown-forecast", "id"),
    "id and predicted": (f'{{"id": "{ID}", "predicted": 1, "actual": 1}}'.encode(), 422, "invalid-field", "predicted"),
    "id and station": (f'{{"id": "{ID}", "station": "JFK", "actual": 1}}'.encode(), 422, "invalid-field", "station"),
    "a list": (b"[]", 422, "invalid-field", "body"),
}


@pytest.mark.parametrize("case", CASES)
def test_invalid_outcome_names_field_value_and_rule(http: httpx.Client, case: str) -> None:
    content, status, slug, field = CASES[case]
    answer = http.post("/eval", content=content)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem = answer.json()
    assert (problem["type"], problem["field"]) == (f"urn:aerocast:problem:{slug}", field)
    assert problem["rule"]


@pytest.mark.parametrize("horizon", [None, 0, 2, -1, 10**30])
def test_horizon_outside_forecast_is_refused(http: httpx.Client, horizon: int | None) -> None:
    name = http.post("/predict", json=JFK).json()["id"]
    body = {"id": name, "actual": 50.0} | ({} if horizon is None else {"horizon": horizon})
    answer = http.post("/eval", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "horizon"), answer.text


def test_other_content_type_is_refused(http: httpx.Client) -> None:
    answer = http.post("/eval", content=b'{"predicted": 1, "actual": 1}', headers={"content-type": "text/plain"})
    assert answer.status_code == 415


JSON = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
FIELDS = st.fixed_dictionaries(
    {"actual": JSON | st.floats(-40, 125)},
    optional=dict.fromkeys(("predicted", "id", "horizon", "feed", "target", "station"), JSON),
)


@given(FIELDS)
def test_any_outcome_gets_answer_or_problem(http: httpx.Client, content: Any) -> None:
    answer = http.post("/eval", content=json.dumps(content).encode())
    assert answer.status_code in (200, 400, 404, 422), answer.text
    if answer.status_code == 200:
        assert answer.json()["rmse"] is not None
    else:
        assert {"field", "rule", "detail"} <= set(answer.json())


def prediction(number: int) -> Prediction:
    moment = NEWEST.astype("datetime64[us]").item()
    forecasts = [Forecast(horizon, None, 1.0, 0.0, 2.0, {}) for horizon in (1, 6)]
    model = ModelInfo("linear", "0001-00000001", "", "", moment)
    name = f"00000000-0000-4000-8000-{number:012d}"
    return Prediction(
        name, "noaa", "temperature", "degF", None, moment, None, None, 0.9, model, False, [], [], forecasts
    )


def test_remembered_answers_are_bounded_and_oldest_forgotten() -> None:
    recent = Recent(most=20)
    for number in range(100):
        recent.remember(("noaa", "temperature"), (1, 6), prediction(number))
    known = [number for number in range(100) if recent.find(prediction(number).id)]
    assert known == list(range(90, 100))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=500))
def test_live_error_covers_newest_outcomes(errors: list[float]) -> None:
    live = LiveErrors()
    for error in errors:
        live.add(("noaa", "temperature"), error)
    newest = errors[-200:]
    rmse, count = live.rmse(("noaa", "temperature"))
    assert count == len(newest)
    assert rmse == pytest.approx((sum(error**2 for error in newest) / len(newest)) ** 0.5)
    assert live.rmse(("noaa", "pressure")) == (None, 0)
