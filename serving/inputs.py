"""From a request to a grid row to forecast from, and what is wrong with its inputs.

The rules of bronze and silver hold here too: a value outside its column's physical range is set aside and counts as
missing, and a missing value takes the last one for at most the feed's gap policy. So a sequence is read as the same
readings would be if they had come through the feed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from aerocast.common.times import from_numpy, to_minute
from aerocast.common.words import count, duration
from aerocast.contracts.manifest import FeedSnapshot
from aerocast.features.grid import Grid, WindowSpec
from aerocast.features.windows import sequence_grid, valid_origins
from serving.loading import Served, Tail
from serving.problems import invalid, problem
from serving.schemas import NewestStep, Reason

THIN = 0.5  # a step with a smaller share of its usual readings is not what the model learned from


@dataclass(frozen=True, slots=True)
class Input:
    """A grid, the row to forecast from, the feed's other stations, why it is degraded, and what else to say."""

    grid: Grid
    origin: int
    others: Sequence[Grid]
    reasons: list[Reason]
    notes: list[str]
    newest: NewestStep | None = None


def of_station(served: Served, tail: Tail | None, station: str) -> Input:
    """The newest row of the station that may be forecast from.

    Raises a problem: 422 for a station that the feed has not, 503 for one without readings.
    """
    grid = tail.grids.get(station) if tail else None
    if grid is None:
        _check_station(served.feed, station)
    if tail and (why := outdated(served, tail)):
        raise problem("release-outdated", why, status=503, field="station", value=station, rule="units as declared now")
    usable = grid is not None and served.manifest.target in grid.columns  # a tail may be of another declaration
    origins = valid_origins(served.manifest.window, grid) if grid and usable else np.empty(0, dtype=np.int64)
    if grid is None or tail is None or not len(origins):
        detail = f"Station {station} has no recent readings of {served.manifest.target} to forecast from."
        rule = "a station with recent readings"
        raise problem("no-readings", detail, status=503, field="station", value=station, rule=rule)
    origin = int(origins[-1])
    reasons = [*_gaps(served.manifest.window, grid, origin), *_short_history(served.manifest.window, grid, origin)]
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
    front = max(each.time[-1] for each in tail.grids.values() if len(each.time))
    behind = int((front - grid.time[origin]) // np.timedelta64(served.manifest.window.cadence, "s"))
    # A station whose newest step is still to come is one step behind those that report earlier in the hour.
    if behind > 1 or (behind and origin < len(grid.time) - 1):
        detail = f"the forecast starts {count(behind, 'step')} before the feed's newest whole step ({front}Z)"
        reasons.append(Reason("stale_station", detail, age=behind))
    return Input(grid, origin, list(tail.grids.values()), reasons, notes, newest)


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
        if info and info.unit != unit and column in window.inputs:
            return f"{name} was trained on {column} in {info.unit}, and the feed's readings are in {unit} now. {later}"
    return None


def of_sequence(
    served: Served, rows: Sequence[Sequence[float]], time: np.datetime64 | None, station: str | None = None
) -> Input:
    """The grid of a sequence, measured at `station` if that is known: its place and clock count then.

    What is older is missing. Raises a 422 problem for an unknown station, a wrong shape or nothing to go by.
    """
    spec = served.manifest.window
    if station is not None:
        _check_station(served.feed, station)
    _check_shape(spec, rows)
    with np.errstate(over="ignore"):  # beyond float32 is beyond any physical range too
        grid = sequence_grid(spec, np.clip(np.asarray(rows, dtype=np.float64), -3e38, 3e38), time, station or "")
    grid, reasons = _set_aside(served, grid, len(rows))
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


def _check_station(feed: FeedSnapshot, station: str) -> None:
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
        if older <= served.feed.gap_steps:
            values[row, column], age[row, column] = values[row - 1, column], older
    return Grid(grid.station, grid.time, grid.columns, values, age), reasons


def _short_history(spec: WindowSpec, grid: Grid, origin: int) -> list[Reason]:
    """The model looks further back than the station has readings of the target: what it never saw in training."""
    target = grid.values[max(0, origin + 1 - spec.look_back) : origin + 1, grid.columns.index(spec.target)]
    length = len(target) - int(np.flatnonzero(~np.isnan(target))[0])
    if length == spec.look_back:
        return []
    detail = f"{spec.target} is known for {length} of the {spec.look_back} steps that the model looks back"
    return [Reason("short_history", detail, spec.target, spec.look_back - length)]


def _gaps(spec: WindowSpec, grid: Grid, origin: int) -> list[Reason]:
    """Window columns that were not measured at the origin."""
    reasons = []
    for name in spec.columns:
        age = float(grid.age[origin, grid.columns.index(name)]) if name in grid.columns else np.nan
        if np.isnan(age):
            reasons.append(Reason("missing", f"{name} is missing at the origin and for too long before it", name))
        elif age > 0:
            detail = f"{name} was measured {count(int(age), 'step')} before the origin; that value is carried forward"
            reasons.append(Reason("gap_filled", detail, name, int(age)))
    return reasons
