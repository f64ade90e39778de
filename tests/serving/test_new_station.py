"""A station that the model has not learned, over real HTTP: forecast at once, with a wider interval and a reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from aerocast.contracts import declared
from aerocast.contracts.cold_start import ColdStart
from aerocast.contracts.declared import Declared
from aerocast.contracts.manifest import Graph, Graphs
from aerocast.features.grid import Place
from tests.factories.releases import HALF, STATIONS, intervals, manifest, publish
from tests.factories.tails import NEWEST, grid, write_tail
from tests.harness.server import Server
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
COLD = ColdStart(STATIONS, none=(5.0, 6.0, 7.0), short=(3.0, 3.0, 3.0), whole=(2.0, 2.0, 2.0))


def publish_release(home: Path, cold: ColdStart | None = COLD) -> None:
    """A release of three stations, which says how far off it is for others."""
    own = msgspec.structs.replace(intervals(), cold_start=cold)
    station = msgspec.structs.replace(manifest().graphs.station, intervals=own)
    publish(home, 1, graphs=Graphs(Graph("model.onnx", station.features, own)))


def declare(home: Path, *stations: str) -> None:
    places = tuple(Place(each, "Asia/Tokyo", 35.7, 139.7) for each in stations)
    declared.document(home, "noaa").write(Declared("noaa", "", "station", "time", stations, (), places=places))


def ask(client: httpx.Client, station: str) -> dict[str, Any]:
    answer = client.post("/predict", json={"station": station})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def half_widths(answer: dict[str, Any]) -> list[float]:
    return [(each["upper"] - each["lower"]) / 2 for each in answer["forecasts"]]


@pytest.mark.parametrize(
    ("rows", "factors"), [(48, [2.0, 2.0, 2.0]), (47, [3.0, 3.0, 3.0]), (4, [3.0, 3.0, 3.0]), (1, [3.0, 3.0, 3.0])]
)
def test_new_station_is_forecast_from_its_first_step(
    tmp_path: Path, serve: Start, rows: int, factors: list[float]
) -> None:
    publish_release(tmp_path)
    write_tail(tmp_path, BOS=grid("BOS", rows, level=10.0))
    declare(tmp_path, *STATIONS, "BOS")
    _, client = serve()
    answer = ask(client, "BOS")
    assert answer["degraded"]
    reasons = {each["code"]: each["detail"] for each in answer["reasons"]}
    assert reasons["new_station"].startswith("the model has not learned BOS")
    assert ("short_history" in reasons) == (rows < 48)
    assert half_widths(answer) == pytest.approx([HALF * each for each in factors])
    assert answer["forecasts"][0]["value"] == pytest.approx(10 + (rows - 1) / 4)
    known = ask(client, "JFK")
    assert half_widths(known) == pytest.approx([HALF] * 3)
    assert "new_station" not in {each["code"] for each in known["reasons"]}


def test_others_stand_in_for_station_that_has_sent_nothing(tmp_path: Path, serve: Start) -> None:
    """Also while the tables do not know it yet: declaring it is enough."""
    publish_release(tmp_path)
    write_tail(tmp_path)
    declare(tmp_path, *STATIONS)
    _, client = serve()
    assert client.post("/predict", json={"station": "SEA"}).status_code == 422
    declare(tmp_path, *STATIONS, "SEA")
    until(lambda: client.post("/predict", json={"station": "SEA"}).status_code == 200)
    answer = ask(client, "SEA")
    (reason,) = answer["reasons"]
    assert reason["code"] == "new_station"
    assert reason["detail"].startswith(
        "there is no recent reading of SEA: the mean of the feed's other stations stands in"
    )
    assert answer["origin"] == f"{NEWEST}Z"
    assert answer["forecasts"][0]["value"] == pytest.approx(40 + 47 / 4), "two stations have this newest step"
    assert half_widths(answer) == pytest.approx([HALF * each for each in COLD.none])
    assert "SEA" in [station["id"] for station in client.get("/feeds").json()[0]["stations"]]


def test_release_that_measured_nothing_says_so(tmp_path: Path, serve: Start) -> None:
    publish_release(tmp_path, None)
    write_tail(tmp_path, BOS=grid("BOS", 3))
    declare(tmp_path, *STATIONS, "BOS")
    _, client = serve()
    answer = ask(client, "BOS")
    assert (
        "the interval is not made for that"
        in {each["code"]: each["detail"] for each in answer["reasons"]}["new_station"]
    )
    assert half_widths(answer) == pytest.approx([HALF] * 3)
