"""The trial of all candidates and the incumbent on the same newest rows, and the manifest of what comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from aerocast.candidates import Candidate
from aerocast.errors import AeroCastError
from aerocast.feed import Feed
from aerocast.grid import Floats
from aerocast.intervals import coverage
from aerocast.manifest import FeedSnapshot, Graph, Graphs, Lineage, Manifest, Metrics, Scores
from aerocast.promotion import Decision, decide
from aerocast.release import Release
from aerocast.scoring import ALL, Score, forecast, overall, score
from aerocast.splits import Role
from aerocast.trainer import roles
from aerocast.training import Samples
from aerocast.windows import WindowSpec

INCUMBENT = "incumbent"
STATION_GRAPH = "model.onnx"


@dataclass(frozen=True)
class Trial:
    """`scores` of every model on `rows` test rows between `start` and `end` (origins, UTC); `coverage` (kind -> H) of
    each one's own intervals; `forecasts` (kind -> (n, H)) beside the outcomes in `samples`.
    """

    samples: Samples
    forecasts: dict[str, Floats]
    scores: list[Score]
    coverage: dict[str, list[float]]
    decision: Decision
    note: str

    @property
    def start(self) -> np.datetime64:
        return np.datetime64(self.samples.time.min())

    @property
    def end(self) -> np.datetime64:
        return np.datetime64(self.samples.time.max())


def hold(
    feed: Feed, spec: WindowSpec, samples: Samples, found: Sequence[Candidate], incumbent: Release | None
) -> Trial:
    """Scores everyone on the newest share of time, which no candidate saw and the incumbent is older than; decides.

    An incumbent that wants features which no longer exist cannot be scored: the note says so, and it does not count.

    Raises:
        AeroCastError: no test rows, or a baseline is missing.
    """
    test = samples.take(roles(feed, spec, samples) == Role.TEST)
    x, names = test.rows.x, test.names
    forecasts = {each.kind: forecast(each.graph, x, names, each.features) for each in found}
    covered = {each.kind: coverage(each.intervals, x, names, forecasts[each.kind], test.rows.y) for each in found}
    note = ""
    if incumbent is not None:
        graph = incumbent.manifest.graphs.station
        try:
            forecasts[INCUMBENT] = forecast(incumbent.files[graph.file], x, names, graph.features)
        except AeroCastError as error:
            note = f" The incumbent {incumbent.version} could not be scored: {error}"
    scores = score(forecasts, test.rows.y, test.station, spec.horizons)
    rival = overall(scores, INCUMBENT) if INCUMBENT in forecasts else None
    decision = decide({each.kind: overall(scores, each.kind) for each in found}, rival, feed.promotion)
    return Trial(test, forecasts, scores, covered, decision, note)


def manifest(feed: Feed, spec: WindowSpec, winner: Candidate, trial: Trial, run_id: str, reason: str) -> Manifest:
    """The winner's release, as `release.write` takes it."""
    return Manifest(
        feed=FeedSnapshot.of(feed),
        target=spec.target,
        unit=feed.column(spec.target).unit,
        kind=winner.kind,
        horizons=spec.horizons,
        window=spec,
        graphs=Graphs(Graph(STATION_GRAPH, winner.features, winner.intervals)),
        metrics=_metrics(trial.scores, winner.kind, trial.coverage),
        lineage=Lineage(
            run_id=run_id,
            config_hash=winner.config_hash,
            data_version=winner.data_version,
            delta_versions=winner.delta_versions,
            training_start=winner.start,
            training_end=winner.end,
            code_version=winner.code_version,
            created_at=datetime.now(UTC),
            reason=reason,
            mlflow_run_id=winner.mlflow_run_id,
        ),
    )


def _metrics(scores: Sequence[Score], kind: str, covered: Mapping[str, list[float]]) -> Metrics:
    own = [each for each in scores if each.model == kind]
    horizons = [each for each in own if each.station == ALL and each.horizon]
    shares = dict(zip((each.horizon for each in horizons), covered[kind], strict=True))
    stations = sorted({each.station for each in own} - {ALL})
    return Metrics(
        overall=_scores(overall(scores, kind), None),
        horizons={each.horizon: _scores(each, shares[each.horizon]) for each in horizons},
        stations={
            station: {each.horizon: _scores(each, None) for each in own if each.station == station and each.horizon}
            for station in stations
        },
    )


def _scores(found: Score, share: float | None) -> Scores:
    return Scores(found.n, found.rmse, found.mae, found.mse, found.composite, found.skill, share)
