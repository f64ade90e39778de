"""From a request to a grid row to forecast from, and what is wrong with its inputs.

The rules of bronze and silver hold here too: a value outside its column's physical range is set aside and counts as
missing, and a missing value takes the last one for at most the feed's gap policy. So a sequence is read as the same
readings would be if they had come through the feed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from aerocast.common.times import from_numpy, to_minute
from aerocast.common.unit_names import spelling
from aerocast.common.words import count, duration
from aerocast.contracts.cold_start import History, history, is_new, stand_in
from aerocast.contracts.manifest import FeedSnapshot
from aerocast.features.features import features, select
from aerocast.features.grid import Floats, Grid, WindowSpec
from aerocast.features.outages import age_and_extent, bridged, extent_names
from aerocast.features.windows import sequence_grid, valid_origins
from serving.loading import Served, Tail
from serving.problems import invalid, problem
from serving.schemas import Covariates, NewestStep, Reason

THIN = 0.5  # a step with a smaller share of its usual readings is not what the model learned from


@dataclass(frozen=True, slots=True)
class Input:
    """A grid, the row to forecast from, the feed's other stations, why it is degraded, and what else to say.

    `wider` are factors (H,) of the intervals of a station that the model has not learned.
    """

    grid: Grid
    origin: int
    others: Sequence[Grid]
    reasons: list[Reason]
    notes: list[str]
    newest: NewestStep | None = None
    wider: Floats | float = 1.0
    covariates: Covariates | None = None


def of_station(served: Served, tail: Tail | None, station: str) -> Input:
    """The newest row of the station that may be forecast from.

    Raises a problem: 422 for a station that the feed has not, 503 for one without readings.
    """
    grid = tail.grids.get(station) if tail else None
    if grid is None:
        check_station(served.feed, station)
    if tail and (why := outdated(served, tail)):
        raise problem("release-outdated", why, status=503, field="station", value=station, rule="units as declared now")
    grid, origin, known_history = _start(served, tail, station)
    if grid is None or tail is None or origin is None:
        detail = f"Station {station} has no recent readings of {served.manifest.target} to forecast from."
        rule = "a station with recent readings"
        raise problem("no-readings", detail, status=503, field="station", value=station, rule=rule)
    reasons, wider = _gaps(served, grid, origin), np.ones(len(served.manifest.horizons), dtype=np.float32)
    if known_history != "none":
        reasons += _short_history(served.manifest.window, grid, origin)
    if known_history:
        learned = served.station.intervals.cold_start
        wider = learned.factors(known_history) if learned else wider
        reasons.append(_new_station(station, known_history, is_measured=learned is not None))
    others = tail.newest_rows(served.manifest.window.look_back)
    if not known_history:
        wider = wider * _across_silence(served, grid, origin, others)
    newest, notes = _newest(served.manifest.window, grid), list[str]()
    if newest and not newest.whole:
        notes.append(
            f"the step of {to_minute(newest.time)} is not over{_share(newest)}:"
            " the forecast starts from the last whole step"
        )
    elif newest and newest.fullness is not None and 0 < newest.fullness < THIN:
        reasons.append(
            Reason("thin_step", f"the newest step holds few readings{_share(newest)}", served.manifest.target)
        )
    reasons += _behind(served, tail, grid, origin)
    return Input(grid, origin, others, reasons, notes, newest, wider)


def with_values(own: Input, values: Mapping[str, float]) -> Input:
    """The input with a client's values in its newest step; what was said of that step's own values holds no more."""
    grid, names = own.grid, [name for name in values if name in own.grid.columns]
    table, age = grid.values.copy(), grid.age.copy()
    for name in names:
        table[own.origin, grid.columns.index(name)], age[own.origin, grid.columns.index(name)] = values[name], 0.0
    reasons = [each for each in own.reasons if each.column not in names]
    note = f"{', '.join(names)} of the newest step as the request says"
    new_grid = replace(grid, values=table, age=age)
    return replace(own, grid=new_grid, reasons=reasons, notes=[*own.notes, note])


def _start(served: Served, tail: Tail | None, station: str) -> tuple[Grid | None, int | None, History | None]:
    """The grid and the row to forecast from, and for a station that the model has not learned how much is known of it.

    Such a station needs its newest value alone, and without any the mean of the others stands in.
    """
    window, grid = served.manifest.window, tail.grids.get(station) if tail else None
    new = is_new(window, served.station.intervals.cold_start, station)
    usable = grid is not None and window.target in grid.columns  # a tail may be of another declaration
    origins = valid_origins(window, grid, 1 if new else None) if grid and usable else np.empty(0, dtype=np.int64)
    # A release that has not learned from silences starts before them.
    is_silent = not len(origins) or (grid is not None and origins[-1] < len(grid.time) - 1)
    if grid and usable and is_silent and not new and served.station.intervals.outages:
        across = bridged(window, grid)
        if across:
            return across, len(across.time) - 1, None
    if grid and len(origins):
        origin = int(origins[-1])
        if not new:
            return grid, origin, None
        return replace(grid, place=served.places.get(station)), origin, history(window, grid, origin)
    if new and tail and all(window.target in each.columns for each in tail.grids.values()):
        grid = stand_in(window, station, tail.grids.values())
        return (replace(grid, place=served.places.get(station)), 0, "none") if grid else (None, None, None)
    return None, None, None


def _across_silence(served: Served, grid: Grid, origin: int, others: Sequence[Grid]) -> Floats | float:
    """The factors (H,) of the intervals where the target was not measured at the origin."""
    window, outages = served.manifest.window, served.station.intervals.outages
    if outages is None or grid.age[origin, grid.columns.index(window.target)] == 0:
        return 1.0
    names = extent_names(window)
    row = features(window, grid, np.array([origin]), others, select(window, names))
    factors: Floats = outages.wider(*age_and_extent(window, names, row))[0]
    return factors


def _new_station(station: str, known_history: History, *, is_measured: bool) -> Reason:
    width = "the interval is wider by what that costs" if is_measured else "the interval is not made for that"
    if known_history == "none":
        text = f"there is no recent reading of {station}: the mean of the feed's other stations stands in, and {width}"
        return Reason("new_station", text)
    text = (
        f"the model has not learned {station}: it forecasts from what the feed's other stations are like, and {width}"
    )
    return Reason("new_station", text)


def _behind(served: Served, tail: Tail, grid: Grid, origin: int) -> list[Reason]:
    """Whether the forecast starts before the feed's newest step."""
    front = max(each.time[-1] for each in tail.grids.values() if len(each.time))
    behind = int((front - grid.time[origin]) // np.timedelta64(served.manifest.window.cadence, "s"))
    # A station whose newest step is still to come is one step behind those that report earlier in the hour.
    if behind > 1 or (behind and origin < len(grid.time) - 1):
        detail = f"the forecast starts {count(behind, 'step')} before the feed's newest whole step ({front}Z)"
        return [Reason("stale_station", detail, age=behind)]
    return []


def _newest(spec: WindowSpec, grid: Grid) -> NewestStep | None:
    """How full the station's newest step is; None where that is not known."""
    progress = grid.progress
    if progress is None:
        return None
    column = grid.columns.index(spec.target)
    readings, usual = int(progress.readings[column]), float(progress.usual[column])
    has_usual = usual > 0
    return NewestStep(
        from_numpy(progress.step),
        bool(grid.time[-1] >= progress.step),
        readings,
        usual if has_usual else None,
        round(min(1.0, readings / usual), 4) if has_usual else None,
    )


def _share(newest: NewestStep) -> str:
    return f" ({newest.readings} of usually {newest.usual:g} readings)" if newest.usual else ""


def outdated(served: Served, tail: Tail) -> str | None:
    """Why a release cannot be asked with the feed's readings of now, as a sentence; None if it can."""
    window, name = served.manifest.window, f"Release {served.manifest.version} of {'/'.join(served.key)}"
    grid = next(iter(tail.grids.values()), None)
    if grid is None:
        return None
    later = "It answers again when a model for them is promoted."
    if len(grid.time) > 1 and (step := int((grid.time[1] - grid.time[0]).astype(np.int64))) != window.cadence:
        then, now = (duration(timedelta(seconds=seconds)) for seconds in (window.cadence, step))
        return f"{name} was trained on steps of {then}, and the feed's readings come in steps of {now} now. {later}"
    for column, unit in zip(grid.columns, grid.units, strict=False):
        info = served.feed.column(column)
        if info and spelling(info.unit) != spelling(unit) and column in window.inputs:
            return f"{name} was trained on {column} in {info.unit}, and the feed's readings are in {unit} now. {later}"
    return None


def of_sequence(
    served: Served, rows: Sequence[Sequence[float]], time: np.datetime64 | None, station: str | None = None
) -> Input:
    """The grid of a sequence, measured at `station` if that is known: its place and clock count then.

    What is older is missing, and so is NaN. Raises a 422 problem for an unknown station, a wrong shape or nothing to go
    by.
    """
    spec = served.manifest.window
    if station is not None:
        check_station(served.feed, station)
    _check_shape(spec, rows)
    with np.errstate(over="ignore"):  # beyond float32 is beyond any physical range too
        values = np.clip(np.asarray(rows, dtype=np.float64), -3e38, 3e38)
        is_missing = np.isnan(values)
        grid = sequence_grid(spec, np.where(is_missing, 0, values), time, station or "")
    for table in (grid.values, grid.age):
        table[spec.look_back - len(rows) :][is_missing] = np.nan
    grid, reasons = _set_aside(served, grid, len(rows))
    reasons += [
        Reason("missing", f"{name} was not sent", name)
        for name, column in zip(spec.columns, is_missing.T, strict=True)
        if is_missing.any() and column.all()
    ]
    origin, target = spec.look_back - 1, grid.columns.index(spec.target)
    if np.isnan(grid.values[origin - spec.steps + 1 :, target]).any():
        low, high = served.limits[target].tolist()
        detail = f"too much of {spec.target} lies outside {low:g} .. {high:g}; nothing is left to forecast from."
        rule = f"{spec.target} within {low:g} .. {high:g} {served.manifest.unit}"
        raise invalid("sequence", rows[-1], rule, f"sequence: {detail}")
    notes = []
    if len(rows) < spec.look_back:
        missing = spec.look_back - len(rows)
        detail = f"{len(rows)} of {spec.look_back} steps were sent; the {missing} older ones count as missing"
        reasons.append(Reason("short_sequence", detail, age=missing))
        notes.append(detail)
    if time is None:
        notes.append("no time was sent: hour and season are unknown to the model, and the forecasts carry no time")
    return Input(grid, origin, (), reasons, notes)


def check_station(feed: FeedSnapshot, station: str) -> None:
    """Raises a 422 problem for a station that the feed has not."""
    ids = [info.id for info in feed.stations]
    if station not in ids:
        allowed = ", ".join(ids[:20]) + (", ..." if len(ids) > 20 else "")
        detail = f"Feed {feed.name} has no station {station[:80]!r}; it has {allowed}."
        raise problem("unknown-station", detail, field="station", value=station, rule=f"one of {allowed}")


def _check_shape(spec: WindowSpec, rows: Sequence[Sequence[float]]) -> None:
    if not spec.steps <= len(rows) <= spec.look_back:
        rule = f"{spec.steps} to {spec.look_back} steps, oldest first"
        raise invalid("sequence", len(rows), rule, f"sequence: {len(rows)} steps; give {rule}.")
    for index, row in enumerate(rows):
        if len(row) != len(spec.columns):
            field, rule = f"sequence[{index}]", f"[{', '.join(spec.columns)}]"
            raise invalid(field, row, rule, f"{field} has {len(row)} numbers; each step is {rule}.")


def _set_aside(served: Served, grid: Grid, steps: int) -> tuple[Grid, list[Reason]]:
    """The grid with impossible values missing or filled, as bronze and silver would have them."""
    spec, bounds = served.manifest.window, served.limits
    bad = (grid.values < bounds[:, 0]) | (grid.values > bounds[:, 1])
    if not bad.any():
        return grid, []
    first = spec.look_back - steps
    reasons = []
    for row, column in np.argwhere(bad):
        name, value = grid.columns[column], float(grid.values[row, column])
        low, high = bounds[column].tolist()
        field = f"sequence[{row - first}][{column}]"
        detail = f"{field}: {name} {value:g} is outside {low:g} .. {high:g}; it was set aside and counts as missing"
        reasons.append(Reason("out_of_range", detail, column=name, age=spec.look_back - 1 - int(row)))
    values, age = grid.values.copy(), grid.age.copy()
    values[bad], age[bad] = np.nan, np.nan
    for row, column in np.argwhere(bad):  # oldest first, so that a filled value carries on
        older = age[row - 1, column] + 1 if row else np.nan
        method = _gap(served.feed, grid.columns[column])
        if older <= served.feed.gap_steps and method != "none":
            values[row, column], age[row, column] = values[row - 1, column] * (method != "zero"), older
    return Grid(grid.station, grid.time, grid.columns, values, age), reasons


def _gap(feed: FeedSnapshot, name: str) -> str:
    """How gaps of a column are filled."""
    info = feed.column(name)
    return info.gap if info else "last"


def _short_history(spec: WindowSpec, grid: Grid, origin: int) -> list[Reason]:
    """The model looks further back than the station has readings of the target: what it never saw in training."""
    target = grid.values[max(0, origin + 1 - spec.look_back) : origin + 1, grid.columns.index(spec.target)]
    length = len(target) - int(np.flatnonzero(~np.isnan(target))[0])
    if length == spec.look_back:
        return []
    detail = f"{spec.target} is known for {length} of the {spec.look_back} steps that the model looks back"
    return [Reason("short_history", detail, spec.target, spec.look_back - length)]


def _gaps(served: Served, grid: Grid, origin: int) -> list[Reason]:
    """Window columns that were not measured at the origin."""
    reasons = []
    target = served.manifest.target
    for name in served.manifest.window.columns:
        age = float(grid.age[origin, grid.columns.index(name)]) if name in grid.columns else np.nan
        if np.isnan(age):
            reasons.append(Reason("missing", f"{name} is missing at the origin and for too long before it", name))
        elif name == target and age > (0 if _gap(served.feed, name) == "none" else served.feed.gap_steps):
            detail = f"{name} was measured {count(int(age), 'step')} before the origin; the last season that was"
            reasons.append(Reason("bridged", f"{detail} measured stands in, and the interval is wider", name, int(age)))
        elif age > 0:
            fill = "it counts as 0 since" if _gap(served.feed, name) == "zero" else "that value is carried forward"
            detail = f"{name} was measured {count(int(age), 'step')} before the origin; {fill}"
            reasons.append(Reason("gap_filled", detail, name, int(age)))
    return reasons
