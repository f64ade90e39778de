"""What waits does not start a run at once: few runs take much, and the first reading after a calm does not wait."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aerocast.contracts.clock import Clock, document
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import channels_of
from aerocast.storage.settings import Settings
from aerocast_assets.automation import live
from tests.factories.feeds import START, small_feed
from tests.factories.predictions import answer, segment
from tests.harness.deliveries import Deliveries

MINUTE = timedelta(minutes=1)
POST = b'{"station": "AAA", "time": "2024-02-01T12:00:00Z", "t": 3.5}'


def pushed(**changes: Any) -> Feed:
    return small_feed(Path("nowhere"), source={"kind": "push", "station_field": "place", "time_field": "at"}, **changes)


def look(home: Path, feed: Feed, since: timedelta | None = None) -> live.LiveLook:
    """What a tick sees that long after the newest run."""
    ended = None if since is None else datetime.now(UTC) - since
    return live.look_around(home, feed, live.LiveCursor(), START, channels_of(home, feed, Settings()), ended)


def aged(path: Path, age: timedelta) -> None:
    written = (datetime.now(UTC) - age).timestamp()
    os.utime(path, (written, written))


@pytest.mark.parametrize(
    ("changes", "wait"),
    [({}, 5), ({"cadence": "PT2M", "seasons": ["PT10M"]}, 2), ({"batching": {"readings": "PT20M"}}, 20)],
)
def test_slow_readings_are_batched(home: Path, changes: dict[str, Any], wait: int) -> None:
    feed = pushed(**changes)
    Deliveries(home, feed).post(POST)
    assert look(home, feed).present == ["readings wait: 1 at http"], "the first after a calm is taken at once"
    early = look(home, feed, MINUTE)
    assert early.present == []
    assert any("readings wait: 1 at http, gathered for another" in line for line in early.quiet)
    assert look(home, feed, wait * MINUTE).present == ["readings wait: 1 at http"]
    assert look(home, feed, -MINUTE).present, "a clock that was set back holds nothing up"


@pytest.mark.parametrize(
    ("changes", "wait"),
    [({}, 60), ({"cadence": "PT10M", "seasons": ["PT1H"]}, 10), ({"batching": {"log": "PT3H"}}, 180)],
)
def test_logged_forecast_waits_for_its_outcome(home: Path, changes: dict[str, Any], wait: int) -> None:
    feed = pushed(**changes)
    written = [segment(home, name, [answer(name, START, {1: 50.0})]) for name in ("one", "two")]
    aged(written[0], (wait - 1) * MINUTE)
    waiting = look(home, feed, 1000 * MINUTE)
    assert waiting.present == []
    assert any("2 segments of the prediction log wait, gathered for another" in line for line in waiting.quiet)
    Deliveries(home, feed).post(POST)
    assert look(home, feed).present == ["readings wait: 1 at http"], "which takes up the log, too"
    aged(written[0], wait * MINUTE)
    assert "2 segments of the prediction log wait" in look(home, feed).present


def test_simulated_clock_shortens_batching(home: Path) -> None:
    feed = pushed()
    Deliveries(home, feed).post(POST)
    document(home, feed.name).write(Clock(START, datetime.now(UTC), speed=60.0))
    assert look(home, feed, timedelta(seconds=1)).present == []
    assert look(home, feed, timedelta(seconds=6)).present
