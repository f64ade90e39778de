"""A feed that is polled every five minutes beside a server that is asked ten times a second, in simulated time.

Ticks are the live sensor's own, runs are Dagster's on an instance whose storage lies in the home, answers go through
the prediction log. Days between the sampled ones pass in one run each `STRIDE` days; what a server would have logged
meanwhile is written by evaluation's own functions, a round an intake.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from aerocast.common.months import month_of
from aerocast.contracts import clock, predictions
from aerocast.contracts.predictions import Logged, LoggedForecast
from aerocast.feed.declaration import Feed
from aerocast.lake import PARTITION, Lake
from aerocast.monitoring.evaluation import answers, intake
from aerocast.operations.retention import maintain
from aerocast.releases import release
from aerocast.storage.home import store_of
from aerocast_assets.automation import run_history
from aerocast_assets.graph import feed_definitions
from aerocast_assets.keys import job_name, live_job_name, months
from aerocast_assets.resources import Platform
from measuring.spread import seconds

PROJECT = Path(__file__).parents[2]
POLL, DAY = timedelta(minutes=5), timedelta(days=1)
POLLS = DAY // POLL
ASKED = 10 * 300  # answers between two polls
FIRST = datetime(2024, 2, 1, tzinfo=UTC)  # the first day with a server
STRIDE = 10
TARGET = "temperature"


def polled_feed() -> Feed:
    """Six stations with a reading every five minutes, on a grid of five minutes: the most that such a poll brings."""
    source: dict[str, Any] = {"kind": "simulated", "onset": "2030-01-01T00:00:00Z"}
    column = {"name": TARGET, "field": TARGET, "source_unit": "degC", "unit": "degC", "range": [-40, 60]}
    stations = [{"id": f"SIM{n}", "latitude": 40.0, "longitude": float(n)} for n in range(6)]
    return Feed.parse(
        {
            "name": "polled",
            "description": "Six simulated stations.",
            "source": source,
            "cadence": "PT5M",
            "seasons": ["P1D"],
            "start": FIRST - 31 * DAY,
            "end": FIRST + 120 * DAY,
            "poll": "PT5M",
            "freshness": "PT1H",
            "stations": stations,
            "columns": [column],
            "targets": [TARGET],
            "window": {"steps": 5, "columns": [TARGET], "look_back": 288},
            "horizons": [1, 12],
            "gap_policy": {"max_steps": 6},
            "split": {"test": 0.2, "validation": 0.12, "calibration": 0.16, "block": "P2D"},
            "candidates": {"linear": {}, "persistence": {}, "seasonal_naive": {}},
        }
    )


@contextmanager
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The project's own instance, its storage in the home."""
    kept = {name: os.environ.get(name) for name in ("AEROCAST_HOME", "DAGSTER_HOME")}
    os.environ |= {"AEROCAST_HOME": str(home), "DAGSTER_HOME": str(PROJECT)}
    try:
        with dg.DagsterInstance.get() as made:
            yield made
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


