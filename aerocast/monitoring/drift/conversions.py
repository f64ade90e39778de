"""Detects that a source changed its unit: readings jump as no weather does, and continue smoothly once converted back.

Three signs. The jump: between neighbouring readings the series moves further than it ever did, and the converted
series does not. The level: afterwards the converted readings lie where those before did, the plain ones do not. The
values: a column that only knows certain values (whole knots, tenths of a degree) shows others, and the converted ones
are known again; that needs no jump, so it finds what two units of a gusty wind hide.
"""

from functools import cache

import numpy as np

from aerocast.common.unit_names import spelling
from aerocast.common.units import USUAL_UNITS, conversion, dimension, obstacle_to
from aerocast.contracts.drift_state import Evidence
from aerocast.feed.column import Column
from aerocast.monitoring.drift.habits import Habits, is_on_lattice
from aerocast.monitoring.drift.profile import Indices, Reals
from aerocast.monitoring.drift.sensors import ColumnFault, SensorTest

CONFIRM = 3  # readings after a jump that must agree
BRIDGE = 6  # steps that may be missing between two neighbours
SMOOTH = 1.5  # of a change that 1 in 200 exceeds: how far the converted series may move over the jump
BEFORE = 48  # readings before the jump that say where the level was
LEVEL = 1.5  # mean log-likelihood by which a converted reading must fit that level better
KINDS = 8  # different values that must be known again, or it may be chance
STRANGE = 0.3  # share of plain values that may be known by chance

Affine = tuple[str, float, float]


@cache
def mistakes(source_unit: str, unit: str, density: float | None = None) -> tuple[Affine, ...]:
    """(other unit, factor, offset) for each unit that readings may silently have come in instead of `source_unit`.

    true value = wrong value * factor + offset, both in `unit`; `density` is that of a gas.
    """
    quantity = dimension(unit)
    if quantity is None or spelling(unit) in ("degree", "radian"):
        return ()
    back, shift = conversion(unit, source_unit, density)
    units: dict[tuple[float, float], Affine] = {}
    for other, its in USUAL_UNITS.items():
        if its != quantity or other in ("degree", "radian") or obstacle_to(other, unit):
            continue
        factor, offset = conversion(other, unit)
        pair = (factor * back, factor * shift + offset)
        if abs(pair[0] - 1) > 0.02 or abs(pair[1]) > 1e-6:
            units.setdefault((round(pair[0], 9), round(pair[1], 9)), (other, *pair))
    return tuple(units.values())


def unit_change(column: Column, recent: Reals, habits: Habits, open_detail: str | None = None) -> SensorTest:
    """Readings in another unit than declared; `known` is the detail of a fault that was open before."""
    rows = np.flatnonzero(np.isfinite(recent))
    values = recent[rows]
    # A column that mostly rests (rain) has no level that a jump could leave.
    units = () if column.circular or habits.step <= 0 else mistakes(column.source_unit, column.unit, column.density)
    best, fault = 0.0, None
    if len(rows) > CONFIRM + 1 and habits.readings:
        for unit in units:
            fit, spot = _jump(column.name, unit, rows, values, habits)
            best = max(best, fit)
            fault = fault or spot or _values(column.name, unit, rows, values, habits)
            if fault is None and open_detail is not None and f" {unit[0]} " in open_detail:
                fault = _open_change(column.name, unit, rows, values, habits, open_detail)
    detail = fault.detail if fault else f"{column.name}: no other unit fits the newest readings better"
    lasts = fault is not None and fault.end is None
    evidence = Evidence("unit_change", column.name, best, LEVEL, lasts, detail)
    return SensorTest(evidence, (fault,) if fault else ())


def _jump(name: str, unit: Affine, rows: Indices, values: Reals, habits: Habits) -> tuple[float, ColumnFault | None]:
    """The newest jump that this unit explains, and how much better converted readings fit the level before it."""
    other, factor, offset = unit
    true = values * factor + offset
    apart = np.diff(rows)
    reach = np.sqrt(apart)
    change, smooth = np.abs(np.diff(values)), SMOOTH * max(habits.far, habits.step) * reach
    near = apart <= BRIDGE
    begins = near & (change > habits.most * reach) & (np.abs(true[1:] - values[:-1]) <= smooth)
    ends = near & (change > habits.most * reach) & (np.abs(values[1:] - true[:-1]) <= smooth)
    best = 0.0
    for at in np.flatnonzero(begins)[::-1] + 1:
        stops = np.flatnonzero(ends[at:]) + at + 1
        stop = int(stops[0]) if len(stops) else len(values)
        if stop - at < CONFIRM:
            continue
        fit = _fit(values[max(0, at - BEFORE) : at], values[at:stop], true[at:stop], habits)
        best = max(best, fit)
        if fit > LEVEL:
            jump = f"from {values[at - 1]:.4g} to {values[at]:.4g} in one step"
            detail = f"{name} reads like {other} since it went {jump}"
            end = int(rows[stop]) if stop < len(values) else None
            return best, ColumnFault(name, "unit_change", int(rows[at]), end, detail)
    return best, None


def _fit(before: Reals, plain: Reals, true: Reals, habits: Habits) -> float:
    """Mean log-likelihood of converted over plain readings, normal around the level before; the first day counts."""
    plain, true = plain[:24], true[:24]
    middle = float(np.median(before))
    deviation = max(float(np.std(before)), 3 * habits.step, habits.far, 1e-9)
    away, back = np.minimum(((plain - middle) / deviation) ** 2, 50), np.minimum(((true - middle) / deviation) ** 2, 50)
    return float(np.mean(away - back) / 2)


def _values(name: str, unit: Affine, rows: Indices, values: Reals, habits: Habits) -> ColumnFault | None:
    """Values that the column never had, all known once converted."""
    other, factor, offset = unit
    if not len(habits.lattice):
        return None
    strange, back = ~is_on_lattice(habits.lattice, values), is_on_lattice(habits.lattice, values * factor + offset)
    explained = strange & back
    if len(np.unique(values[explained])) < KINDS:
        return None
    first, last = (int(np.flatnonzero(explained)[at]) for at in (0, -1))
    within = slice(first, last + 1)
    informative = (strange | ~np.isin(values, habits.rests))[within]
    if back[within][informative].mean() < 1 - STRANGE / 3 or (~strange[within])[informative].mean() > STRANGE:
        return None
    end = int(rows[last + 1]) if np.sum(~strange[last + 1 :]) >= CONFIRM else None
    detail = f"{name} reads like {other} by its values: {values[first]:.4g} was never read before"
    return ColumnFault(name, "unit_change", int(rows[first]), end, detail)


def _open_change(name: str, unit: Affine, rows: Indices, values: Reals, habits: Habits, detail: str) -> ColumnFault:
    """A known change whose beginning is out of sight: until the series jumps back."""
    _, factor, offset = unit
    true, apart = values * factor + offset, np.diff(rows)
    smooth = SMOOTH * max(habits.far, habits.step) * np.sqrt(apart)
    back = (np.abs(np.diff(values)) > habits.most * np.sqrt(apart)) & (np.abs(values[1:] - true[:-1]) <= smooth)
    stops = np.flatnonzero(back) + 1
    return ColumnFault(name, "unit_change", int(rows[0]), int(rows[stops[0]]) if len(stops) else None, detail)
