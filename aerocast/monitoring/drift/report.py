"""Shows a drift state to people: as JSON, and as one picture of an examination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from aerocast.common.times import to_numpy
from aerocast.contracts.drift_state import Diagnosis, DriftState, Verdict
from aerocast.features.grid import Grid
from aerocast.feed.declaration import Feed
from aerocast.monitoring.drift.errors import PH_SLACK, SQUARES, Outcomes, standard_scores
from aerocast.monitoring.drift.profile import Profile, measured_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS: dict[Verdict, str] = {
    "ok": "tab:green",
    "covariate_shift": "tab:olive",
    "sensor_fault": "tab:orange",
    "concept_drift": "tab:red",
}
WORST = 10  # tests shown, those nearest to or furthest beyond their thresholds


def report(state: DriftState) -> dict[str, Any]:
    """JSON-able: a sentence for each (target, station), heat, faults, and below them everything in full."""
    sentences = [
        {"target": each.target, "station": each.station, "verdict": each.verdict, "because": because(each)}
        for each in state.diagnoses
    ]
    full: dict[str, Any] = msgspec.to_builtins(
        state, enc_hook=lambda number: number.item() if isinstance(number, np.generic) else str(number)
    )
    return {
        "feed": state.feed,
        "judged_at": full["judged_at"],
        "verdicts": sentences,
        "hot": [heat.target for heat in state.heat if heat.hot],
        "open_faults": [each for each in full["faults"] if each["end"] is None],
        "state": full,
    }


def because(diagnosis: Diagnosis) -> str:
    """Explains the verdict: the sentences of the tests that fired, or that none did."""
    details = [each.detail for each in diagnosis.evidence if each.fired]
    if details:
        return "; ".join(dict.fromkeys(details))
    if not diagnosis.outcomes:
        return "no sensor looks broken; no outcome of this release is known yet"
    return "no test fired; readings and errors are as in the same season of the reference"


def plot(
    feed: Feed,
    target: str,
    state: DriftState,
    outcomes: Mapping[str, Outcomes],
    readings: Mapping[str, tuple[Grid, Grid | Profile]] | None = None,
    history: Sequence[Diagnosis] = (),
) -> Figure:
    """Two rows a station: residuals in their interval, their cumulative sum, readings, and tests beside thresholds.

    `outcomes` and `readings` (recent grid, reference) are by station; with `history` (older diagnoses) a timeline of
    verdicts stands below. What is missing is left out. matplotlib is imported here alone.
    """
    from matplotlib.figure import Figure

    own = [each for each in state.diagnoses if each.target == target]
    rows = 2 * max(1, len(own))
    # Figure without pyplot: no global state, no display, safe in any thread.
    figure = Figure(figsize=(9, 2.4 * rows + (1.2 if history else 0.4)), layout="constrained")
    grid = figure.add_gridspec(rows + bool(history), 2, height_ratios=[2.4] * rows + [1.1] * bool(history))
    unit = feed.column(target).unit
    for row, diagnosis in zip(range(0, rows, 2), own, strict=False):
        own_outcomes = outcomes.get(diagnosis.station)
        _residuals(figure.add_subplot(grid[row, 0]), diagnosis, own_outcomes, unit)
        _cumulative(figure.add_subplot(grid[row, 1]), diagnosis, own_outcomes)
        if readings:
            _distribution(figure.add_subplot(grid[row + 1, 0]), target, readings.get(diagnosis.station), unit)
        _tests(figure.add_subplot(grid[row + 1, 1 if readings else slice(None)]), diagnosis)
    if history:
        _timeline(figure.add_subplot(grid[-1, :]), [each for each in (*history, *own) if each.target == target])
    hot = "hot" if state.of(target).hot else "cool"
    figure.suptitle(f"{feed.name}: {target} at {state.judged_at:%Y-%m-%d %H:%M}, {hot}")
    return figure


def _shortest(outcomes: Outcomes | None) -> Outcomes | None:
    """The outcomes of the shortest horizon; None if there are none."""
    if outcomes is None or not len(outcomes.time):
        return None
    return outcomes.at((outcomes.horizon == outcomes.horizon.min()) & np.isfinite(outcomes.error))


def _residuals(axis: Any, diagnosis: Diagnosis, outcomes: Outcomes | None, unit: str) -> None:
    nearest = _shortest(outcomes)
    axis.set_title(f"{diagnosis.station}: {diagnosis.verdict}", color=COLOURS[diagnosis.verdict], fontsize=10)
    axis.set_ylabel(f"error [{unit}]")
    axis.axhline(0, color="0.3", lw=0.8)
    date_axis(axis)
    if nearest is None:
        return
    axis.fill_between(nearest.time, nearest.low, nearest.high, color="tab:blue", alpha=0.18, lw=0)
    outside = ~nearest.inside
    axis.plot(nearest.time, nearest.error, ".", color="0.4", ms=2)
    axis.plot(nearest.time[outside], nearest.error[outside], ".", color="tab:red", ms=3)
    if diagnosis.onset is not None:
        axis.axvline(to_numpy(diagnosis.onset), color=COLOURS[diagnosis.verdict], ls="--")


def _cumulative(axis: Any, diagnosis: Diagnosis, outcomes: Outcomes | None) -> None:
    """The sum that Page-Hinkley watches: it falls while errors are usual and climbs when they are not."""
    nearest = _shortest(outcomes)
    axis.set_title("cumulative sum of squares", fontsize=9)
    axis.grid(alpha=0.3)
    date_axis(axis)
    if nearest is None:
        return
    squares = np.minimum(standard_scores(nearest) ** 2, SQUARES)
    axis.plot(nearest.time, np.cumsum(squares - 1 - PH_SLACK), color="tab:purple", lw=1)
    if diagnosis.onset is not None:
        axis.axvline(to_numpy(diagnosis.onset), color=COLOURS[diagnosis.verdict], ls="--")


def _distribution(axis: Any, target: str, grids: tuple[Grid, Grid | Profile] | None, unit: str) -> None:
    axis.set_title("newest readings and reference", fontsize=9)
    axis.set_xlabel(unit)
    if grids is None or any(target not in grid.columns for grid in grids):
        return
    recent, past = (
        (grid.values if isinstance(grid, Profile) else measured_values(grid))[:, grid.columns.index(target)]
        for grid in grids
    )
    recent, past = recent[np.isfinite(recent)], past[np.isfinite(past)]
    if not len(recent) or not len(past):
        return
    cuts = np.linspace(min(recent.min(), past.min()), max(recent.max(), past.max()), 41)
    axis.hist(past, cuts, density=True, color="0.7", label="reference")
    axis.hist(recent, cuts, density=True, histtype="step", color="tab:blue", label="newest")
    axis.legend(fontsize=7, frameon=False)


def _tests(axis: Any, diagnosis: Diagnosis) -> None:
    """Each test's value as a share of its threshold; beyond 1 it fires (coverage fires below)."""
    shares = [
        (each.value / each.threshold, f"{each.test} {each.subject}", each.fired)
        for each in diagnosis.evidence
        if each.value is not None and each.threshold and np.isfinite(each.value) and each.test != "coverage"
    ]
    shares = sorted(shares, reverse=True)[:WORST][::-1]
    colours = ["tab:red" if fired else "0.6" for *_, fired in shares]
    axis.barh(range(len(shares)), [min(share, 3.0) for share, *_ in shares], color=colours)
    axis.set_yticks(range(len(shares)), [name for _, name, _ in shares], fontsize=6)
    axis.axvline(1, color="0.3", lw=0.8, ls="--")
    axis.set_title("tests, as a share of their thresholds", fontsize=9)


def _timeline(axis: Any, diagnoses: Sequence[Diagnosis]) -> None:
    stations = sorted({each.station for each in diagnoses})
    for each in diagnoses:
        moment = to_numpy(each.judged_at)
        axis.plot(moment, stations.index(each.station), "s", ms=4, color=COLOURS[each.verdict])
    axis.set_yticks(range(len(stations)), stations)
    axis.set_ylim(-0.6, len(stations) - 0.4)
    axis.set_title("verdicts", fontsize=9)
    date_axis(axis)


def date_axis(axis: Any) -> None:
    """Shows instants on the x axis, with each part of a date once."""
    dates: Any = import_module("matplotlib.dates")
    locator = dates.AutoDateLocator()
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
