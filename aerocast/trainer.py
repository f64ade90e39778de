"""One training, from the stored table to a candidate: the split, the fit, the export, the interval calibration."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aerocast.feed import Feed, Kind
from aerocast.forecasters.base import Log, Training, fit, rmse
from aerocast.intervals import Intervals, calibrate
from aerocast.scoring import forecast
from aerocast.splits import Role, cut
from aerocast.training import Samples, load
from aerocast.windows import WindowSpec

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Trained:
    """`graph` is serialised ONNX; `start` and `end` bound the origins (UTC) of the `rows` that it was fitted on."""

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


def train(feed: Feed, target: str, kind: Kind, table: "duckdb.DuckDBPyRelation", log: Log) -> Trained:
    """Fits `kind` on train rows, stopped by validation rows, and calibrates its exported graph on calibration rows.

    Raises:
        AeroCastError: too little data, or a wrong parameter.
    """
    started = time.monotonic()
    spec = WindowSpec.of(feed, target)
    samples = load(spec, table)
    role = roles(feed, spec, samples)
    learned, held = (samples.take(role == each) for each in (Role.TRAIN, Role.VALIDATION))
    model = fit(kind, Training(spec, samples.names, learned.rows, held.rows), feed.candidates[kind], log)
    errors = rmse(model.predict(held.rows.x), held.rows.y)
    graph = model.to_onnx().SerializeToString()
    return Trained(
        graph=graph,
        features=samples.names,
        intervals=calibrated(feed, spec, samples.take(role == Role.CALIBRATION), graph),
        start=min(learned.time.min(), held.time.min()),
        end=max(learned.time.max(), held.time.max()),
        rows=len(learned.time) + len(held.time),
        seconds=time.monotonic() - started,
        validation={f"validation_rmse_{h}": float(error) for h, error in zip(spec.horizons, errors, strict=True)},
    )


def calibrated(feed: Feed, spec: WindowSpec, samples: Samples, graph: bytes) -> Intervals:
    """Intervals of the graph that will serve, from rows that neither fitted nor chose it."""
    blocks = samples.time.astype("datetime64[s]").astype(np.int64) // int(feed.split.block.total_seconds())
    x, y = samples.rows.x, samples.rows.y
    levels = forecast(graph, x, samples.names)
    return calibrate(spec, x, samples.names, levels, y, blocks, feed.promotion.coverage)
