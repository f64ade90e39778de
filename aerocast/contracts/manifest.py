"""The description of a release, `manifest.json`: written with the champion, and read by the server.

Plain data (JSON). Unknown fields are ignored, so that an older server reads a newer release.
The server imports this module: numpy, msgspec and the standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from aerocast.contracts.intervals import Intervals
from aerocast.features.grid import WindowSpec
from aerocast.storage.documents import Instant

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed


FORMAT = 1  # raised when an older version of AeroCast would read a release wrongly


class StationInfo(msgspec.Struct, frozen=True):
    """One station of the feed when the release was made."""

    id: str
    name: str
    timezone: str


class ColumnInfo(msgspec.Struct, frozen=True):
    """One column: its canonical unit and its physical range in that unit."""

    name: str
    label: str
    unit: str
    range: tuple[float, float]


class Policy(msgspec.Struct, frozen=True):
    """The parts of a declaration that no model depends on: the present ones hold for every release."""

    end: Instant | None
    freshness: timedelta
    max_age: timedelta
    shadow: float

    @classmethod
    def of(cls, feed: Feed) -> Policy:
        return cls(feed.end, feed.freshness, feed.retraining.max_age, feed.promotion.shadow)


class FeedSnapshot(msgspec.Struct, frozen=True):
    """The part of the feed's declaration that a server needs.

    `gap_steps` is how many missing steps are filled; `freshness` how old the newest reading may be (before `end`,
    for a recorded feed); `max_age` how old a champion may get; `shadow` the share of requests that a challenger
    answers, too.
    """

    name: str
    description: str
    stations: tuple[StationInfo, ...]
    columns: tuple[ColumnInfo, ...]
    targets: tuple[str, ...]
    gap_steps: int
    freshness: timedelta
    end: Instant | None = None
    max_age: timedelta | None = None
    shadow: float = 0.0

    @classmethod
    def of(cls, feed: Feed) -> FeedSnapshot:
        return cls(
            name=feed.name,
            description=feed.description,
            stations=tuple(StationInfo(s.id, s.name, s.timezone) for s in feed.stations),
            columns=tuple(ColumnInfo(c.name, c.short, c.unit, c.range) for c in feed.columns),
            targets=feed.targets,
            gap_steps=feed.gap_policy.max_steps,
            freshness=feed.freshness,
            end=feed.end,
            max_age=feed.retraining.max_age,
            shadow=feed.promotion.shadow,
        )

    def under(self, policy: Policy | None) -> FeedSnapshot:
        """The same feed with the policy that is declared now; None: with its own."""
        return msgspec.structs.replace(self, **msgspec.structs.asdict(policy)) if policy else self

    def column(self, name: str) -> ColumnInfo | None:
        return next((column for column in self.columns if column.name == name), None)


class Graph(msgspec.Struct, frozen=True):
    """One ONNX file with its intervals: `features` names its F inputs, of `features.feature_names`."""

    file: str
    features: tuple[str, ...]
    intervals: Intervals
    sha256: str = ""


class Graphs(msgspec.Struct, frozen=True):
    """`station` answers for a known station; `sequence`, where there is one, for a bare sequence of readings."""

    station: Graph
    sequence: Graph | None = None

    def all(self) -> Iterator[Graph]:
        yield self.station
        if self.sequence and self.sequence.file != self.station.file:
            yield self.sequence


class Scores(msgspec.Struct, frozen=True):
    """Errors on the test span, never trained on. `rmse`, `mae` in the target's unit, `mse` its square; `composite`
    0.5 rmse + 0.3 mae + 0.2 mse on standardised errors; `skill` against the better baseline; `coverage` of intervals.
    """

    rows: int
    rmse: float
    mae: float
    mse: float
    composite: float
    skill: float
    coverage: float | None = None


class Metrics(msgspec.Struct, frozen=True):
    """`overall` pools all stations and horizons; `horizons` by steps ahead; `stations` by station, then horizon;
    `sequence` is the same as `horizons` for the shortest sequences.
    """

    overall: Scores
    horizons: dict[int, Scores]
    stations: dict[str, dict[int, Scores]] = {}
    sequence: dict[int, Scores] = {}


class TrainingRows(msgspec.Struct, frozen=True):
    """The rows of one training: how many, a digest of their content, and their roles (`readback`).

    `start` and `end` are the first and last origin that were split, `test` where the rows begin that judged; before
    it, blocks of `block` seconds have the `roles`, and `reach` seconds of labels are purged between two. What lies
    before `start`, from `earlier` on, is older than the regime.
    """

    digest: str
    count: int
    start: Instant
    end: Instant
    test: Instant
    block: int
    reach: int
    roles: tuple[str, ...]
    earlier: Instant | None = None


class Lineage(msgspec.Struct, frozen=True):
    """The origin of a release: enough to read back the very rows that it was trained on.

    `feed_time` is the feed's own present when it was made (see `clock`); `since` the start of the regime it
    was trained for, where drift asked for it; `rows` are the windows at `delta_versions["windows"]`. `parameters` and
    `validation` (errors on rows that chose the model) are those of its training.
    """

    run_id: str
    config_hash: str
    data_version: str
    delta_versions: dict[str, int]
    training_start: Instant
    training_end: Instant
    code_version: str
    created_at: Instant
    reason: str
    mlflow_run_id: str | None = None
    feed_time: Instant | None = None
    since: Instant | None = None
    rows: TrainingRows | None = None
    parameters: dict[str, Any] = {}
    validation: dict[str, float] = {}


class Manifest(msgspec.Struct, frozen=True):
    """`manifest.json`. `version` and the graphs' `sha256` are filled in by `release.write`; `format`: how to read."""

    feed: FeedSnapshot
    target: str
    unit: str
    kind: str
    horizons: tuple[int, ...]
    window: WindowSpec
    graphs: Graphs
    metrics: Metrics
    lineage: Lineage
    version: str = ""
    format: int = FORMAT

    def stamped(self, version: str, sums: Mapping[str, str]) -> Manifest:
        """The same manifest with its version and its graphs' checksums."""
        station = msgspec.structs.replace(self.graphs.station, sha256=sums[self.graphs.station.file])
        sequence = self.graphs.sequence
        if sequence:
            sequence = msgspec.structs.replace(sequence, sha256=sums[sequence.file])
        return msgspec.structs.replace(self, version=version, graphs=Graphs(station, sequence))
