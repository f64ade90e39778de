"""First aid in a new regime: what serves, reweighted beside the baselines on the newest outcomes, in seconds.

A new model needs days of the regime to learn, choose and judge in. A weight for each horizon and a constant need less,
and are judged as any candidate is: by the newest outcomes, which they have not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.common.lineage import code_version, config_hash
from aerocast.common.times import from_numpy, to_numpy
from aerocast.common.words import duration
from aerocast.contracts.intervals import Intervals
from aerocast.features.grid import Floats, WindowSpec
from aerocast.models.calibration import conformal
from aerocast.models.candidates import Candidate, Newest
from aerocast.models.inference import forecast
from aerocast.models.one_graph import weigh
from aerocast.models.trainer import digest
from aerocast.tables.training import Samples

KIND = "first_aid"
PARTS = ("seasonal_naive", "persistence")  # beside what serves
JUDGED = 0.4  # newest share of the regime, which judges
FEWEST = 24  # outcomes, below which a horizon keeps its forecasts
SHRINK = 24.0  # outcomes that speak for leaving the forecasts as they are
UNCHANGED = np.array([1.0, 0.0, 0.0])  # weights of what serves and of the seasonal naive, and the constant

_Reals = NDArray[np.float64]


@dataclass(frozen=True)
class _Outcomes:
    """Samples of the regime, and what each of three says of them: what serves, seasonal naive, persistence (n, H)."""

    spec: WindowSpec
    samples: Samples
    served: Floats
    seasonal: Floats
    persistence: Floats

    def until(self, end: np.datetime64) -> list[NDArray[np.bool_]]:
        """By horizon: rows (n,) whose outcome was measured before `end`."""
        step = np.timedelta64(self.spec.cadence, "s")
        finite = np.isfinite(self.samples.rows.y) & np.isfinite(self.served)
        finite &= np.isfinite(self.seasonal) & np.isfinite(self.persistence)
        return [
            finite[:, at] & (self.samples.time + horizon * step < end) for at, horizon in enumerate(self.spec.horizons)
        ]

    def weights(self, rows: Sequence[NDArray[np.bool_]]) -> _Reals:
        """(H, 3) as `UNCHANGED` has them: ridge towards it, on each horizon's rows."""
        return np.stack([self._weights(at, own) for at, own in enumerate(rows)])

    def _weights(self, at: int, rows: NDArray[np.bool_]) -> _Reals:
        if rows.sum() < FEWEST:
            return UNCHANGED
        newest = self.persistence[rows, at].astype(np.float64)
        parts = np.stack(
            [self.served[rows, at] - newest, self.seasonal[rows, at] - newest, np.ones(len(newest))], axis=1
        )
        scale = np.sqrt((parts**2).mean(axis=0)) + 1e-9
        table, rest = parts / scale, self.samples.rows.y[rows, at] - newest - parts @ UNCHANGED
        gram = table.T @ table + SHRINK * np.eye(len(scale))
        change: _Reals = np.linalg.solve(gram, table.T @ rest) / scale
        return UNCHANGED + change

    def levels(self, weights: _Reals) -> Floats:
        """(n, H) forecasts by weights (H, 3)."""
        own = weights[:, 0] * (self.served - self.persistence) + weights[:, 1] * (self.seasonal - self.persistence)
        levels: Floats = (self.persistence + own + weights[:, 2]).astype(np.float32)
        return levels

    def intervals(self, intervals: Intervals, weights: _Reals, rows: Sequence[NDArray[np.bool_]]) -> Intervals:
        """Intervals as wide as these rows ask for; trees, which know the regime before, do not move them."""
        plain = msgspec.structs.replace(intervals, trees=())
        actual = np.where(np.stack(rows, axis=1), self.samples.rows.y, np.nan).astype(np.float32)
        excess = plain.excess(self.levels(weights), actual, self.samples.rows.x, self.samples.names)
        enough = np.array([own.sum() >= FEWEST for own in rows])
        factor = np.where(enough, conformal(excess, plain.level), 1.0)
        slopes = np.array(plain.slopes, dtype=np.float64)
        return msgspec.structs.replace(
            plain,
            half=(),
            quantiles=plain.levels,
            offsets=tuple(tuple(row) for row in (factor[:, None] * plain.usual()).tolist()),
            slopes=tuple(tuple(tuple(row) for row in each) for each in (factor[:, None, None] * slopes).tolist())
            if plain.slopes
            else (),
        )


