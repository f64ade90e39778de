"""KServe's protocol for time series: its names and types, pinned by `tests/data/kserve_timeseries.json`."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import PROJECT
from tests.factories.releases import HALF, HORIZONS, publish
from tests.factories.tails import write_tail
from tests.harness.problems import assert_problem
from tests.harness.server import Server, logged_answers, metric

Start = Callable[..., tuple[Server, httpx.Client]]
PROTOCOL = json.loads((PROJECT / "tests/data/kserve_timeseries.json").read_text())
PATH = PROTOCOL["path"]
SERIES = [40.0, 41.0, 42.5, 43.0, 44.0]
STEPS = [[value, 9.0, 1015.0] for value in SERIES]
BASE: dict[str, Any] = {
    "type": "univariate_time_series",
    "name": "a series",
    "series": SERIES,
    "frequency": "hour",
    "start_timestamp": "2013-07-01T08:00:00Z",
}


def body(*inputs: dict[str, Any], model: str = "noaa/temperature", **options: Any) -> dict[str, Any]:
    return {"model": model, "inputs": list(inputs) or [BASE], "options": {"horizon": 24, **options}}


def ask(http: httpx.Client, request: dict[str, Any]) -> dict[str, Any]:
    answer = http.post(PATH, json=request)
    assert answer.status_code == 200, answer.text
    conforms(answer.json(), "ForecastResponse")
    return dict(answer.json())


def conforms(value: Any, kind: str) -> None:
    """Asserts that a value is of a type of the protocol's answers; it lets them have further fields."""
    if kind.startswith("list of "):
        assert isinstance(value, list)
        for each in value:
            conforms(each, kind.removeprefix("list of "))
    elif kind in PROTOCOL["answer"]:
        fields = PROTOCOL["answer"][kind]
        assert fields["required"].keys() <= value.keys()
        for name, own in (fields["required"] | fields["optional"]).items():
            if value.get(name) is not None or name in fields["required"]:
                conforms(value[name], own)
    elif kind == "series":
        assert all(isinstance(each, float | int) for each in value)
    elif kind == "object of series":
        assert isinstance(value, dict)
        for each in value.values():
            conforms(each, "series")
    elif kind in ("status", "frequency", "series_type"):
        plural = {"status": "statuses", "frequency": "frequencies", "series_type": "series_types"}[kind]
        assert value in PROTOCOL[plural]
    else:
        assert isinstance(value, {"string": str, "integer": int, "object": dict}[kind])


def test_document_has_protocols_fields(http: httpx.Client) -> None:
    document = http.get("/schema/openapi.json").json()
    schema = document["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]["schema"]
    own = {
        "ForecastRequest": schema,
        "TimeSeriesInput": schema["properties"]["inputs"]["items"],
        "ForecastOptions": schema["properties"]["options"],
    }
    for name, fields in PROTOCOL["request"].items():
        assert {*own[name]["required"]} == {*fields["required"]}, name
        assert {*fields["required"], *fields["optional"]} <= {*own[name]["properties"]}, name
    assert own["TimeSeriesInput"]["properties"]["frequency"]["enum"] == sorted(PROTOCOL["frequencies"])
    examples = document["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        assert {output["status"] for output in ask(http, example["value"])["outputs"]} <= {"completed", "partial"}


def test_series_is_forecast_at_the_models_horizons(http: httpx.Client) -> None:
    answer = ask(http, body(quantiles=[0.05, 0.5, 0.95]))
    assert (answer["status"], answer["model"], answer["usage"]) == ("completed", "noaa/temperature", None)
    (output,) = answer["outputs"]
    (content,) = output["content"]
    assert (output["type"], output["status"]) == ("time_series_forecast", "partial"), "of 24 steps it knows three"
    assert content["horizons"] == list(HORIZONS)
    assert np.allclose(content["mean_forecast"], [44.0 + horizon for horizon in HORIZONS])
    assert content["start_timestamp"] == "2013-07-01T13:00:00Z"
    assert (content["name"], content["frequency"], content["type"]) == ("a series", "hour", "univariate_time_series")
    assert list(content["quantiles"]) == ["0.05", "0.5", "0.95"]
    half = [np.subtract(content["mean_forecast"], content["quantiles"][level]) for level in content["quantiles"]]
    assert np.allclose(half, [[HALF] * 3, [0] * 3, [-HALF] * 3])
    assert content["degraded"]
    assert {"short_sequence", "missing"} == {*content["reasons"]}, "wind and pressure were not sent"


def test_horizon_bounds_what_is_answered(http: httpx.Client) -> None:
    for horizon, own, status in [(1, [1], "completed"), (6, [1, 6], "partial"), (10**15, list(HORIZONS), "partial")]:
        (output,) = ask(http, body(horizon=horizon))["outputs"]
        assert (output["content"][0]["horizons"], output["status"]) == (own, status)
        assert output["content"][0]["quantiles"] is None


VALUES = st.lists(st.floats(-30, 120, width=32), min_size=5, max_size=60)


@settings(deadline=None, max_examples=25)
@given(VALUES, st.sampled_from(["JFK", "none"]), st.booleans())
def test_multivariate_series_is_a_sequence_of_predict(
    http: httpx.Client, values: list[float], name: str, is_timed: bool
) -> None:
    start = datetime.fromisoformat("2013-07-01T08:00:00Z")
    rows = [[value, 9.0, 1015.0] for value in values]
    series = {**BASE, "type": "multivariate_time_series", "name": name, "series": rows}
    series["start_timestamp"] = start.isoformat() if is_timed else None
    (output,) = ask(http, body(series))["outputs"]
    newest = start + timedelta(hours=len(values) - 1)
    sequence = {"sequence": rows[-48:], "station": name if name == "JFK" else None, "feed": "noaa"}
    prediction = http.post("/v1/predict", json=sequence | ({"time": newest.isoformat()} if is_timed else {})).json()
    (content,) = output["content"]
    assert np.allclose(content["mean_forecast"], [each["value"] for each in prediction["forecasts"]])
    assert content["reasons"] == [each["code"] for each in prediction["reasons"]]
    assert content["start_timestamp"] == (prediction["forecasts"][0]["time"] if is_timed else "")


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0.05, 0.95), min_size=1, max_size=5, unique=True))
def test_quantiles_by_request_do_not_cross(http: httpx.Client, levels: list[float]) -> None:
    (output,) = ask(http, body(quantiles=levels))["outputs"]
    quantiles = output["content"][0]["quantiles"]
    assert [*quantiles] == [str(level) for level in levels]
    assert ask(http, body(quantiles=[*levels, *levels]))["outputs"][0]["content"][0]["quantiles"] == quantiles
    table = [quantiles[str(level)] for level in sorted(levels)]
    assert (np.diff(table, axis=0) >= 0).all()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"frequency": "day"}, "inputs[1].frequency"),
    ({"frequency": "minute", "frequency_multiple": 30}, "inputs[1].frequency"),
    ({"frequency": "month"}, "inputs[1].frequency"),
    ({"start_timestamp": "yesterday"}, "inputs[1].start_timestamp"),
    ({"start_timestamp": "2013-07-01T08:00:00"}, "inputs[1].start_timestamp"),
    ({"start_timestamp": "2199-12-31T23:00:00Z"}, "inputs[1].start_timestamp"),
    ({"series": STEPS}, "inputs[1].series[0]"),
    ({"type": "multivariate_time_series"}, "inputs[1].series[0]"),
    ({"series": []}, "sequence"),
    ({"series": [1.0, 2.0]}, "sequence"),
]


