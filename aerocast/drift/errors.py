"""Have the errors grown beyond what season and weather allow: tests on the residuals of the release that serves."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from aerocast.drift.profile import Flags, Reals
from aerocast.grid import Ints, Times
from aerocast.manifest import Manifest

MIN_OUTCOMES = 24
RATIO_LIMIT = 1.5


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Of one (target, station), of the release that serves now only, no shadow; oldest first by `time`.

    `time` (n,) target times; `horizon` (n,) steps; `error` (n,) actual - forecast in the target's unit; `half` (n,)
    half width of the forecast's own interval at `level`; `baseline` (n,) actual - persistence on the same row, NaN
    where unknown.
    """

    time: Times
    horizon: Ints
    error: Reals
    half: Reals
    baseline: Reals
    level: float

    def at(self, rows: Flags) -> Outcomes:
        return Outcomes(
            self.time[rows], self.horizon[rows], self.error[rows], self.half[rows], self.baseline[rows], self.level
        )


def standardised(outcomes: Outcomes) -> Reals:
    """(n,) errors in standard deviations that their intervals claim."""
    width = NormalDist().inv_cdf((1 + outcomes.level) / 2)
    z: Reals = outcomes.error / np.maximum(outcomes.half / width, 1e-9)
    return z


def expected(manifest: Manifest, station: str, horizon: int) -> tuple[float, float] | None:
    """RMSE of the model and of the better baseline on the release's test rows; None if it has none there."""
    own = manifest.metrics.stations.get(station, {}).get(horizon) or manifest.metrics.horizons.get(horizon)
    if own is None:
        return None
    return own.rmse, own.rmse / max(1 - own.skill, 1e-3)


def rms(values: Reals) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")


def harder(outcomes: Outcomes, manifest: Manifest, station: str) -> tuple[float, float]:
    """Geometric means over horizons of how much the errors of the model, and of persistence, grew since its test."""
    own, base = [], []
    for horizon in np.unique(outcomes.horizon):
        figures = expected(manifest, station, int(horizon))
        part = outcomes.at(outcomes.horizon == horizon)
        known = part.baseline[np.isfinite(part.baseline)]
        if figures is None or len(part.time) < MIN_OUTCOMES // 2:
            continue
        own.append(rms(part.error) / figures[0])
        base.append(rms(known) / figures[1] if len(known) else 1.0)
    if not own:
        return float("nan"), float("nan")
    grown, weather = (float(np.exp(np.mean(np.log(np.maximum(each, 1e-6))))) for each in (own, base))
    return grown, weather
