"""The description of a release, `manifest.json`: written with the champion, and read by the server.

Plain data (JSON). Unknown fields are ignored, so that an older server reads a newer release.
The server imports this module: numpy, msgspec and the standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
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


class ColumnInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One column: its canonical unit, the physical range of a step's value in it, and how gaps are filled."""

    name: str
    label: str
    unit: str
    range: tuple[float, float]
    gap: str = "last"


class Form(msgspec.Struct, frozen=True, omit_defaults=True):
    """A flat request of an older client and its answer, by field (see `aerocast.feed.request_form`)."""

    answer: dict[str, str]
    station: str | None = None
    time: str | None = None
    columns: dict[str, str] = {}
    ignored: tuple[str, ...] = ()
    target: str | None = None

    @property
    def fields(self) -> set[str]:
        """Every field that such a request may have."""
        return {*filter(None, (self.station, self.time)), *self.columns, *self.ignored}


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parts of a declaration that no model depends on: the present ones hold for every release."""

    end: Instant | None
    freshness: timedelta
    max_age: timedelta
    shadow: float
    forms: tuple[Form, ...] = ()

    @classmethod
    def of(cls, feed: Feed) -> Policy:
        forms = tuple(Form(**form.model_dump()) for form in feed.request_forms)
        return cls(feed.end, feed.freshness, feed.retraining.max_age, feed.promotion.shadow, forms)


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
    forms: tuple[Form, ...] = ()

    @classmethod
    def of(cls, feed: Feed) -> FeedSnapshot:
        return cls(
            name=feed.name,
            description=feed.description,
            stations=tuple(StationInfo(s.id, s.name, feed.zones[s.id]) for s in feed.stations),
            columns=tuple(ColumnInfo(c.name, c.short, c.unit, c.step_range, feed.gap_of(c.name)) for c in feed.columns),
            targets=feed.targets,
            gap_steps=feed.gap_policy.max_steps,
            freshness=feed.freshness,
            end=feed.end,
            max_age=feed.retraining.max_age,
            shadow=feed.promotion.shadow,
            forms=Policy.of(feed).forms,
        )

    def with_stations(self, ids: Iterable[str]) -> FeedSnapshot:
        """The same feed with the stations that it has got since."""
        own = {station.id for station in self.stations}
        more = [StationInfo(each, "", "UTC") for each in dict.fromkeys(ids) if each not in own]
        return msgspec.structs.replace(self, stations=(*self.stations, *more)) if more else self

    def under(self, policy: Policy | None) -> FeedSnapshot:
        """The same feed with the policy that is declared now; None: with its own."""
        return msgspec.structs.replace(self, **msgspec.structs.asdict(policy)) if policy else self

    def column(self, name: str) -> ColumnInfo | None:
        return next((column for column in self.columns if column.name == name), None)


class Graph(msgspec.Struct, frozen=True):
    """One ONNX file with its intervals: `features` names its F inputs, of `features.feature_names`.

    `typical` are rows that forecasts are explained against (see `explanations.pack`); older releases have none.
    """

    file: str
    features: tuple[str, ...]
    intervals: Intervals
    sha256: str = ""
    typical: bytes = b""


class Graphs(msgspec.Struct, frozen=True):
    """`station` answers for a known station; `sequence`, where there is one, for a bare sequence of readings.

    `trial` is what the trial judged, and what the next one compares with: `station` is the same, fitted on the rows
    that judged as well. An older release serves what was judged.
    """

    station: Graph
    sequence: Graph | None = None
    trial: Graph | None = None

    def all(self) -> Iterator[Graph]:
        """Each file once."""
        graphs = [each for each in (self.station, self.sequence, self.trial) if each]
        yield from {each.file: each for each in reversed(graphs)}.values()

    @property
    def for_trial(self) -> Graph:
        """What a trial compares with."""
        return self.trial or self.station


class Scores(msgspec.Struct, frozen=True):
    """Errors on the test span, never trained on. `rmse`, `mae` in the target's unit, `mse` its square; `composite`
    0.5 rmse + 0.3 mae + 0.2 mse on standardised errors; `skill` in RMSE and `skill_mae` in MAE against the better
    baseline (None in an older release, or of more than one horizon); `coverage` of intervals.
    """

    rows: int
    rmse: float
    mae: float
    mse: float
    composite: float
    skill: float
    coverage: float | None = None
    skill_mae: float | None = None


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
    `validation` (errors on rows that chose the model) are those of its training. `training_end` is the newest origin
    that what serves has learned, and `trial_end` that of what was judged, where the two differ.
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
    trial_end: Instant | None = None

    @property
    def end_before_trial(self) -> datetime:
        """The newest origin of what was judged."""
        return self.trial_end or self.training_end


class Manifest(msgspec.Struct, frozen=True):
    """`manifest.json`. `version` and the graphs' `sha256` are filled in by `release.write`; `format`: how to read.

    `kinds` says what kind of model serves each horizon of the station's graph: by `kind` alone where all are one.
    `served_by` names what serves a horizon at which no new candidate beat the baselines: a baseline, or a kind of an
    older release.
    """

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
    kinds: dict[int, str] = {}
    served_by: dict[int, str] = {}

    def kind_at(self, horizon: int) -> str:
        """The kind of model that serves a horizon; older releases have one for all."""
        return self.kinds.get(horizon, self.kind)

    def stamped(self, version: str, sums: Mapping[str, str]) -> Manifest:
        """The same manifest with its version and its graphs' checksums."""

        def stamp(graph: Graph | None) -> Graph | None:
            return msgspec.structs.replace(graph, sha256=sums[graph.file]) if graph else None

        stamped = {name: stamp(graph) for name, graph in msgspec.structs.asdict(self.graphs).items()}
        return msgspec.structs.replace(self, version=version, graphs=msgspec.structs.replace(self.graphs, **stamped))
