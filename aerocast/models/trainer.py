"""Trains one model, from the stored table to a candidate: the split, the fit, the export, the interval calibration."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import duckdb
import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.common.times import from_numpy
from aerocast.contracts.intervals import Intervals
from aerocast.contracts.manifest import TrainingRows
from aerocast.features import origin
from aerocast.features.dataset import Dataset, rmse
from aerocast.features.features import feature_names
from aerocast.features.grid import Ints, WindowSpec
from aerocast.features.sequences import sequence_names
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import Log, Model, Untrainable, model
from aerocast.models.candidates import Candidate, Newest, StoredForecasts
from aerocast.models.fallback import learn
from aerocast.models.fit import Fit
from aerocast.models.splits import Cut, Role, split_regime, split_span
from aerocast.models.study import Study
from aerocast.models.unseen import Calibration
from aerocast.tables.training import Samples, load

# Of a new regime: a fit on its own rows alone must have this share of the other's error to be taken.
FAR_BETTER = 0.5
# Rows from before a change for each one after it, at most; both sides count alike.
EARLIER_PER_NEW = 5


def split_samples(feed: Feed, spec: WindowSpec, samples: Samples, since: datetime | None = None) -> Cut:
    """Splits these samples' span; only the new regime's, if one began at `since`.

    Raises:
        AeroCastError: the span is too short to hold every role.
    """
    first, last = samples.time.min(), samples.time.max()
    return split_regime(feed.split, spec, first, last, since) if since else split_span(feed.split, spec, first, last)


def roles(feed: Feed, spec: WindowSpec, samples: Samples, since: datetime | None = None) -> NDArray[np.str_]:
    """Role (n,) of each sample: who may see it. Raises AeroCastError as `split_samples` does."""
    return split_samples(feed, spec, samples, since).of(samples.time)


@dataclass(frozen=True)
class Training:
    """One kind on the rows of one split: what was chosen (`fit`), what is judged (`final`), and its intervals.

    `final` is fitted on `past`, rows (by index) before the test span; `errors` are those on validation and calibration
    rows. Nothing in it depends on a row whose labels reach into the test span.
    """

    samples: Samples
    role: NDArray[np.str_]
    read: TrainingRows
    past: Ints
    fit: Fit
    final: Fit
    calibration: Calibration
    intervals: Intervals
    errors: dict[str, float]

    @classmethod
    def of(cls, feed: Feed, kind: str, spec: WindowSpec, samples: Samples, plan: Cut, log: Log) -> "Training":
        """Of samples that have the features of the kind (`of_kind`).

        Raises:
            Untrainable: the kind needs what these rows do not have.
            AeroCastError: too little data, or a wrong parameter.
        """
        role = plan.of(samples.time)
        fit, final, past = fit_twice(feed, kind, spec, samples, plan, role, log)
        read = describe_rows(samples, plan)
        calibration = Calibration.of(feed, (fit, final), samples, role, plan, read.digest)
        intervals, errors = calibration.intervals()
        return cls(samples, role, read, past, fit, final, calibration, intervals, fit.metrics | errors)


def fit_twice(
    feed: Feed, kind: str, spec: WindowSpec, samples: Samples, plan: Cut, role: NDArray[np.str_], log: Log
) -> tuple[Fit, Fit, Ints]:
    """The fit that validation rows chose, the same on all rows before the test span, and these rows (by index)."""
    fit = _choose_fit(feed, kind, spec, samples, role, log)
    past = _add(fit.rows, np.flatnonzero(plan.before_test(samples.time)))
    return fit, fit.again(samples.rows.take(past)), past


def train(
    feed: Feed, target: str, kind: str, table: duckdb.DuckDBPyRelation, log: Log, since: datetime | None = None
) -> Candidate:
    """Fits `kind` on train rows, tunes it on validation rows, and calibrates its graph on calibration rows.

    It is fitted with the same choices on all rows before the test span, to be judged, and on all rows, to serve.

    What it was made from, hashes and versions, is for the caller to fill in.

    Where a new regime began at `since`, it is fitted twice, with what lies before it and on its own train rows alone;
    its validation rows choose, and its rows calibrate.

    Raises:
        Untrainable: the kind needs what these rows or this machine do not have.
        AeroCastError: too little data, or a wrong parameter.
    """
    begin = time.monotonic()
    spec = WindowSpec.of(feed, target)
    samples = of_kind(model(kind), spec, load(spec, table))
    plan = split_samples(feed, spec, samples, since)
    own = Training.of(feed, kind, spec, samples, plan, log)
    fit, final, role, past, calibration = own.fit, own.final, own.role, own.past, own.calibration
    intervals, read = own.intervals, own.read
    graph, newest = b"", None
    if model(kind).serves:
        rows, outages = _add(past, np.flatnonzero(plan.inside(samples.time))), None
        last = fit.again(samples.rows.take(rows))
        serving = calibration.newest(intervals)
        if not fit.model.learns_sequences:
            study = Study.of(feed, spec, samples, role, plan, read.digest)
            (final, last), outages = study.bridge(fit, (final, last), intervals, role)
        intervals, serving = (msgspec.structs.replace(each, outages=outages) for each in (intervals, serving))
        graph, end = final.export(), from_numpy(samples.time[rows].max())
        newest = Newest(last.export(), serving, end, len(np.unique(rows)))
    origins = samples.time[past]
    later = samples.take(samples.time > origins.max() + plan.reach)
    return Candidate(
        feed=feed.name,
        target=target,
        kind=kind,
        graph=graph,
        features=tuple(sequence_names(spec)) if fit.model.learns_sequences else samples.names,
        intervals=intervals,
        start=from_numpy(origins.min()),
        end=from_numpy(origins.max()),
        rows=len(np.unique(past)),
        seconds=time.monotonic() - begin,
        validation=own.errors,
        since=since,
        read=read,
        forecasts=None if graph else StoredForecasts.of(later.station, later.time, final.levels(later.rows.x)),
        newest=newest,
    )


def _add(rows: Ints, more: Ints) -> Ints:
    """Rows (by index) with those of `more` that are not among them, as often as a new regime's are (`_balance`)."""
    times = int(np.unique(rows, return_counts=True)[1].max())
    return np.concatenate([rows, np.tile(np.setdiff1d(more, rows), times)])


