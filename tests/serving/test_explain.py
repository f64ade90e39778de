"""`/explain` answers the forecast of `/predict`, with parts that sum to it, and refuses what it cannot explain."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from aerocast.contracts.manifest import Graphs
from tests.factories.releases import HORIZONS, manifest, publish
from tests.factories.tails import write_tail
from tests.harness.server import Server, logged_answers
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
STEPS = [[40.0, 9.0, 1015.0]] * 5
BODIES: tuple[dict[str, Any], ...] = (
    {"station": "JFK"},
    {"station": "LGA", "feed": "noaa", "target": "temperature"},
    {"sequence": STEPS},
    {"sequence": [*STEPS, [42.5, 3.0, 1000.0]], "station": "JFK", "time": "2013-12-30T23:00:00Z"},
)


def explained(http: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = http.post("/explain", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("body", BODIES)
def test_explanation_has_the_forecast_and_sums_to_it(http: httpx.Client, body: dict[str, Any]) -> None:
    forecast, answer = http.post("/predict", json=body).json(), explained(http, body)
    own = {"id", "issued_at"}
    assert {name: answer[name] for name in forecast.keys() - own} == {
        name: value for name, value in forecast.items() if name not in own
    }
    assert [one["horizon"] for one in answer["explanations"]] == list(HORIZONS)
    for one, level in zip(answer["explanations"], answer["forecasts"], strict=True):
        assert one["base"] == 55 + one["horizon"], "the mean of the typical rows, with the trend of the graph"
        assert one["base"] + sum(part["value"] for part in one["parts"]) == pytest.approx(level["value"], abs=1e-4)
        first, *others = one["parts"]
        assert first["group"] == "temperature, recent"
        assert [part["value"] for part in others] == [0] * len(others), "persistence looks at nothing else"
        assert {"windspeed", "calendar and sun", "station", "other stations"} <= {part["group"] for part in others}
        assert all(part["features"] > 0 for part in one["parts"])
    assert "Shapley values" in answer["method"]
    assert "2 typical rows" in answer["method"]


def test_explained_forecast_is_logged_and_has_an_outcome(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path, 1)
    write_tail(tmp_path)
    _, http = serve(LOG_SECONDS="0.1")
    name = explained(http, {"station": "JFK"})["id"]
    answer = http.post("/eval", json={"id": name, "horizon": 1, "actual": 50.0})
    assert answer.status_code == 200, answer.text
    until(lambda: [one.id for one in logged_answers(tmp_path)] == [name])


@pytest.mark.parametrize(
    "body",
    [b"{", b"{}", b'{"station": "XXX"}', b'{"sequence": [[1]]}', b'{"station": "JFK", "x": 1}',
     b'{"station": "JFK", "target": "rain"}', b'{"station": "JFK", "covariates": {"rain": [1]}}'],
)  # fmt: skip
def test_refusals_are_those_of_predict(http: httpx.Client, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    own, other = (http.post(path, content=body, headers=headers) for path in ("/explain", "/predict"))
    assert own.status_code == other.status_code >= 400
    assert own.json() == other.json()


def test_release_without_typical_rows_says_so(tmp_path: Path, serve: Start) -> None:
    station = manifest(1).graphs.station
    publish(tmp_path, 1, graphs=Graphs(msgspec.structs.replace(station, typical=b"")))
    write_tail(tmp_path)
    _, http = serve()
    answer = http.post("/explain", json={"station": "JFK"})
    assert answer.status_code == 409
    problem = answer.json()
    assert (problem["type"], problem["field"]) == ("urn:aerocast:problem:not-explainable", "target")
    assert "Release 0001-00000001 has no typical rows" in problem["detail"]
    assert http.post("/predict", json={"station": "JFK"}).status_code == 200


def test_release_with_damaged_typical_rows_does_not_serve(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path, 1)
    write_tail(tmp_path)
    station = manifest(2).graphs.station
    publish(tmp_path, 2, graphs=Graphs(msgspec.structs.replace(station, typical=b"12345")))
    _, http = serve()
    assert http.post("/explain", json={"station": "JFK"}).json()["model"]["version"] == "0001-00000001"
    (one,) = http.get("/health").json()["releases"]
    assert "its 5 bytes of typical rows are not 0 to 64 rows" in one["errors"][0]


def test_forecasts_are_answered_while_many_are_explained(shared_server: Server) -> None:
    async def ask() -> list[int]:
        async with httpx.AsyncClient(base_url=shared_server.url, timeout=60) as http:
            paths = ["/explain"] * 40 + ["/predict"] * 20
            answers = await asyncio.gather(*(http.post(path, json={"station": "JFK"}) for path in paths))
            return [answer.status_code for answer in answers]

    assert asyncio.run(ask()) == [200] * 60
