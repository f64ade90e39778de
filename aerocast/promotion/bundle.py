"""Makes a release of a trial's winner: its graphs, and a manifest with the trial's scores."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import numpy as np

from aerocast.common.times import from_numpy
from aerocast.contracts.explanations import pack
from aerocast.contracts.intervals import coverage
from aerocast.contracts.manifest import FeedSnapshot, Graph, Graphs, Lineage, Manifest, Metrics, Scores
from aerocast.features.grid import WindowSpec
from aerocast.features.sequences import sequence_names, sequence_rows, shortest_rows
from aerocast.feed.declaration import BASELINES, Feed
from aerocast.models.candidates import Candidate
from aerocast.models.inference import forecast, select
from aerocast.models.tracking_rows import LoggedRows
from aerocast.models.trainer import digest
from aerocast.promotion import gate
from aerocast.promotion.scoring import ALL, Score, overall, score
from aerocast.promotion.trial import Trial, label_end
from aerocast.tables.training import Samples

STATION_GRAPH, SEQUENCE_GRAPH, TRIAL_GRAPH = "model.onnx", "sequence.onnx", "trial.onnx"


def files(winner: Candidate, sequence: Candidate | None) -> dict[str, bytes]:
    """A release's graphs by file name."""
    graphs = {STATION_GRAPH: winner.serving.graph}
    graphs |= {TRIAL_GRAPH: winner.graph} if winner.newest else {}
    return graphs | ({SEQUENCE_GRAPH: sequence.serving.graph} if sequence else {})


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
    return Manifest(
        feed=FeedSnapshot.of(feed),
        target=spec.target,
        unit=feed.column(spec.target).unit,
        kind=winner.kind,
        kinds=trial.decision.kinds,
        served_by=trial.decision.served_by,
        horizons=spec.horizons,
        window=spec,
        graphs=_graphs(spec, winner, short, trial.typical),
        metrics=_metrics(trial, winner.kind, _short_scores(spec, short, trial) if short else {}),
        lineage=Lineage(
            run_id=run_id,
            config_hash=winner.config_hash,
            data_version=winner.data_version,
            delta_versions=winner.delta_versions,
            training_start=winner.start,
            training_end=winner.serving.end,
            trial_end=winner.end if winner.newest else None,
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


def _graphs(spec: WindowSpec, winner: Candidate, short: Candidate | None, typical: Samples | None) -> Graphs:
    """The graphs with the rows that their forecasts are explained against: for sequences as requests are."""
    station = Graph(STATION_GRAPH, winner.features, winner.serving.intervals)
    trial_graph = Graph(TRIAL_GRAPH, winner.features, winner.intervals) if winner.newest else None
    sequence = Graph(SEQUENCE_GRAPH, short.features, short.serving.intervals) if short else None
    if typical is None:
        return Graphs(station, sequence, trial_graph)
    x, names = typical.rows.x, typical.names
    station = msgspec.structs.replace(station, typical=pack(select(x, names, winner.features)))
    if sequence:
        requests = select(sequence_rows(spec, names, x, seed=0)[1], sequence_names(spec), sequence.features)
        sequence = msgspec.structs.replace(sequence, typical=pack(requests))
    return Graphs(station, sequence, trial_graph)


def trial_scores(trial: Trial, kind: str) -> dict[str, float]:
    """One candidate's scores in the trial, by metric name: `test_rmse_6` is the RMSE 6 steps ahead."""
    metrics = _metrics(trial, kind, {})
    overall_scores = {f"test_{name}": getattr(metrics.overall, name) for name in ("composite", "skill", "rmse", "mae")}
    return overall_scores | _by_name(metrics.horizons)


def sequence_scores(spec: WindowSpec, short: Candidate, trial: Trial) -> dict[str, float]:
    """The scores of the graph for sequences on the trial's rows, by metric name; of the shortest sequences.

    Empty for a graph of another declaration.
    """
    if short.intervals.horizons != spec.horizons or not {*short.features} <= {*sequence_names(spec)}:
        return {}
    return _by_name(_short_scores(spec, short, trial))


def rows_of_trial(feed: Feed, target: str, trial: Trial, version: int | None) -> LoggedRows:
    """The rows that judged, as MLflow shows them; `version` is that of the windows table."""
    rows, start, end = trial.samples, from_numpy(trial.start), from_numpy(trial.end)
    return LoggedRows(feed.name, target, "evaluation", digest(rows), version, rows.names, len(rows.time), start, end)


def _by_name(horizons: Mapping[int, Scores]) -> dict[str, float]:
    """Scores by horizon as metrics: `test_skill_mae_6` is the skill in MAE 6 steps ahead."""
    return {
        f"test_{name}_{horizon}": value
        for horizon, scores in horizons.items()
        for name in ("rmse", "mae", "skill", "skill_mae", "coverage")
        if (value := getattr(scores, name)) is not None
    }


def _metrics(trial: Trial, kind: str, sequence: dict[int, Scores]) -> Metrics:
    own = [each for each in trial.scores if each.model == kind]
    horizons = [each for each in own if each.station == ALL and each.horizon]
    shares = dict(zip((each.horizon for each in horizons), trial.coverage[kind], strict=True))
    stations = sorted({each.station for each in own} - {ALL})
    skills = gate.skills(trial.scores, kind)
    return Metrics(
        overall=_scores(overall(trial.scores, kind), None),
        horizons={each.horizon: _scores(each, shares[each.horizon], skills[each.horizon].mae) for each in horizons},
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


def _scores(score: Score, share: float | None, skill_mae: float | None = None) -> Scores:
    return Scores(score.n, score.rmse, score.mae, score.mse, score.composite, score.skill, share, skill_mae)
