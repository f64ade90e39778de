"""The Python source: a function that yields Arrow tables, and what is said of one that does not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.source_kind import ReadRequest
from tests.factories.feeds import small_feed
from tests.harness.sources import Poller

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = START + 30 * HOUR
asked: list[tuple[datetime | None, datetime]] = []


def readings(since: datetime | None, until: datetime) -> Iterator[pa.Table]:
    """Hours from a day before `since`, in tables of ten."""
    asked.append((since, until))
    first = 0 if since is None else max(0, (since - START) // HOUR)
    for hour in range(first, (until - START) // HOUR, 10):
        times = [START + each * HOUR for each in range(hour, min(hour + 10, (until - START) // HOUR))]
        yield pa.table({
            "place": ["AAA"] * len(times), "at": pa.array(times, pa.timestamp("us", "UTC")),
            "t": pa.array([each.hour + 0.25 for each in times], pa.float32()),
            "w": pa.array([None] * len(times), pa.int64()),
        })  # fmt: skip


def failing(since: datetime | None, until: datetime) -> Iterator[pa.Table]:
    yield from readings(since, until)
    raise OSError("the meter does not answer")


def wrong(since: datetime | None, until: datetime) -> Iterator[Any]:
    yield [1, 2, 3]


def nameless(since: datetime | None, until: datetime) -> Iterator[pa.Table]:
    yield pa.table({"t": [1.0]})


def declared(path: Path, name: str = "readings", **more: Any) -> Any:
    function = name if ":" in name else f"{__name__}:{name}"
    source = {"kind": "python", "function": function, "station_field": "place", "time_field": "at", **more}
    return small_feed(path, source=source)


def test_tables_become_readings_and_the_next_call_asks_for_the_rest(tmp_path: Path) -> None:
    asked.clear()
    poller = Poller(declared(tmp_path, overlap="PT2H"), tmp_path)
    assert poller.poll(NOW) == 30
    assert poller.poll(NOW + 5 * HOUR) == 5
    assert asked == [(None, NOW), (START + 27 * HOUR, NOW + 5 * HOUR)]
    assert [row["t"] for row in poller.rows()][:2] == ["0.25", "1.25"]
    assert {row["w"] for row in poller.rows()} == {None}


def test_what_came_before_a_failure_stays(tmp_path: Path) -> None:
    poller = Poller(declared(tmp_path, "failing"), tmp_path)
    with pytest.raises(AeroCastError, match="OSError: the meter does not answer"):
        poller.poll(NOW)
    assert len(poller.rows()) == 30


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("wrong", "yields list: no Arrow table"),
        ("nameless", "place or station must be among the columns"),
        ("nothing", "has no attribute 'nothing'"),
        ("no_such_package.at_all:readings", "No module named 'no_such_package'"),
    ],
)
def test_mistake_is_named(tmp_path: Path, function: str, words: str) -> None:
    feed = declared(tmp_path, function)
    with pytest.raises(AeroCastError, match=words):
        list(feed.source.read(feed, ReadRequest(now=NOW)))


def test_name_of_function_is_checked(tmp_path: Path) -> None:
    with pytest.raises(AeroCastError, match=r"source\.function"):
        declared(tmp_path, "os.system('x'):y")
