"""One file of each kind that a server reads from a home."""

from datetime import UTC, datetime
from pathlib import Path

from aerocast.contracts import clock, declared
from aerocast.contracts import drift_state as state
from aerocast.contracts.clock import Clock
from aerocast.contracts.drift_state import DriftState
from aerocast.ingest.channels.posted import PostStore
from tests.factories.challengers import publish_challenger
from tests.factories.feeds import small_feed

NOW = datetime(2013, 12, 30, 18, tzinfo=UTC)
READING = b'{"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": 1.5}'
POINTER = "releases/noaa/temperature/current.json"
FILES = (POINTER, POINTER.replace("current", "challenger"), "tail/noaa.npz", "clock/noaa.json", "drift/noaa.json")
DECLARED, POSTED = "declared/small.json", "observations/small.sqlite"


def write_every_file(home: Path) -> None:
    """One file of each kind that a server reads."""
    publish_challenger(home, 1.0)
    clock.document(home, "noaa").write(Clock(NOW, NOW, 0.0))
    state.document(home, "noaa").write(DriftState("noaa", NOW, NOW))
    declared.publish(home, small_feed(home))
    posted = PostStore(home, "small")
    posted.post(None, READING, "json", 1)
    posted.close()
