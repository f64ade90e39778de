"""From readings to requests: what is asked at which step, and which outcome is posted when."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event

from aerocast.client.errors import RequestRefusal
from feeder.client import PatientClient
from feeder.journal import Asked, Journal, Passed, Pending, Settled
from feeder.readings import Row
from serving.schemas import Evaluation, FeedView

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Run:
    """A station's newest readings without a hole: whole rows, one a step."""

    rows: deque[tuple[float | None, ...]]
    newest: datetime = EARLIEST

    def add(self, row: Row, cadence: timedelta) -> None:
        if None in row.values or row.time - self.newest != cadence:
            self.rows.clear()
        if None not in row.values:
            self.rows.append(row.values)
        self.newest = row.time


@dataclass(slots=True)
class Errors:
    """Squared errors of this run, by version."""

    squares: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, version: str, error: float) -> None:
        self.squares[version] += error * error
        self.counts[version] += 1

    def rmse(self) -> dict[str, tuple[int, float]]:
        """version -> (outcomes, RMSE over all horizons)."""
        return {version: (n, (self.squares[version] / n) ** 0.5) for version, n in self.counts.items()}


class Replay:
    """Asks and posts for one feed. `since` (by target) is the first origin to ask for, `until` the last step to see.

    A step's outcomes are posted before anything is asked from it. What the journal says was done is not done again.
    """

    def __init__(self, feed: FeedView, journal: Journal, client: PatientClient, since: dict[str, datetime]) -> None:
        self.feed, self.journal = feed, journal
        self.place: datetime | None = None
        self.latest: dict[str, Evaluation] = {}
        self.errors = Errors()
        self._client, self._since = client, since
        self._cadence = timedelta(seconds=feed.window.cadence_seconds)
        self._reach = feed.window.look_back * self._cadence
        self._columns = {name: at for at, name in enumerate(feed.window.columns)}

    def first(self) -> datetime:
        """The oldest step that is needed: before the oldest origin that is still to be asked for, a whole window."""
        stations = [station.id for station in self.feed.stations]
        starts = [
            max(self.journal.origin(target.name, station) or EARLIEST, self._since.get(target.name, EARLIEST))
            for target in self.feed.targets
            for station in stations
        ]
        return max(EARLIEST + self._reach, min(starts)) - self._reach

    def run(self, rows: Iterable[Row], until: datetime | None, stopped: Event, pace: Callable[[], None]) -> None:
        """Goes through `rows`, which begin at `first()` or before, in order of time. Returns early once stopped."""
        runs: dict[str, _Run] = defaultdict(lambda: _Run(deque(maxlen=self.feed.window.look_back)))
        due: dict[tuple[str, datetime], list[Pending]] = defaultdict(list)
        for pending in self.journal.pending:
            due[pending.station, pending.time].append(pending)
        ids = {station.id for station in self.feed.stations}
        for row in rows:
            if stopped.is_set() or (until is not None and row.time > until):
                break
            self.place = row.time
            runs[row.station].add(row, self._cadence)
            for pending in due.pop((row.station, row.time), ()):
                self._settle(pending, row)
            for target in self.feed.targets if row.station in ids else ():
                if self._is_new(target.name, row):
                    for pending in self._ask(target.name, row, runs[row.station], pace):
                        due[pending.station, pending.time].append(pending)
        if not stopped.is_set():
            self._give_up()

    def _is_new(self, target: str, row: Row) -> bool:
        """A step without a reading is left alone: it may come late."""
        last_origin = self.journal.origin(target, row.station)
        if row.values[self._columns[target]] is None or row.time < self._since.get(target, EARLIEST):
            return False
        return last_origin is None or row.time > last_origin

    def _ask(self, target: str, row: Row, run: _Run, pace: Callable[[], None]) -> tuple[Pending, ...]:
        if len(run.rows) < self.feed.window.steps:
            self.journal.record(Passed(target, row.station, row.time, "skipped"))
            return ()
        pace()
        try:
            answer = self._client.predict(
                feed=self.feed.name, target=target, station=row.station, sequence=list(run.rows), time=row.time
            )
        except RequestRefusal:
            self.journal.record(Passed(target, row.station, row.time, "refused"))
            return ()
        version = answer.model.version
        pending = tuple(
            Pending(answer.id, target, row.station, one.horizon, one.time, one.value, version)
            for one in answer.forecasts
            if one.time is not None
        )
        self.journal.record(Asked(target, row.station, row.time, version, pending))
        return pending

    def _settle(self, pending: Pending, row: Row) -> None:
        actual = row.values[self._columns[pending.target]]
        if actual is None:
            return
        try:
            self.latest[pending.target] = self._client.outcome(self.feed.name, pending, actual)
        except RequestRefusal:
            self.journal.record(Settled(pending.id, pending.horizon, "unknown"))
            return
        self.errors.add(pending.version, actual - pending.predicted)
        self.journal.record(Settled(pending.id, pending.horizon, "posted"))

    def _give_up(self) -> None:
        """What is a window older than the newest step seen will not come any more: outcomes, and silent stations."""
        if self.place is None:
            return
        old = self.place - self._reach
        for pending in self.journal.pending:
            if pending.time <= old:
                self.journal.record(Settled(pending.id, pending.horizon, "unknown"))
        for target in self.feed.targets:
            for station in self.feed.stations:
                last_origin = self.journal.origin(target.name, station.id) or self._since.get(target.name, EARLIEST)
                if last_origin < old:
                    self.journal.record(Passed(target.name, station.id, old, "silent"))
