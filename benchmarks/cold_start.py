"""How well a station is forecast that the model has never seen, and whether its intervals hold what they state.

Each of New York's airports in turn is left out of training, and its newest fifth is forecast as a server forecasts a
new station: before its first reading (none), from its first step alone (short), and with a whole window (whole).
Figures: RMSE by steps ahead, and the share of outcomes within the 90 % intervals, as wide as training measured and as
they would be for a station that the model knows. Target: 88 % at least, over all airports, in each of the three.
"""

from dataclasses import replace

import numpy as np
from measuring.feeds import Prepared, prepare
from measuring.table import show, verdict
from numpy.typing import NDArray

from aerocast.contracts.cold_start import History, stand_in
from aerocast.features.features import feature_names, features
from aerocast.features.grid import Floats, Grid, Ints, WindowSpec
from aerocast.features.windows import targets, valid_origins
from aerocast.feed.model_kind import silent
from aerocast.models.inference import forecast
from aerocast.models.trainer import train
from aerocast.tables import training

KINDS = ("linear", "xgboost")
HISTORIES: tuple[History, ...] = ("none", "short", "whole")
TARGET = 0.88
STRIDE = 7  # origins between two that count


def rows_of_new(spec: WindowSpec, own: Grid, others: list[Grid], origins: Ints, known: History) -> Floats:
    """Feature rows of the station at these origins, as a server makes them that knows so much of it."""
    if known == "whole":
        return features(spec, own, origins, others)
    rows = []
    for origin in origins:
        near = [cut(each, origin, spec.look_back) for each in others]
        start = stand_in(spec, own.station, near) if known == "none" else cut(own, origin, 1)
        assert start is not None
        rows.append(features(spec, start, np.array([0]), near))
    return np.concatenate(rows)


def cut(grid: Grid, origin: int, steps: int) -> Grid:
    rows = slice(max(0, origin + 1 - steps), origin + 1)
    return replace(grid, time=grid.time[rows], values=grid.values[rows], age=grid.age[rows])


def left_out(prepared: Prepared, station: str, kind: str) -> dict[History, tuple[NDArray[np.float64], Floats, Floats]]:
    """Squared errors (n, H), and whether outcomes lie within the wider and the usual intervals; NaN where unknown."""
    stations = tuple(each for each in prepared.feed.stations if each.id != station)
    feed = prepared.feed.model_copy(update={"stations": stations})
    spec, others = WindowSpec.of(feed, prepared.spec.target), [prepared.grids[each.id] for each in stations]
    months = {str(month) for grid in others for month in np.unique(grid.time.astype("datetime64[M]"))}
    prepared.con.register("others", training.table(spec, {grid.station: grid for grid in others}, months))
    candidate = train(feed, spec.target, kind, prepared.con.table("others"), silent)
    cold = candidate.intervals.cold_start
    assert cold is not None
    own, names = replace(prepared.grids[station], station="NEW"), feature_names(spec)
    origins = valid_origins(spec, own)
    origins = origins[origins > 0.8 * len(own.time)][::STRIDE]
    actual = targets(spec, own, origins)
    outcomes: dict[History, tuple[NDArray[np.float64], Floats, Floats]] = {}
    for known in HISTORIES:
        x = rows_of_new(spec, own, others, origins, known)
        levels = forecast(candidate.graph, x, names, candidate.features)
        inside = []
        for wider in (cold.factors(known), 1.0):
            lower, upper = candidate.intervals.apply(levels, x, names, wider)
            inside.append(np.where(np.isnan(actual), np.nan, (lower <= actual) & (actual <= upper)))
        outcomes[known] = ((levels - actual).astype(np.float64) ** 2, *inside)
    return outcomes


def main() -> None:
    prepared = prepare("noaa")
    reached = True
    for kind in KINDS:
        parts = [left_out(prepared, station, kind) for station in prepared.feed.station_ids]
        rows = []
        for known in HISTORIES:
            errors, wide, usual = (np.concatenate([part[known][at] for part in parts]) for at in range(3))
            shares = [float(np.nanmean(each)) for each in (wide, usual)]
            reached &= shares[0] >= TARGET
            roots = [f"{error:.2f}" for error in np.sqrt(np.nanmean(errors, axis=0))]
            rows.append([known, *roots, *(f"{share:.1%}" for share in shares)])
        header = ["history", *(f"RMSE {horizon} h" for horizon in prepared.spec.horizons), "held", "held if not wider"]
        show(f"{kind}, airports left out in turn", header, rows)
    print(f"\nat least {TARGET:.0%} held in each: {verdict(reached)}")


if __name__ == "__main__":
    main()
