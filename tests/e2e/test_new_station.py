"""A station that nobody declared sends its first readings to the real server, and is forecast by the model that serves.

The whole way: HTTP, the graph of assets, and HTTP again, without a training in between.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from aerocast.feed.declaration import Feed
from aerocast_assets.keys import key
from tests.factories.drift import set_clock
from tests.factories.feeds import HOURS, START, small_feed, write_readings
from tests.harness.graph import champion_version, refresh
from tests.harness.server import Server
from tests.harness.waits import until

pytestmark = pytest.mark.e2e  # a training, runs of the asset graph and a server

HOUR = timedelta(hours=1)
NOW = START + HOURS * HOUR  # where the readings end


@pytest.fixture
def fed(tmp_path: Path, home: Path, instance: dg.DagsterInstance) -> Feed:
    feed = small_feed(write_readings(tmp_path / "readings.csv"), open_stations=2)
    set_clock(home, feed, NOW)
    assert refresh(feed, home, instance).success
    return feed


def predict(server: Server, station: str) -> httpx.Response:
    return httpx.post(server.url + "/predict", json={"station": station}, timeout=60)


def widths(answer: dict[str, Any]) -> list[float]:
    return [each["upper"] - each["lower"] for each in answer["forecasts"]]


def test_first_reading_lets_station_be_forecast(fed: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    layers = [key(fed, layer) for layer in ("raw", "bronze", "silver")]
    version = champion_version(home)
    with Server(home, ("--poll-seconds", "0.05")) as server:
        assert predict(server, "CCC").status_code == 422
        readings = [
            {"station": "CCC", "time": f"{NOW - back * HOUR:%Y-%m-%dT%H:%M:%SZ}", "t": 12.5, "w": 3.0, "p": 1012.0}
            for back in (2, 1)
        ]
        posted = httpx.post(server.url + "/observations/small", json=readings, timeout=60)
        assert posted.status_code == 202, posted.text
        assert refresh(fed, home, instance, ["2024-04"], layers).success
        until(lambda: predict(server, "CCC").status_code == 200)
        answer, known = predict(server, "CCC").json(), predict(server, "AAA").json()
    assert answer["model"]["version"] == version
    assert answer["degraded"]
    assert {"new_station", "short_history"} <= {each["code"] for each in answer["reasons"]}
    assert answer["origin"] == f"{NOW - HOUR:%Y-%m-%dT%H:%M:%SZ}"
    assert abs(answer["forecasts"][0]["value"] - 54.5) < 20, "12.5 degC in degF, and what the hour brings"
    assert all(own > other for own, other in zip(widths(answer), widths(known), strict=True))
    assert "new_station" not in {each["code"] for each in known["reasons"]}