def of_kind(kind: type[Model[Any]], spec: WindowSpec, samples: Samples) -> Samples:
    """The samples with the features that a kind takes. Raises Untrainable: it needs CUDA, and there is none here."""
    if kind.needs_cuda and not _has_cuda():
        raise Untrainable(f"{kind.kind} needs CUDA, and this machine has none")
    if not kind.takes_covariates:
        samples = samples.select(feature_names(msgspec.structs.replace(spec, covariates=(), ahead=())))
    return samples.append(origin.NAMES, origin.columns(samples.time)) if kind.takes_origins else samples


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _choose_fit(feed: Feed, kind: str, spec: WindowSpec, samples: Samples, role: NDArray[np.str_], log: Log) -> Fit:
    """Fits on all rows before the test span; in a new regime, on a balance of old and new rows, or on new ones alone.

    What lies before a change still holds in part (how days go) and steadies what a few days say, so the new regime's
    own rows must be far better on its validation rows, a day or two, to be believed. Measured on injected changes, on
    the series that calibrate `benchmarks/healing.py`: ten days after one the leaning fit errs 1.03 times as much as a
    model of 27 days of the new regime, a fit on everything alike 1.20 times, one on the new rows alone 1.29 times.
    """
    new, earlier = np.flatnonzero(role == Role.TRAIN), np.flatnonzero(role == Role.EARLIER)
    if model(kind).is_baseline or not len(earlier):
        return _fit(feed, kind, spec, samples, role, new, log)
    broad = _fit(feed, kind, spec, samples, role, _balance(new, earlier), log)

    def log_alone(step: int, values: Mapping[str, float]) -> None:
        log(step, {f"new_regime_{name}": value for name, value in values.items()})

    alone = _fit(feed, kind, spec, samples, role, new, log_alone)
    ratio = float(np.mean([alone.error(horizon) / max(broad.error(horizon), 1e-9) for horizon in spec.horizons]))
    choice = alone if ratio < FAR_BETTER else broad
    metrics = {"new_regime_alone": float(choice is alone), "new_regime_alone_error_ratio": ratio}
    log(0, metrics)
    return replace(choice, metrics=choice.metrics | metrics)


def _balance(new: Ints, earlier: Ints) -> Ints:
    """Rows (by index) in which a new regime counts as much as the rows before it, of which a sample is drawn."""
    sample = np.random.default_rng(0).permutation(earlier)[: EARLIER_PER_NEW * len(new)]
    times = max(1, round(len(sample) / len(new)))
    return np.concatenate([np.sort(sample), np.tile(new, times)])


def _fit(
    feed: Feed,
    kind: str,
    spec: WindowSpec,
    samples: Samples,
    role: NDArray[np.str_],
    rows: Ints,
    log: Log,
) -> Fit:
    data = Dataset(spec, samples.names, samples.rows.take(rows), samples.rows.take(role == Role.VALIDATION))
    best: dict[str, float] = {}

    def watch(step: int, metrics: Mapping[str, float]) -> None:
        best.update(
            {name: float(min(value, best.get(name, value))) for name, value in metrics.items() if "rmse" in name}
        )
        log(step, metrics)

    forecaster = learn(model(kind), data, feed.candidates.get(kind), watch)
    errors, bounds = best or _baseline_errors(forecaster, data), feed.column(spec.target).bounds
    return Fit(forecaster, data, rows, errors, model(kind).loss, bounds)


def _baseline_errors(baseline: Model[Any], data: Dataset) -> dict[str, float]:
    """Errors of a model that learns nothing, and so has seen no validation row."""
    errors = rmse(baseline.predict(data.validation.x), data.validation.y)
    return {f"{baseline.loss}_{h}": float(error) for h, error in zip(data.spec.horizons, errors, strict=True)}


def describe_rows(samples: Samples, cut: Cut) -> TrainingRows:
    """The manifest's record of a training's rows, and of how they were split."""
    return TrainingRows(
        digest=digest(samples),
        count=len(samples.time),
        start=from_numpy(cut.start),
        end=from_numpy(cut.end),
        test=from_numpy(cut.test),
        block=_seconds(cut.block),
        reach=_seconds(cut.reach),
        roles=tuple(str(role) for role in cut.roles),
        earlier=None if cut.earlier is None else from_numpy(cut.earlier),
    )


def digest(samples: Samples) -> str:
    """SHA-256 of rows in their order: names of the features, stations, times, features and outcomes."""
    whole = hashlib.sha256("\0".join(samples.names).encode())
    whole.update("\0".join(samples.station.tolist()).encode())
    for array in (samples.time.astype("datetime64[s]").astype(np.int64), samples.rows.x, samples.rows.y):
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()


def _seconds(span: np.timedelta64) -> int:
    return int(span / np.timedelta64(1, "s"))
