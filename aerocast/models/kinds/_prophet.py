"""Fits Prophet's curve to each station's readings, and says what it gives at origins and targets.

A station's readings are the newest values of the rows from which it is learned, by the place's local clock.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aerocast.features import origin
from aerocast.features.dataset import Dataset, Rows, rmse
from aerocast.features.grid import Floats, Place, Times, WindowSpec
from aerocast.features.local_time import local_seconds
from aerocast.feed.model_kind import Log, Untrainable

if TYPE_CHECKING:
    import pandas as pd

    from aerocast.models.kinds.prophet import ProphetParameters

FEWEST = 24  # readings, below which a station has no curve


@dataclass(frozen=True)
class Curves:
    """A fitted Prophet for each station's id; rows are known by their features' `names`."""

    spec: WindowSpec
    names: tuple[str, ...]
    parameters: ProphetParameters
    by_station: Mapping[str, Any]

    @classmethod
    def of(cls, data: Dataset, rows: Rows, parameters: ProphetParameters) -> Curves:
        """Fitted on the newest readings of these rows.

        Raises:
            Untrainable: no station has enough of them, or Stan finds no curve.
        """
        spec, names = data.spec, data.names
        measured = rows.x[:, names.index(f"{spec.target}_age")] == 0
        times, levels = origin.times(rows.x, names), rows.x[:, data.last]
        curves = {}
        for place in spec.places:
            own = np.flatnonzero(_is_of(place, names, rows.x) & measured & np.isfinite(levels))
            own = own[np.argsort(times[own], kind="stable")][-parameters.newest :]
            if len(np.unique(times[own])) >= FEWEST:
                curves[place.id] = _fit(spec, place, times[own], levels[own], parameters)
        if not curves:
            raise Untrainable(f"prophet: no station has {FEWEST} readings of {spec.target} to learn from")
        return cls(spec, names, parameters, curves)

    def at(self, x: Floats) -> Floats:
        """(n, 1 + H) of the curve at each row's origin and targets; NaN where its station has none."""
        steps = np.array([0, *self.spec.horizons]) * np.timedelta64(self.spec.cadence, "s")
        targets = origin.times(x, self.names)[:, None] + steps
        levels = np.full(targets.shape, np.nan, dtype=np.float32)
        for place in self.spec.places:
            own = _is_of(place, self.names, x)
            if own.any() and place.id in self.by_station:
                moments, index = np.unique(targets[own], return_inverse=True)
                curve = self.by_station[place.id].predict(_stamps(place, moments))["yhat"].to_numpy()
                levels[own] = curve[index].reshape(-1, len(steps))
        return levels

    def change(self, x: Floats, shares: Floats) -> Floats:
        """(n, H) from the newest value, with so much (H,) of what that lies off the curve; 0 where there is none."""
        levels, last = self.at(x), x[:, [self.names.index(f"{self.spec.target}_lag0")]]
        change: Floats = levels[:, 1:] - last + shares * (last - levels[:, :1])
        change[np.isnan(levels[:, 1:])] = 0
        return change


def choose_shares(curves: Curves, data: Dataset, log: Log) -> Floats:
    """(H,) by least squares on validation rows, from 0 to 1; the errors there are logged with them and without."""
    rows = data.validation
    levels = curves.at(rows.x)
    off = (rows.x[:, [data.last]] - levels[:, :1]).astype(np.float64)
    rest = rows.y - levels[:, 1:]
    measured = np.isfinite(off) & np.isfinite(rest)
    products, squares = (np.where(measured, off * other, 0).sum(axis=0) for other in (rest, off))
    shares: Floats = np.clip(products / np.maximum(squares, 1e-9), 0, 1).astype(np.float32)
    horizons = data.spec.horizons
    for step, own in enumerate((np.zeros_like(shares), shares)):
        errors = rmse(rows.x[:, [data.last]] + curves.change(rows.x, own), rows.y)
        log(step, {f"validation_rmse_{h}": float(each) for h, each in zip(horizons, errors, strict=True)})
    log(1, {f"share_{h}": float(each) for h, each in zip(horizons, shares, strict=True)})
    return shares


def _is_of(place: Place, names: tuple[str, ...], x: Floats) -> Any:
    """Which rows (n,) are of a place."""
    return x[:, names.index(f"station_{place.id}")] == 1


def _fit(spec: WindowSpec, place: Place, times: Times, levels: Floats, parameters: ProphetParameters) -> Any:
    logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)  # it misses plotly, which nothing here draws with
    import cmdstanpy
    from prophet import Prophet

    settings = parameters.model_dump(exclude={"seed", "newest"})
    model = Prophet(**settings, holidays=_holidays(spec, place), uncertainty_samples=0)
    logging.getLogger("prophet").setLevel(logging.ERROR)  # it says which seasons there are
    try:
        with cmdstanpy.disable_logging():
            return model.fit(_stamps(place, times).assign(y=levels.astype(np.float64)), seed=parameters.seed)
    except RuntimeError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Untrainable(f"prophet: no curve is found for {place.id}: {reason}") from error


def _stamps(place: Place, times: Times) -> pd.DataFrame:
    """Prophet's table of times, as the local clock shows them."""
    import pandas as pd

    return pd.DataFrame({"ds": pd.to_datetime(local_seconds(times, place.timezone), unit="s")})


def _holidays(spec: WindowSpec, place: Place) -> pd.DataFrame | None:
    import pandas as pd

    days = [day for each in spec.holidays if each.name == place.holidays for day in each.days]
    return pd.DataFrame({"holiday": "public", "ds": pd.to_datetime(days)}) if days else None