def candidate(
    incumbent: Candidate, baselines: Mapping[str, Candidate], spec: WindowSpec, samples: Samples, since: datetime
) -> Candidate:
    """What serves (`incumbent`), reweighted for the regime that began `since`, as a candidate.

    What is judged learned from outcomes before the newest share of the regime; what serves, from all.

    Raises:
        AeroCastError: a baseline is missing, the regime is too short, or the graphs cannot be one.
    """
    if absent := [kind for kind in PARTS if kind not in baselines]:
        raise AeroCastError(f"first aid: {absent[0]} was not trained")
    parts = [baselines[kind] for kind in PARTS]
    step = np.timedelta64(spec.cadence, "s")
    reach = step * spec.horizons[-1]
    own = samples.take(samples.time > max(to_numpy(since), to_numpy(incumbent.end) + reach))
    span = own.time.max() - own.time.min() if len(own.time) else np.timedelta64(0, "s")
    if span * JUDGED < reach:
        need, length = (duration(each.astype("timedelta64[s]").item()) for each in (reach, span))
        raise AeroCastError(f"first aid: {length} of the new regime are too short to judge forecasts {need} ahead")
    cut = own.time.max() - int(JUDGED * (span / step)) * step
    outcomes = _outcomes(incumbent, baselines, spec, own)
    before, every = outcomes.until(cut), outcomes.until(own.time.max() + 2 * reach)
    weights, newest = outcomes.weights(before), outcomes.weights(every)
    features = tuple(name for name in samples.names if any(name in each.features for each in (incumbent, *parts)))

    def graph(served: bytes, by: _Reals) -> bytes:
        graphs = [(served, incumbent.features), *((each.graph, each.features) for each in parts)]
        return weigh(graphs, np.stack([by[:, 0], by[:, 1], 1 - by[:, 0] - by[:, 1]]), by[:, 2], features)

    serving = incumbent.serving
    last = outcomes.intervals(serving.intervals, newest, every)
    return msgspec.structs.replace(
        incumbent,
        kind=KIND,
        graph=graph(incumbent.graph, weights),
        features=features,
        intervals=outcomes.intervals(incumbent.intervals, weights, before),
        start=from_numpy(own.time.min()),
        end=from_numpy(cut - step - reach),
        rows=_most(before),
        validation={},
        config_hash=config_hash(of=incumbent.config_hash, judged=weights.tolist(), serving=newest.tolist()),
        data_version=digest(own),
        code_version=code_version(__name__),
        read=None,
        parameters={"of": incumbent.kind, "since": since.isoformat()} | _table(spec, newest),
        newest=Newest(graph(serving.graph, newest), last, from_numpy(own.time.max()), _most(every)),
    )


def _outcomes(
    incumbent: Candidate, baselines: Mapping[str, Candidate], spec: WindowSpec, samples: Samples
) -> _Outcomes:
    served, *others = (
        forecast(each.graph, samples.rows.x, samples.names, each.features)
        for each in (incumbent, *(baselines[kind] for kind in PARTS))
    )
    return _Outcomes(spec, samples, served, *others)


def _most(rows: Sequence[NDArray[np.bool_]]) -> int:
    """The rows of the horizon that has most of them."""
    return max(int(own.sum()) for own in rows)


def _table(spec: WindowSpec, weights: _Reals) -> dict[str, float]:
    """Weights and constant by horizon, as parameters that people read."""
    names = ("weight", *(f"weight_{kind}" for kind in PARTS[:1]), "constant")
    return {
        f"{name}_{horizon}": round(float(value), 4)
        for horizon, own in zip(spec.horizons, weights, strict=True)
        for name, value in zip(names, own, strict=True)
    }
