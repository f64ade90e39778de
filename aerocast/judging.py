"""The trial of all candidates and the incumbent on the same newest rows, and the manifest of what comes out of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from aerocast.candidates import Candidate
from aerocast.errors import AeroCastError
from aerocast.feed import BASELINES, Feed
from aerocast.grid import Floats
from aerocast.intervals import coverage
from aerocast.manifest import FeedSnapshot, Graph, Graphs, Lineage, Manifest, Metrics, Scores
from aerocast.promotion import Decision, decide
from aerocast.release import Release
from aerocast.scoring import ALL, Score, forecast, overall, score
from aerocast.sequences import shortest_rows
from aerocast.splits import Role
from aerocast.trainer import roles
from aerocast.training import Samples
from aerocast.windows import WindowSpec

INCUMBENT = "incumbent"
STATION_GRAPH, SEQUENCE_GRAPH = "model.onnx", "sequence.onnx"


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
    test, note = _judges(samples.take(roles(feed, spec, samples) == Role.TEST), spec, incumbent)
    x, names = test.rows.x, test.names
    forecasts = {each.kind: forecast(each.graph, x, names, each.features) for each in found}
    covered = {each.kind: coverage(each.intervals, x, names, forecasts[each.kind], test.rows.y) for each in found}
    if incumbent is not None and not note:
        graph = incumbent.manifest.graphs.station
        try:
            forecasts[INCUMBENT] = forecast(incumbent.files[graph.file], x, names, graph.features)
        except AeroCastError as error:
            note = f" The incumbent {incumbent.version} could not be scored: {error}"
    scores = score(forecasts, test.rows.y, test.station, spec.horizons)
    decision = decide(scores, feed.promotion, INCUMBENT if INCUMBENT in forecasts else None)
    return Trial(test, forecasts, scores, covered, decision, note)


def _judges(test: Samples, spec: WindowSpec, incumbent: Release | None) -> tuple[Samples, str]:
    """The test rows that the incumbent has not learned from either; all of them, with a note, if there are none.

    Time usually sees to that: the newest share of a longer history begins later. A smaller share, or a source that was
    cut, does not.
    """
    if incumbent is None:
        return test, ""
    known = incumbent.manifest.lineage.training_end.replace(tzinfo=None)
    reach = spec.horizons[-1] * np.timedelta64(spec.cadence, "s")
    unseen = test.time > np.datetime64(known, "s") + reach
    if unseen.any():
        return test.take(unseen), ""
    return test, f" The incumbent {incumbent.version} learned from all these rows, so it could not be scored."


def files(winner: Candidate, sequence: Candidate | None) -> dict[str, bytes]:
    """A release's graphs by file name."""
    return {STATION_GRAPH: winner.graph} | ({SEQUENCE_GRAPH: sequence.graph} if sequence else {})


def manifest(
    feed: Feed,
    spec: WindowSpec,
    graphs: tuple[Candidate, Candidate | None],
    trial: Trial,
    run_id: str,
    reason: str,
) -> Manifest:
    """The release of a winner and the graph for sequences beside it, as `release.write` takes it."""
    winner, short = graphs
    sequence = Graph(SEQUENCE_GRAPH, short.features, short.intervals) if short else None
    return Manifest(
        feed=FeedSnapshot.of(feed),
        target=spec.target,
        unit=feed.column(spec.target).unit,
        kind=winner.kind,
        horizons=spec.horizons,
        window=spec,
        graphs=Graphs(Graph(STATION_GRAPH, winner.features, winner.intervals), sequence),
        metrics=_metrics(trial, winner.kind, _short_scores(spec, short, trial) if short else {}),
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


def _metrics(trial: Trial, kind: str, sequence: dict[int, Scores]) -> Metrics:
    own = [each for each in trial.scores if each.model == kind]
    horizons = [each for each in own if each.station == ALL and each.horizon]
    shares = dict(zip((each.horizon for each in horizons), trial.coverage[kind], strict=True))
    stations = sorted({each.station for each in own} - {ALL})
    return Metrics(
        overall=_scores(overall(trial.scores, kind), None),
        horizons={each.horizon: _scores(each, shares[each.horizon]) for each in horizons},
        stations={
            station: {each.horizon: _scores(each, None) for each in own if each.station == station and each.horizon}
            for station in stations
        },
        sequence=sequence,
    )


def _short_scores(spec: WindowSpec, short: Candidate, trial: Trial) -> dict[int, Scores]:
    """The sequence graph on the test rows cut to the hardest request, beside the baselines on the same rows."""
    test = trial.samples
    kept, x = shortest_rows(spec, test.names, test.rows.x)
    levels, actual = forecast(short.graph, x, short.features), test.rows.y[kept]
    models = {kind: trial.forecasts[kind][kept] for kind in BASELINES} | {short.kind: levels}
    shares = coverage(short.intervals, x, short.features, levels, actual)
    scores = [
        each
        for each in score(models, actual, test.station[kept], spec.horizons)
        if each.model == short.kind and each.station == ALL and each.horizon
    ]
    return {each.horizon: _scores(each, share) for each, share in zip(scores, shares, strict=True)}


def _scores(found: Score, share: float | None) -> Scores:
    return Scores(found.n, found.rmse, found.mae, found.mse, found.composite, found.skill, share)