class Life:
    """One home; `now` is the feed's present."""

    def __init__(self, home: Path, made: dg.DagsterInstance) -> None:
        self.home, self.instance, self.feed, self.lake = home, made, polled_feed(), Lake(home)
        shared = dg.Definitions(resources={"platform": Platform(home=str(home))}, executor=dg.in_process_executor)
        self.defs = dg.Definitions.merge(feed_definitions(self.feed), shared)
        self.cursor: str | None = None
        self.now, self.runs = FIRST, 0
        self._set(FIRST)

    def begin(self) -> None:
        """History, first models and a champion."""
        keys = [month for month in months(self.feed).get_partition_keys() if month <= month_of(self.now)]
        self._execute(job_name(self.feed), (keys[0], keys[-1]), None)
        assert release.current(self.home, self.feed.name, TARGET) is not None

    def pass_days(self, until: int) -> None:
        """Until the day of that number begins."""
        while self.now < FIRST + until * DAY:
            end = min(self.now + STRIDE * DAY, FIRST + until * DAY)
            self._log_of(self.now, end)
            self._set(end - POLL)
            self.tick()
            self._set(end)
        self.night()

    def poll(self) -> tuple[float, float, float]:
        """Five minutes with a server beside; seconds of the tick, of its runs, and of the server's log alone."""
        logged = seconds(self._ask)
        self._set(self.now + POLL)
        self._age_files()
        made: list[dg.RunRequest] = []
        ticked = seconds(lambda: made.extend(self._tick()))
        return ticked, seconds(lambda: self._start(made)), logged

    def tick(self) -> None:
        self._start(self._tick())

    def night(self) -> float:
        """Maintenance that takes every version and run for old; seconds."""
        feeds = {self.feed.name: (self.feed, self.now)}
        later = datetime.now(UTC) + 3 * DAY
        return seconds(
            lambda: (maintain(self.home, self.lake, feeds, timedelta(0)), run_history.prune(self.instance, later))
        )

    def _age_files(self) -> None:
        """Makes the files for people, written once an hour, a poll older: this clock stands between polls.

        What is noted of a file's origin holds for the file of that time, so it is noted again.
        """
        for folder in ("exports", "reports"):
            for path in (self.home / folder).rglob("[!.]*.*"):
                store = store_of(path.parent)
                written, origin = path.stat().st_mtime - POLL.total_seconds(), store.origin(path.name)
                os.utime(path, (written, written))
                if origin is not None:
                    store.note_origin(path.name, origin)

    def _set(self, now: datetime) -> None:
        self.now = now
        # Set long ago, as a clock that nobody sets: what was written before one is set is of any age.
        clock.document(self.home, self.feed.name).write(clock.Clock(now, FIRST, speed=0.0))

    def _tick(self) -> list[dg.RunRequest]:
        name = live_job_name(self.feed)
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=self.defs.get_repository_def(),
            sensor_name=name,
            resources={"platform": Platform(home=str(self.home))},
        ) as context:
            data = self.defs.resolve_sensor_def(name).evaluate_tick(context)
        self.cursor = data.cursor
        return list(data.run_requests or ())

    def _start(self, requests: list[dg.RunRequest]) -> None:
        for request in requests:
            assert request.job_name
            tags = request.tags
            span = tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]
            self._execute(request.job_name, span, request)

    def _execute(self, job: str, span: tuple[str, str], request: dg.RunRequest | None) -> None:
        self.runs += 1
        tags = dict(request.tags) if request else {}
        tags |= {"dagster/asset_partition_range_start": span[0], "dagster/asset_partition_range_end": span[1]}
        done = self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            asset_selection=list(request.asset_selection) if request and request.asset_selection else None,
            tags=tags
            | {f"dagster/asset_partition_range_{end}": at for end, at in zip(("start", "end"), span, strict=True)},
        )
        assert done.success

    def _answer(self, station: str, at: datetime) -> Logged:
        """What the server says at that time of the newest whole step."""
        pointer = release.current(self.home, self.feed.name, TARGET)
        assert pointer is not None
        origin = FIRST + (at - FIRST) // self.feed.cadence * self.feed.cadence - self.feed.cadence
        value = 20.0 + (origin.timestamp() // 300 % 97) / 10
        said = tuple(
            LoggedForecast(step, origin + step * self.feed.cadence, value, value - 1, value + 1)
            for step in self.feed.horizons
        )
        return Logged(
            id=str(uuid.uuid4()), feed=self.feed.name, target=TARGET, station=station, issued_at=at, origin=origin,
            version=pointer.version, kind="linear", graph="station", shadow=False, degraded=False, reasons=(),
            level=0.9, forecasts=said,
        )  # fmt: skip

    def _ask(self) -> None:
        """The server's log of one poll: a segment each ten seconds."""
        for first in range(0, ASKED, 100):
            log = predictions.PredictionLog(self.home)
            for number in range(first, first + 100):
                station = self.feed.station_ids[number % len(self.feed.station_ids)]
                log.append(self._answer(station, self.now + number * POLL / ASKED))
            log.close()

    def _log_of(self, start: datetime, end: datetime) -> None:
        """What intakes of those days would have left: a forecast an intake, and the number of each answer."""
        while start < end:
            polls = min(POLLS, (end - start) // POLL)
            times = [start + poll * POLL for poll in range(polls)]
            said = [intake.prediction_table([self._answer(each, at) for each in self.feed.station_ids]) for at in times]
            self._append("predictions", pa.concat_tables(said))
            count = polls * ASKED
            numbers = np.random.default_rng(int(start.timestamp())).integers(0, 2**62, count)
            columns = [numbers, numbers % 5000, pa.array([month_of(start)] * count)]
            self._append("answers", pa.table(columns, schema=answers.ANSWERS))
            start += polls * POLL

    def _append(self, table: str, rows: pa.Table) -> None:
        name = f"{self.feed.name}/{table}"
        assert PARTITION in rows.column_names
        assert self.lake.amend(name, rows, {f"days/{self.now}": 0}, upon=self.lake.version(name))
