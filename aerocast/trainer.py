"""One training, from the stored table to a candidate: the split, the fit, the export, the interval calibration."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aerocast.feed import BASELINES, Feed
from aerocast.forecasters.base import Forecaster, Log, Rows, Training, fit, rmse
from aerocast.forecasters.sequence import fit_sequence
from aerocast.forward import forward_factors
from aerocast.intervals import Intervals, calibrate
from aerocast.scoring import forecast
from aerocast.sequences import sequence_names, shortest_rows
from aerocast.splits import Role, cut
from aerocast.training import Samples, load
from aerocast.windows import WindowSpec

if TYPE_CHECKING:
    import duckdb

# The graph for short sequences is trained beside the candidates and serves with whichever of them wins.
SEQUENCE = "sequence"


@dataclass(frozen=True)
class Trained:
    """`graph` is serialised ONNX over `features`; `start` and `end` bound the origins (UTC) of its `rows`;
    `validation` holds the best errors on rows that the fit had not seen then, and those on calibration rows.
    """

    graph: bytes
    features: tuple[str, ...]
    intervals: Intervals
    start: np.datetime64
    end: np.datetime64
    rows: int
    seconds: float
    validation: dict[str, float]


def roles(feed: Feed, spec: WindowSpec, samples: Samples) -> NDArray[np.str_]:
    """Role (n,) of each sample: who may see it.

    Raises:
        AeroCastError: the span is too short to hold every role.
    """
    return cut(feed.split, spec, samples.time.min(), samples.time.max()).of(samples.time)


def train(feed: Feed, target: str, kind: str, table: "duckdb.DuckDBPyRelation", log: Log) -> Trained:
    """Fits `kind` (or SEQUENCE) on train rows, chosen by validation rows; calibrates its graph on calibration rows.

    Raises:
        AeroCastError: too little data, or a wrong parameter.
    """
    started = time.monotonic()
    spec = WindowSpec.of(feed, target)
    samples = load(spec, table)
    role = roles(feed, spec, samples)
    learned, held = (samples.take(role == each) for each in (Role.TRAIN, Role.VALIDATION))
    training = Training(spec, samples.names, learned.rows, held.rows)
    best: dict[str, float] = {}

    def watch(step: int, metrics: Mapping[str, float]) -> None:
        best.update(
            {name: float(min(value, best.get(name, value))) for name, value in metrics.items() if "rmse" in name}
        )
        log(step, metrics)

    model = _fit(feed, kind, training, watch)
    graph = model.to_onnx().SerializeToString()
    intervals, calm = _calibrated(feed, kind, training, samples, role, graph)
    return Trained(
        graph=graph,
        features=tuple(sequence_names(spec)) if kind == SEQUENCE else samples.names,
        intervals=intervals,
        start=min(learned.time.min(), held.time.min()),
        end=max(learned.time.max(), held.time.max()),
        rows=len(learned.time) + len(held.time),
        seconds=time.monotonic() - started,
        validation=(best or _unseen(model, training)) | calm,
    )


def _fit(feed: Feed, kind: str, training: Training, log: Log) -> Forecaster:
    if kind == SEQUENCE:
        return fit_sequence(training, log=log)
    params = {str(name): values for name, values in feed.candidates.items()}
    return fit(kind, training, params[kind], log)


def _unseen(baseline: Forecaster, training: Training) -> dict[str, float]:
    """Errors of a model that learns nothing, and so has seen no validation row."""
    errors = rmse(baseline.predict(training.validation.x), training.validation.y)
    return {f"validation_rmse_{h}": float(error) for h, error in zip(training.spec.horizons, errors, strict=True)}


def _calibrated(
    feed: Feed, kind: str, training: Training, samples: Samples, role: NDArray[np.str_], graph: bytes
) -> tuple[Intervals, dict[str, float]]:
    """Intervals of the graph that will serve, from rows that neither fitted nor chose it, and its RMSE there."""
    spec, level = training.spec, feed.promotion.coverage
    own = samples.take(role == Role.CALIBRATION)
    x, y, names = own.rows.x, own.rows.y, own.names
    block = own.time.astype("datetime64[s]").astype(np.int64) // int(feed.split.block.total_seconds())
    if kind == SEQUENCE:
        kept, x = shortest_rows(spec, names, x)
        y, block, names = y[kept], block[kept], tuple(sequence_names(spec))
    widen = None if kind in BASELINES else _forward(feed, training, samples, role)
    levels = forecast(graph, x, names)
    errors = {f"calibration_rmse_{h}": float(error) for h, error in zip(spec.horizons, rmse(levels, y), strict=True)}
    return calibrate(spec, x, names, levels, y, block, level, widen), errors


def _forward(feed: Feed, training: Training, samples: Samples, role: NDArray[np.str_]) -> tuple[float, ...]:
    """How much wider intervals must be for weeks that lie after all that was learned."""
    before = samples.take(np.isin(role, [Role.TRAIN, Role.VALIDATION, Role.CALIBRATION]))
    known = Training(training.spec, training.names, before.rows, Rows(before.rows.x[:0], before.rows.y[:0]))
    return forward_factors(known, before.time, feed.split, feed.promotion.coverage)
