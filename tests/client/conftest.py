"""A server with a release, the newest rows, a history and anomalies, and a client of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aerocast.client import Client
from aerocast.contracts import anomalies, declared
from aerocast.contracts.anomalies import Anomaly, AnomalyState
from aerocast.feed.declaration import Feed
from tests.factories.feeds import declaration
from tests.factories.history import past, write_months
from tests.factories.releases import STATIONS, publish
from tests.factories.tails import write_tail
from tests.harness.server import Server

NOW, DAY = datetime(2013, 12, 30, 19, tzinfo=UTC), timedelta(days=1)
PAST = datetime(2024, 2, 1, tzinfo=UTC)
HISTORY = 1100  # more than a page


def feed_of(folder: Path) -> Feed:
    """noaa as its release has it, with readings in the units in which they are kept."""
    columns = [
        {"name": "temperature", "label": "temp", "field": "t", "source_unit": "degF", "unit": "degF",
         "range": [-40, 125]},
        {"name": "windspeed", "label": "wind", "field": "w", "source_unit": "mph", "unit": "mph", "range": [0, 150]},
        {"name": "pressure", "field": "p", "source_unit": "hPa", "unit": "hPa", "range": [870, 1085]},
    ]  # fmt: skip
    stations = [{"id": station} for station in STATIONS]
    return Feed.parse(declaration(folder / "none.csv", name="noaa", stations=stations, columns=columns))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    publish(home, 1, bias=1.0)
    write_tail(home)
    write_months(home, [past(f"{PAST + at * timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}") for at in range(HISTORY)])
    events = (
        Anomaly("JFK", NOW - 9 * DAY, NOW - 8 * DAY, NOW, NOW, 3.6, "weather", {"temperature": 1.0}, "warm", 1),
        Anomaly("EWR", NOW - DAY, None, NOW, NOW, 4.1, "unknown", {"pressure": 0.75}, "low", 2, ("LGA",), 2),
    )
    anomalies.document(home, "noaa").write(AnomalyState("noaa", NOW, events))
    declared.publish(home, feed_of(home))
    with Server(home, ("--poll-seconds", "0.05")) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url) as own:
        yield own