@pytest.mark.parametrize(("change", "param"), WRONG, ids=[f"{param} {change}" for change, param in WRONG])
def test_wrong_series_has_its_error_and_others_are_answered(
    http: httpx.Client, change: dict[str, Any], param: str
) -> None:
    answer = ask(http, body(BASE, {**BASE, **change}))
    assert answer["status"] == "partial"
    good, bad = answer["outputs"]
    assert (good["status"], bad["status"], bad["content"]) == ("partial", "error", [])
    assert (bad["error"]["param"], bad["error"]["code"]) == (param, "422")
    assert ask(http, body({**BASE, **change}))["status"] == "error"


@pytest.mark.parametrize(
    ("request_", "status", "slug", "field"),
    [
        (body(model="noaa/none"), 404, "unknown-model", "model"),
        (body(model="none"), 404, "unknown-model", "model"),
        (body() | {"inputs": []}, 422, "invalid-field", "inputs"),
        (body() | {"options": {}}, 422, "missing-field", "horizon"),
        (body(horizon=0), 422, "invalid-field", "options.horizon"),
        (body(quantiles=[0.5, 1.5]), 422, "invalid-field", "options.quantiles[1]"),
        (body({**BASE, "frequency": "fortnight"}), 422, "invalid-field", "inputs[0].frequency"),
        (body(*[BASE] * 129), 413, "too-many-requests", "body"),
    ],
    ids=["target", "feed", "no inputs", "no horizon", "horizon", "quantile", "frequency", "too many"],
)
def test_refusal_is_a_problem_and_the_protocols_error(
    http: httpx.Client, request_: dict[str, Any], status: int, slug: str, field: str
) -> None:
    answer = http.post(PATH, json=request_)
    assert_problem(answer, status, slug, field, None)
    conforms(answer.json(), "ErrorResponse")
    error = answer.json()["error"]
    assert (error["code"], error["type"], error["param"]) == (str(status), slug, field)


def test_unknown_fields_are_ignored_as_the_protocol_asks(http: httpx.Client) -> None:
    request = body({**BASE, "static_covariates": [1]}, temperature=0.5) | {"metadata": {"a": 1}, "user": "x"}
    assert ask(http, request)["status"] == "completed"


def test_models_are_named_as_requests_name_them(http: httpx.Client) -> None:
    models = http.get("/v1/timeseries/models").json()
    assert models == ["noaa/temperature"]
    for model in (*models, "noaa"):
        assert ask(http, body(model=model))["status"] == "completed"


def test_answer_counts_and_takes_outcomes(tmp_path: Path, serve: Start) -> None:
    """Logged as a sequence of /v1/predict is: for who may write."""
    publish(tmp_path, bias=1.0)
    write_tail(tmp_path)
    server, http = serve(LOG_SECONDS="0.1")
    (output,) = ask(http, body())["outputs"]
    assert metric(http, "predictions_total") == 1
    outcome = {"id": output["id"], "horizon": 6, "actual": 50.0}
    assert http.post("/v1/eval", json=outcome).json()["n"] == 1
    server.__exit__()
    assert [(one.id, one.graph) for one in logged_answers(tmp_path)] == [(output["id"], "sequence")]
