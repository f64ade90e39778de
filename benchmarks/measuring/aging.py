"""A home that gets older: a delivery every ten seconds by the inbox, and what sixty more of them cost then."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from aerocast.common.months import month_of
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.inbox import Inbox
from aerocast.ingest.channels.intake import take_all
from aerocast.lake import Lake, compaction
from aerocast.operations.retention import maintain
from aerocast.tables.layers import raw_edges
from aerocast.tables.raw import raw_schema
from measuring.sizes import size_of
from measuring.spread import Spread, seconds

START = datetime(2024, 1, 1, tzinfo=UTC)
A_DAY, OF_A_COMMIT, SAMPLE = 8640, 2160, 60
NEWEST = 40  # commits of SAMPLE deliveries before each measurement: what a table remembers is as in a home that lives


class Age(NamedTuple):
    """What a home of so many days takes: seconds of SAMPLE deliveries, a round each; raw's log; names that it knows."""

    days: int
    seconds: Spread
    log: int
    known: int
    grown: int


def delivered_feed() -> Feed:
    """Six stations that deliver one after the other, a reading a file."""
    return Feed.parse(
        {
            "name": "old",
            "description": "Deliveries by the inbox.",
            "source": {"kind": "push", "station_field": "station", "time_field": "time"},
            "cadence": "PT1H",
            "seasons": ["P1D"],
            "start": START,
            "end": START + timedelta(days=200),
            "freshness": "PT6H",
            "stations": [{"id": f"S{number}"} for number in range(6)],
            "columns": [{"name": "level", "field": "level", "source_unit": "degC", "unit": "degC", "range": [-60, 60]}],
            "targets": ["level"],
            "window": {"steps": 3, "columns": ["level"], "look_back": 24},
            "horizons": [1],
            "gap_policy": {"max_steps": 3},
            "candidates": {"persistence": {}, "seasonal_naive": {}},
        }
    )


class Aging:
    """One home; `grow` lets days pass in big commits by the code of an intake, `measure` takes files."""

    def __init__(self, home: Path) -> None:
        self.home, self.feed, self.lake = home, delivered_feed(), Lake(home)
        self.raw, self.day, self.files = f"{self.feed.name}/raw", 0, 0

    def grow(self, days: int) -> None:
        """Until the home is so many days old."""
        for day in range(self.day, days):
            small = range(A_DAY - NEWEST * SAMPLE, A_DAY, SAMPLE) if day == days - 1 else range(A_DAY, A_DAY)
            big = range(0, small.start, OF_A_COMMIT)
            for first, end in zip([*big, *small], [*big[1:], *small, A_DAY], strict=True):
                self._commit(range(day * A_DAY + first, day * A_DAY + end))
            compaction.tidy(self.lake, self.raw)
            if day % 10 == 9:  # each night, in a home that lives; nothing is young in simulated time
                maintain(self.home, self.lake, {}, timedelta(0))
        self.day = days

    def measure(self, rounds: int) -> Age:
        before = size_of(Path(self.lake.uri(self.raw)) / "_delta_log")
        took = [self._take() for _ in range(rounds)]
        log = size_of(Path(self.lake.uri(self.raw)) / "_delta_log")
        return Age(self.day, Spread.of(took), log, len(self.lake.ledger(self.raw).records), log - before)

    def _take(self) -> float:
        """Seconds until files that lie in the inbox are in raw and out of the way."""
        inbox = self.home / "inbox" / self.feed.name
        inbox.mkdir(parents=True, exist_ok=True)
        now = START + timedelta(days=self.day)
        for _ in range(SAMPLE):
            self.files += 1
            text = f"station,time,level\nS0,{now + timedelta(seconds=self.files):%Y-%m-%dT%H:%M:%SZ},1.0\n"
            (inbox / f"{self.files}.csv.part").write_text(text)
            (inbox / f"{self.files}.csv.part").rename(inbox / f"{self.files}.csv")
        doors = [Inbox(str(self.home / "inbox"), self.home, self.feed.name)]
        taken = []
        spent = seconds(lambda: taken.append(take_all(self.lake, self.feed, doors)))
        assert taken[0].rows.total() == SAMPLE, taken
        return spent

    def _commit(self, numbers: range) -> None:
        """So many deliveries, a reading each, every one known by its own name."""
        times = [START + timedelta(seconds=10 * number) for number in numbers]
        names = [f"inbox/{hashlib.sha256(str(number).encode()).hexdigest()}/0" for number in numbers]
        values = np.char.mod("%.1f", np.sin(np.array(numbers) / 1000) * 20)
        columns = {
            "station": [f"S{number % 6}" for number in numbers],
            "time": times,
            "time_text": [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in times],
            "source": ["inbox/x.csv"] * len(names),
            "segment": names,
            "line": list(range(len(names))),
            "level": values.tolist(),
            "month": [month_of(time) for time in times],
        }
        schema = raw_schema(self.feed)
        rows = pa.table([pa.array(columns.get(f.name, [None] * len(names)), f.type) for f in schema], schema=schema)
        version = self.lake.version(self.raw)
        turns = dict.fromkeys(names, 0 if version is None else version + 1)
        assert self.lake.amend(self.raw, rows, turns, upon=version, edges=raw_edges(self.feed))
