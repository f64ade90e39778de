"""What is known ahead in a forecast: from the feed's newest vintage or from the request, and what it says of itself."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from aerocast.common.words import count
from aerocast.features import ahead
from aerocast.features.grid import Floats, Grid, WindowSpec
from serving.inputs import Input
from serving.loading import Served
from serving.problems import invalid
from serving.schemas import Covariates, Reason

Sent = Mapping[str, Sequence[float]]


def looked_up(served: Served, features: Input, sent: Sent | None = None) -> Input:
    """The input with what was sent in its grid, and with what is to be said of what is known ahead.

    Raises a 422 problem for what the release does not know, or not a credible number for each horizon.
    """
    spec = served.manifest.window
    for name, numbers in (sent or {}).items():
        _check(served, name, numbers)
        features = replace(features, grid=_with(spec, features.grid, features.origin, name, numbers))
    if not spec.ahead:
        return features
    rows = ahead.rows(spec, features.grid, np.array([features.origin]))[:, 0]
    values, ages = np.split(rows, [len(ahead.value_names(spec))])
    is_known = bool(np.isfinite(values).all())
    age = int(ages.max()) if is_known and len(ages) else 0 if is_known else None
    view = Covariates(is_known, age, "request" if sent else "feed")
    if is_known:
        return replace(features, covariates=view)
    missing = [
        each.name for each, own in zip(spec.ahead, np.split(values, len(spec.ahead)), strict=True) if _lacks(own)
    ]
    detail = f"{', '.join(missing)} is not known for every horizon: the model without what is known ahead answers"
    reasons = [*features.reasons, Reason("late_covariates", detail, missing[0])]
    late = served.station.intervals.late
    wider = features.wider * np.array(late, dtype=np.float32) if late else features.wider
    return replace(features, covariates=view, reasons=reasons, wider=wider)


def _lacks(values: Floats) -> bool:
    return not np.isfinite(values).all()


def _check(served: Served, name: str, values: Sequence[float]) -> None:
    spec, field = served.manifest.window, f"covariates.{name}"
    names = [each.name for each in spec.ahead]
    if name not in names:
        rule = f"one of {', '.join(names)}" if names else "no covariates: this release knows nothing ahead"
        raise invalid(field, name, rule, f"{field} is not known; allowed: {rule}.")
    if len(values) != len(spec.horizons):
        horizons = ", ".join(map(str, spec.horizons))
        rule = f"{count(len(spec.horizons), 'number')}, for {horizons} steps ahead"
        raise invalid(field, list(values), rule, f"{field} has {count(len(values), 'number')}; give {rule}.")
    each = next(each for each in spec.ahead if each.name == name)
    info = served.feed.column(name if each.is_perfect else each.column(spec.horizons[0]))
    low, high = info.range if info else (-np.inf, np.inf)
    for at, value in enumerate(values):
        if not low <= value <= high:
            unit = info.unit if info else ""
            raise invalid(f"{field}[{at}]", value, f"a number within {low:g} .. {high:g} {unit}".strip())


def _with(spec: WindowSpec, grid: Grid, origin: int, name: str, values: Sequence[float]) -> Grid:
    """The grid with these values for the targets of an origin; those of a forecast count as issued there."""
    each = next(each for each in spec.ahead if each.name == name)
    names = [name] if each.is_perfect else [each.column(horizon) for horizon in spec.horizons]
    columns = (*grid.columns, *(column for column in names if column not in grid.columns))
    beyond = max(0, origin + 1 + spec.horizons[-1] - len(grid.time)) if each.is_perfect else 0
    shape = ((0, beyond), (0, len(columns) - len(grid.columns)))
    table, age = (np.pad(part, shape, constant_values=np.nan) for part in (grid.values, grid.age))
    for horizon, value in zip(spec.horizons, values, strict=True):
        row = origin + horizon if each.is_perfect else origin
        at = columns.index(name if each.is_perfect else each.column(horizon))
        table[row, at], age[row, at] = value, 0
    steps = np.arange(1, beyond + 1) * np.timedelta64(spec.cadence, "s")
    time = np.concatenate([grid.time, grid.time[-1] + steps])
    return replace(grid, time=time, columns=columns, values=table, age=age)
