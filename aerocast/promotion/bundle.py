"""Makes a release of a trial's winner: its graphs, and a manifest with the trial's scores."""

from datetime import UTC, datetime

import numpy as np

from aerocast.contracts.intervals import coverage
from aerocast.contracts.manifest import FeedSnapshot, Graph, Graphs, Lineage, Manifest, Metrics, Scores
from aerocast.features.grid import WindowSpec
from aerocast.features.sequences import shortest_rows
from aerocast.feed.declaration import BASELINES, Feed
from aerocast.models.candidates import Candidate
from aerocast.models.inference import forecast
from aerocast.promotion.scoring import ALL, Score, overall, score
from aerocast.promotion.trial import Trial, label_end

STATION_GRAPH, SEQUENCE_GRAPH = "model.onnx", "sequence.onnx"


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
    feed_time: datetime | None = None,
) -> Manifest:
    """The release of a winner and the graph for sequences beside it, as `release.write` takes it.

    `feed_time` is the feed's own present (see `aerocast.contracts.clock`).
    """
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
            mlflow_run_id=winner.mlflow_run_id or None,
            feed_time=feed_time,
            since=winner.since,
            rows=winner.read,
            parameters=winner.parameters,
            validation=winner.validation,
        ),
    )


def trial_scores(trial: Trial, kind: str) -> dict[str, float]:
    """One candidate's scores in the trial, by metric name: `test_rmse_6` is the RMSE 6 steps ahead."""
    metrics = _metrics(trial, kind, {})
    named_scores = {f"test_{name}": getattr(metrics.overall, name) for name in ("composite", "skill", "rmse", "mae")}
    for horizon, scores in metrics.horizons.items():
        values = {name: getattr(scores, name) for name in ("rmse", "mae", "skill", "coverage")}
        named_scores |= {f"test_{name}_{horizon}": value for name, value in values.items() if value is not None}
    return named_scores


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
    """Scores of the sequence graph on the test rows cut to the hardest request, beside the baselines on the same rows.

    Empty if no row can be cut to such a request, or if the graph learned from all of them, as one trained by another
    split than the winner may have.
    """
    mask = trial.samples.time > label_end(short.end, spec)
    if not mask.any():
        return {}
    test = trial.samples.take(mask)
    rows, x = shortest_rows(spec, test.names, test.rows.x)
    if not np.isfinite(test.rows.y[rows]).any(axis=0).all():
        return {}
    levels, actual = forecast(short.graph, x, short.features), test.rows.y[rows]
    models = {kind: trial.forecasts[kind][mask][rows] for kind in BASELINES} | {short.kind: levels}
    shares = coverage(short.intervals, x, short.features, levels, actual)
    scores = [
        each
        for each in score(models, actual, test.station[rows], spec.horizons)
        if each.model == short.kind and each.station == ALL and each.horizon
    ]
    return {each.horizon: _scores(each, share) for each, share in zip(scores, shares, strict=True)}


def _scores(score: Score, share: float | None) -> Scores:
    return Scores(score.n, score.rmse, score.mae, score.mse, score.composite, score.skill, share)
