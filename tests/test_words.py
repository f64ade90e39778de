"""Lengths of time and numbers as people say them, in everything that people read."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from aerocast.common.words import count, duration
from aerocast_assets.feeds import declared, find_feed
from tests.making import definitions

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TIMEDELTA = re.compile(r"\d:\d\d:\d\d")  # as str() of a timedelta writes it


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(0), "0 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(minutes=3), "3 minutes"),
        (HOUR, "1 hour"),
        (1.5 * HOUR, "1.5 hours"),
        (DAY, "1 day"),
        (30 * DAY, "30 days"),
        (2000 * DAY, "2,000 days"),
        (-2 * HOUR, "minus 2 hours"),
    ],
)
def test_a_duration_is_in_the_largest_unit_that_fits(length: timedelta, text: str) -> None:
    assert duration(length) == text
    assert TIMEDELTA.search(str(length)), "the test below looks for what str() writes"


def test_one_is_singular() -> None:
    assert [count(n, "step") for n in (0, 1, 2, 26115)] == ["0 steps", "1 step", "2 steps", "26,115 steps"]
    assert count(2, "delivery", "deliveries") == "2 deliveries"


def descriptions(every: dg.Definitions) -> Iterator[str]:
    repository = every.get_repository_def()
    graph = repository.asset_graph
    yield from (graph.get(key).description or "" for key in graph.get_all_asset_keys())
    yield from (graph.get(key).description or "" for key in graph.asset_check_keys)
    for each in (*repository.sensor_defs, *repository.schedule_defs, *repository.get_all_jobs()):
        yield each.description or ""


@pytest.mark.parametrize("feed", declared())
def test_no_description_shows_a_timedelta_of_python(feed: str, tmp_path: Path) -> None:
    texts = list(descriptions(definitions(tmp_path, find_feed(feed))))
    assert any("hour" in text for text in texts)
    assert [text for text in texts if TIMEDELTA.search(text)] == []
