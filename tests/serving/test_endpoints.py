"""What each endpoint answers when all is well."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.routes import older_paths
from tests.factories.releases import HALF, HORIZONS, publish
from tests.factories.tails import write_tail
from tests.harness.server import Server

Start = Callable[..., tuple[Server, httpx.Client]]

STEP = [40.0, 9.0, 1015.0]


def ask(http: httpx.Client, **body: object) -> dict[str, Any]:
    answer = http.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    return found


def codes(answer: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in answer["reasons"]]


def test_health_gives_release_and_times(http: httpx.Client) -> None:
    report = http.get("/health").json()
    (one,) = report["releases"]
    assert (report["status"], report["errors"]) == ("ok", [])
    assert (one["feed"], one["target"], one["version"], one["status"]) == ("noaa", "temperature", "0001-00000001", "ok")
    assert one["newest_reading"] == "2013-12-30T18:00:00Z"
    assert datetime.fromisoformat(report["last_poll"]) >= datetime.fromisoformat(report["started_at"])
    assert datetime.fromisoformat(one["serving_since"]) >= datetime.fromisoformat(one["promoted_at"])


def test_feeds_give_all_that_client_needs(http: httpx.Client) -> None:
    (feed,) = http.get("/feeds").json()
    newest = {station["id"]: station["newest_reading"] for station in feed["stations"]}
    assert newest == {key: f"2013-12-30T{hour}:00:00Z" for key, hour in {"JFK": 18, "LGA": 18, "EWR": 14}.items()}
    assert feed["columns"][2] == {"name": "pressure", "label": "pressure", "unit": "hPa", "range": [870.0, 1085.0]}
    assert feed["window"]["columns"] == ["temperature", "windspeed", "pressure"]
    assert (feed["window"]["steps"], feed["window"]["look_back"]) == (5, 48)
    target = {"name": "temperature", "unit": "degF", "horizons": list(HORIZONS), "version": "0001-00000001"}
    assert feed["targets"] == [target]


def test_models_list_releases_with_lineage_and_metrics(http: httpx.Client) -> None:
    (models,) = http.get("/models", params={"feed": "noaa"}).json()
    (one,) = models["releases"]
    assert models["serving"] == one["version"] == "0001-00000001"
    assert one["serving"]
    assert one["lineage"]["delta_versions"] == {"noaa/silver": 1}
    assert one["metrics"]["horizons"]["6"]["rmse"] == 2.5


def test_station_is_forecast_from_its_newest_readings(http: httpx.Client) -> None:
    answer = ask(http, station="JFK")
    assert (answer["feed"], answer["target"], answer["unit"], answer["station"]) == (
        "noaa",
        "temperature",
        "degF",
        "JFK",
    )
    assert (answer["origin"], answer["level"]) == ("2013-12-30T18:00:00Z", 0.9)
    assert not answer["degraded"]
    model = answer["model"]
    assert (model["kind"], model["version"]) == ("linear", "0001-00000001")
    assert model["config_hash"].startswith("00000001")
    assert (model["data_version"], model["training_end"]) == ("silver@1", "2013-10-19T00:00:00Z")
    last = 40 + 47 / 4
    for one, horizon in zip(answer["forecasts"], HORIZONS, strict=True):
        assert (one["horizon"], one["value"]) == (horizon, last + horizon)
        assert (one["lower"], one["upper"]) == (last + horizon - HALF, last + horizon + HALF)
    assert [one["time"][8:13] for one in answer["forecasts"]] == ["30T19", "31T00", "31T18"]


def test_answers_have_unique_ids(http: httpx.Client) -> None:
    assert len({ask(http, station="JFK")["id"] for _ in range(20)}) == 20


def test_filled_gaps_and_stale_station_degrade_answer(http: httpx.Client) -> None:
    filled = ask(http, station="LGA")
    assert filled["degraded"]
    (reason,) = filled["reasons"]
    assert (reason["code"], reason["column"], reason["age"]) == ("gap_filled", "pressure", 3)
    stale = ask(http, station="EWR")
    (reason,) = stale["reasons"]
    assert (reason["code"], reason["age"]) == ("stale_station", 4)
    assert stale["origin"] == "2013-12-30T14:00:00Z"


@pytest.mark.parametrize("steps", [5, 6, 47])
def test_short_sequence_reports_missing_steps(http: httpx.Client, steps: int) -> None:
    answer = ask(http, sequence=[STEP] * steps, time="2013-07-01T12:00:00+02:00")
    assert answer["station"] is None
    assert answer["origin"] == "2013-07-01T10:00:00Z"
    assert codes(answer) == ["short_sequence"]
    assert f"the {48 - steps} older ones count as missing" in answer["notes"][0]
    assert [one["value"] for one in answer["forecasts"]] == [41.0, 46.0, 64.0]


def test_whole_sequence_is_not_degraded(http: httpx.Client) -> None:
    answer = ask(http, sequence=[STEP] * 48, time="2013-07-01T12:00:00Z")
    assert (answer["degraded"], answer["reasons"], answer["notes"]) == (False, [], [])


def test_sequence_without_time_gives_forecasts_without_times(http: httpx.Client) -> None:
    answer = ask(http, sequence=[STEP] * 48)
    assert answer["origin"] is None
    assert {one["time"] for one in answer["forecasts"]} == {None}
    assert "no time was sent" in answer["notes"][0]


def test_impossible_values_are_set_aside_like_in_feed(http: httpx.Client) -> None:
    sequence = [list(STEP) for _ in range(5)]
    sequence[3][1], sequence[4][0] = 1048.0, 400.0
    answer = ask(http, sequence=sequence, time="2013-07-01T12:00:00Z")
    assert codes(answer) == ["out_of_range", "out_of_range", "short_sequence"]
    assert "sequence[3][1]: windspeed 1048 is outside 0 .. 150" in answer["reasons"][0]["detail"]
    assert answer["forecasts"][0]["value"] == 41.0, "the newest credible temperature is carried forward"


def test_feed_and_target_may_be_named(http: httpx.Client) -> None:
    assert ask(http, station="JFK", feed="noaa", target="temperature")["target"] == "temperature"


def test_metrics_have_names_of_dashboards(http: httpx.Client) -> None:
    ask(http, station="JFK")
    answer = http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    labels = '{feed="noaa",target="temperature"}'
    for line in (
        f"aerocast_last_rmse{labels} 2.5",
        f"aerocast_drift_flag{labels} 0.0",
        f"aerocast_drift_count{labels} 0.0",
        f"aerocast_retrain_total{labels} 0.0",
        f"aerocast_last_retrain_ts{labels} 1.704067201e+09",
        f"aerocast_release_load_failures_total{labels} 0.0",
        'predictions_total{model_type="linear"}',
        "aerocast_predict_latency_ms_count",
        'aerocast_release_info{config_hash="00000001',
    ):
        assert f"\n{line}" in answer.text, line
    before = _value(answer.text, 'predictions_total{model_type="linear"}')
    ask(http, station="JFK")
    assert _value(http.get("/metrics").text, 'predictions_total{model_type="linear"}') == before + 1


def _value(text: str, name: str) -> float:
    return float(next(line for line in text.splitlines() if line.startswith(name)).split()[-1])


def test_openapi_describes_every_endpoint(http: httpx.Client) -> None:
    document = http.get("/schema/openapi.json").json()
    paths = {f"/v1{path}" for path in older_paths()} | {
        "/health",
        "/metrics",
        "/v1/predictions/{station}",
        "/v1/predictions/{station}/history",
    }
    paths |= {"/v1/anomalies", "/v1/events", "/v1/predict/batch", "/v1/timeseries/forecast", "/v1/timeseries/models"}
    paths |= {"/v1/readings", "/v1/loop", "/v1/quarantine", "/v1/alarms"}
    assert set(document["paths"]) == paths, "each once"
    assert all(f"`{path}`" in document["info"]["description"] for path in older_paths())
    body = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert set(body["examples"]) == {"station", "sequence"}
    assert set(body["schema"]["properties"]) == {"station", "sequence", "time", "feed", "target", "covariates"}
    for example in body["examples"].values():
        ask(http, **example["value"])
    assert (
        document["paths"]["/v1/explain"]["post"]["requestBody"]
        == document["paths"]["/v1/predict"]["post"]["requestBody"]
    )
    lonely = ("callable", "thread")  # of a library's own docstring
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["description"]
            assert not any(word in operation["description"] for word in lonely)
            refusals = {int(status): each for status, each in operation["responses"].items() if int(status) >= 400}
            kinds = {kind for status, each in refusals.items() for kind in each["content"] if status != 503}
            assert kinds <= {"application/problem+json"}


def test_server_starts_fast_and_stays_small(shared_server: Server) -> None:
    memory = shared_server.memory()
    print(f"first answer after {shared_server.seconds:.2f} s, {memory:.0f} MB resident")
    assert memory < 150


def test_answer_marks_horizons_that_no_new_model_serves(tmp_path: Path, serve: Start) -> None:
    """A field of that horizon alone, and of the station's graph: a bare sequence has a graph of its own."""
    kinds, stand_ins = {1: "linear", 6: "xgboost", 24: "seasonal_naive"}, {24: "seasonal_naive"}
    publish(tmp_path, bias=1.0, kind="by_horizon", kinds=kinds, served_by=stand_ins)
    write_tail(tmp_path)
    _, http = serve()
    answer = ask(http, station="JFK")
    assert [one.get("served_by") for one in answer["forecasts"]] == [None, None, "seasonal_naive"]
    assert ["served_by" in one for one in answer["forecasts"]] == [False, False, True]
    assert answer["model"]["kind"] == "by_horizon"
    (models,) = http.get("/models").json()
    (one,) = models["releases"]
    assert one["kinds"] == {str(horizon): kind for horizon, kind in kinds.items()}
    assert one["served_by"] == {"24": "seasonal_naive"}
    assert 'predictions_total{model_type="by_horizon"} 1.0' in http.get("/metrics").text


def test_models_say_what_serves_each_horizon_of_an_older_release(http: httpx.Client) -> None:
    (models,) = http.get("/models", params={"feed": "noaa"}).json()
    assert models["releases"][0]["kinds"] == {str(horizon): "linear" for horizon in HORIZONS}
    assert models["releases"][0]["served_by"] == {}
