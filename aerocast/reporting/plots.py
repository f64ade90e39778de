"""Pictures for the UI, the reports folder and the README. matplotlib is imported here and for drift's picture alone."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aerocast.common.words import count
from aerocast.feed.declaration import BASELINES
from aerocast.monitoring.drift.report import date_axis
from aerocast.promotion.scoring import ALL, Score
from aerocast.releases.issue import ForecastBatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from aerocast.promotion.duel import Duel

PAST = 72


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    # Figure without pyplot: no global state, no display, safe in any thread.
    return Figure(figsize=(width, height), layout="constrained")


def forecast(batch: ForecastBatch, unit: str) -> "Figure":
    """Newest readings and forecasts with their interval, one panel a station."""
    figure = _figure(9, max(2.4, 2.2 * len(batch.grids)))
    axes = figure.subplots(max(1, len(batch.grids)), 1, sharex=True, squeeze=False)[:, 0]
    manifest = batch.release.manifest
    for at, grid in enumerate(batch.grids):
        axis, column = axes[at], grid.columns.index(manifest.target)
        values, gaps = grid.values[-PAST:, column], grid.age[-PAST:, column] > 0
        time = grid.time[-PAST:]
        path = np.concatenate([time[-1:], batch.times[at]])
        level, lower, upper = (np.concatenate([values[-1:], y[at]]) for y in (batch.values, batch.lower, batch.upper))
        axis.plot(time, values, color="0.35", lw=1.2, label="measured")
        if gaps.any():
            axis.plot(time[gaps], values[gaps], "o", color="tab:red", ms=3, label="filled")
        interval = f"{manifest.graphs.station.intervals.level:.0%} interval"
        axis.fill_between(path, lower, upper, color="tab:blue", alpha=0.18, label=interval)
        axis.plot(path, level, "o-", color="tab:blue", ms=4, lw=1, markevery=slice(1, None), label="forecast")
        axis.set_ylabel(f"{grid.station} [{unit}]")
        axis.grid(alpha=0.3)
    if batch.grids:
        _legend(figure, axes[0])
    figure.suptitle(f"{manifest.feed.name}: {manifest.target}, forecast by {manifest.kind} {batch.release.version}")
    return figure


def curves(steps: Sequence[tuple[int, Mapping[str, float]]], title: str) -> "Figure":
    """The metrics that a training logged, one line a metric that has several values."""
    figure = _figure(7, 3.2)
    axis = figure.subplots()
    for name in dict.fromkeys(name for _, values in steps for name in values):
        points = [(step, values[name]) for step, values in steps if name in values]
        if len(points) > 1 and "rmse" in name:
            axis.plot(*zip(*points, strict=True), label=name)
    axis.set(title=title, xlabel="epoch or round", ylabel="RMSE")
    axis.grid(alpha=0.3)
    if axis.lines:
        axis.legend(fontsize=8)
    return figure


def skills(scores: Sequence[Score], horizons: Sequence[int], title: str) -> "Figure":
    """RMSE skill over the better baseline: one group of bars a horizon, one bar a model."""
    models = list(dict.fromkeys(score.model for score in scores))
    skill_of = {(score.model, score.horizon): score.skill for score in scores if score.station == ALL}
    figure = _figure(7, 3.2)
    axis = figure.subplots()
    width = 0.8 / len(models)
    for at, model in enumerate(models):
        positions = np.arange(len(horizons)) + (at - (len(models) - 1) / 2) * width
        # A baseline may be worse than the better one by far; the axis is for those that compete.
        axis.bar(positions, [max(-0.2, skill_of[model, horizon]) for horizon in horizons], width, label=model)
    axis.axhline(0, color="0.3", lw=0.8)
    axis.set_xticks(range(len(horizons)), [count(horizon, "step") for horizon in horizons])
    axis.set_ylabel("skill over the better baseline")
    axis.grid(alpha=0.3, axis="y")
    figure.suptitle(title)
    _legend(figure, axis)
    return figure


def contributions(sizes: Mapping[str, NDArray[np.float64]], horizons: Sequence[int], title: str) -> "Figure":
    """How much each group of features moves the forecast: a table of numbers (H,) by group, darker where it is more."""
    table = np.stack(list(sizes.values()))
    figure = _figure(max(5.0, 3.2 + 0.8 * len(horizons)), 1.4 + 0.34 * len(sizes))
    axis = figure.subplots()
    axis.imshow(table, cmap="Blues", aspect="auto", vmin=0)
    for (row, column), value in np.ndenumerate(table):
        ink = "white" if value > 0.6 * table.max() else "0.15"
        axis.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=8, color=ink)
    axis.set_xticks(range(len(horizons)), [count(horizon, "step") for horizon in horizons])
    axis.set_yticks(range(len(sizes)), list(sizes))
    figure.suptitle(title, fontsize=10)
    return figure


def duel(duel_: "Duel", title: str) -> "Figure":
    """The challenger's lead, summed up over time: a line that keeps rising is a proof, a jump is luck."""
    comparison = duel_.comparison
    gain = np.nan_to_num(duel_.incumbent - duel_.challenger) / max(comparison.n, 1)
    figure = _figure(7, 3.2)
    axis = figure.subplots()
    axis.plot(duel_.time, np.cumsum(gain), color="tab:blue", lw=1.4)
    axis.plot(duel_.time[[0, -1]], [0, gain.sum()], color="0.5", lw=0.8, ls="--", label="if each instant gained alike")
    axis.axhline(0, color="0.3", lw=0.8)
    date_axis(axis)
    axis.set_ylabel("loss saved so far\n(composite)")
    axis.grid(alpha=0.3)
    statistic = "none" if comparison.statistic is None else f"{comparison.statistic:.2f}"
    figure.suptitle(
        f"{title}\nDiebold-Mariano statistic {statistic}, p = {comparison.p_value:.3g}, {comparison.n:,} instants"
    )
    _legend(figure, axis)
    return figure


def backtest(
    errors: Mapping[int, Mapping[str, Sequence[float]]], starts: Sequence[datetime], unit: str, title: str
) -> "Figure":
    """RMSE in each fold, by horizon and model (NaN where it did not take part): one panel a horizon."""
    figure = _figure(9, max(2.6, 2.2 * len(errors)))
    panels = figure.subplots(max(1, len(errors)), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (horizon, by_model) in zip(panels, errors.items(), strict=True):
        for model, values in by_model.items():
            is_baseline = model in BASELINES
            axis.plot(range(len(starts)), values, "o--" if is_baseline else "o-", ms=4, lw=1.2, label=model)
        axis.set_ylabel(f"RMSE {count(horizon, 'step')}\nahead [{unit}]")
        axis.grid(alpha=0.3)
    panels[-1].set_xticks(range(len(starts)), [f"{start:%Y-%m-%d}" for start in starts])
    panels[-1].set_xlabel("first origin of the fold")
    figure.suptitle(title)
    _legend(figure, panels[0])
    return figure


def _legend(figure: "Figure", axis: "Axes") -> None:
    """Below the panels, where it hides nothing."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
