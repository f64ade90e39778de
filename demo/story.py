"""What happened to one station and target, from the tables alone: readings, forecasts, errors, drift, releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aerocast.common.months import month_of
from aerocast.common.sql import literal, quoted
from aerocast.common.times import to_numpy
from aerocast.features.grid import Times
from aerocast.feed.model import Feed
from aerocast.lake import LakeReader
from aerocast.releases import release
from aerocast.reporting import plots
from aerocast.storage.home import Home

if TYPE_CHECKING:
    import duckdb
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = NDArray[np.float64]

COLOURS = {"ok": "tab:green", "covariate_shift": "gold", "sensor_fault": "tab:purple", "concept_drift": "tab:red"}
ROLLING = 24  # outcomes in the line of the error


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Live forecasts of the first horizon that were answered, by target time (n,), in the target's unit."""

    time: Times
    value: Series
    lower: Series
    upper: Series
    error: Series  # actual - forecast; NaN while the outcome is unknown
    persistence: Series  # actual - the last value at the origin
    version: NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Examinations:
    """What was diagnosed at each instant (m,), with the error seen, and what season and weather allow."""

    time: Times
    verdict: NDArray[np.str_]
    rmse: Series
    expected: Series


@dataclass(frozen=True, eq=False)
class Story:
    """One station and target since some instant; `releases` are (feed's time, version, kind), oldest first."""

    feed: str
    target: str
    station: str
    unit: str
    time: Times
    value: Series
    forecasts: Forecasts
    examinations: Examinations
    releases: tuple[tuple[datetime, str, str], ...]

    def rmse(self, start: datetime, end: datetime) -> float | None:
        """Of the live forecasts whose target time lies in [start, end); None without outcomes."""
        error = self.forecasts.error[within(self.forecasts.time, start, end)]
        known = error[~np.isnan(error)]
        return float(np.sqrt(np.mean(known**2))) if len(known) else None


def within(time: Times, start: datetime, end: datetime) -> NDArray[np.bool_]:
    """Mask (n,) of the instants in [start, end)."""
    found: NDArray[np.bool_] = (time >= to_numpy(start)) & (time < to_numpy(end))
    return found


def read(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, home: Home, feed: Feed, target: str, station: str, since: datetime
) -> Story:
    """The story from the tables as they are now; what is not there yet is empty."""
    of = f"target = {literal(target)} AND station = {literal(station)} AND time >= TIMESTAMPTZ {literal(str(since))}"
    readings = _columns(
        con, lake, f"{feed.name}/bronze", since, of.split(" AND ", 1)[1], "time", {"value": quoted(target)}
    )
    live = f"{of} AND horizon = {feed.horizons[0]} AND NOT shadow AND NOT repeated"
    numbers = {name: name for name in ("value", "lower", "upper", "error")}
    forecasts = _columns(
        con,
        lake,
        f"{feed.name}/outcomes",
        since,
        live,
        "time",
        numbers | {"persistence": "actual - persistence"},
        {"version": "version"},
    )
    judged = _columns(
        con,
        lake,
        f"{feed.name}/drift",
        since,
        of.replace("time >=", "judged_at >="),
        "judged_at",
        {"rmse": "rmse", "expected": "expected_rmse"},
        {"verdict": "verdict"},
    )
    releases = [
        (entry.manifest.lineage.feed_time or entry.manifest.lineage.created_at, entry.version, entry.manifest.kind)
        for entry in release.history(home, feed.name, target)
        if entry.manifest
    ]
    return Story(
        feed=feed.name,
        target=target,
        station=station,
        unit=feed.column(target).unit,
        time=readings["time"],
        value=readings["value"],
        forecasts=Forecasts(**forecasts),
        examinations=Examinations(**judged),
        releases=tuple(sorted(releases)),
    )


def _columns(
    con: duckdb.DuckDBPyConnection,
    lake: LakeReader,
    name: str,
    since: datetime,
    where: str,
    time: str,
    numbers: dict[str, str],
    texts: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Columns of a table's newest months as arrays, in order of time; empty ones without the table."""
    found: dict[str, Any] = {"time": np.array([], dtype="datetime64[s]")}
    found |= {column: np.array([]) for column in numbers} | {column: np.array([], dtype=str) for column in texts or {}}
    if not lake.exists(name):
        return found
    months = [month for month in lake.months(name) if month >= month_of(since)]
    rows = lake.relation(con, name, months).filter(where).order(time)
    named = {**numbers, **(texts or {})}
    picked = ", ".join(f"{expression} AS {quoted(column)}" for column, expression in named.items())
    table = rows.project(f"epoch({time})::BIGINT AS time, {picked}").to_arrow_table()
    found["time"] = table["time"].to_numpy().astype("datetime64[s]")
    for column in numbers:
        values = table[column].to_numpy(zero_copy_only=False)
        found[column] = np.array([np.nan if each is None else each for each in values], dtype=np.float64)
    for column in texts or {}:
        found[column] = np.array(table[column].to_pylist(), dtype=str)
    return found


def picture(story: Story, marks: Sequence[tuple[datetime, str]], title: str) -> Figure:
    """Readings and forecasts with their interval, the error, what drift said, and which release served."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), layout="constrained")
    axes = figure.subplots(4, 1, sharex=True, height_ratios=[3, 2, 1.6, 0.9])
    _draw_readings(axes[0], story)
    _draw_error(axes[1], story)
    _draw_drift(axes[2], story)
    _draw_releases(axes[3], story)
    for axis in axes:
        axis.grid(alpha=0.3)
        for at, _ in marks:
            axis.axvline(to_numpy(at), color="0.3", lw=0.8, ls=":")
    for number, (at, text) in enumerate(marks):
        place = (to_numpy(at), 1.02 + 0.075 * (number % 3))
        axes[0].annotate(text, place, xycoords=("data", "axes fraction"), fontsize=8, ha="left", color="0.2")
    plots.dates(axes[-1])
    figure.suptitle(title)
    return figure


def _draw_readings(axis: Axes, story: Story) -> None:
    live = story.forecasts
    axis.plot(story.time, story.value, color="0.35", lw=1, label="measured")
    for number, version in enumerate(dict.fromkeys(live.version)):
        own, colour = live.version == version, f"C{number % 10}"
        axis.fill_between(live.time[own], live.lower[own], live.upper[own], color=colour, alpha=0.35, lw=0)
        axis.plot(live.time[own], live.value[own], ".", color=colour, ms=3, label=f"forecast by {version}")
    axis.set_ylabel(f"{story.target} [{story.unit}]")
    axis.legend(fontsize=8, loc="upper left", frameon=False)


def _draw_error(axis: Axes, story: Story) -> None:
    live = story.forecasts
    known = ~np.isnan(live.error)
    axis.plot(live.time[known], np.abs(live.error[known]), ".", color="0.6", ms=2, label="absolute error")
    for errors, colour, name in ((live.persistence, "0.7", "persistence"), (live.error, "tab:blue", "the forecasts")):
        axis.plot(live.time[known], _rolling(errors[known]), color=colour, lw=1.4, label=f"RMSE of {name}")
    axis.set_ylabel(f"error [{story.unit}]")
    axis.legend(fontsize=8, loc="upper left", frameon=False, title=f"RMSE over {ROLLING} outcomes", title_fontsize=8)


def _rolling(error: Series) -> Series:
    """Root of the mean square over the newest ROLLING values at each place."""
    squares = np.concatenate([[0.0], np.cumsum(np.nan_to_num(error) ** 2)])
    ends = np.arange(1, len(squares))
    starts = np.maximum(0, ends - ROLLING)
    rolled: Series = np.sqrt((squares[ends] - squares[starts]) / (ends - starts))
    return rolled


def _draw_drift(axis: Axes, story: Story) -> None:
    seen = story.examinations
    axis.plot(seen.time, seen.rmse, color="0.5", lw=1, label="RMSE that was examined")
    axis.plot(seen.time, seen.expected, color="0.5", lw=1, ls="--", label="what season and weather allow")
    for verdict, colour in COLOURS.items():
        own = seen.verdict == verdict
        if own.any():
            axis.plot(seen.time[own], seen.rmse[own], "o", color=colour, ms=6, label=verdict.replace("_", " "))
    axis.set_ylabel("drift")
    axis.legend(fontsize=8, loc="upper left", frameon=False)


def _draw_releases(axis: Axes, story: Story) -> None:
    """A bar a release: from the first of its live forecasts to the last."""
    live, names = story.forecasts, list(dict.fromkeys(story.forecasts.version))
    for number, version in enumerate(names):
        own = live.time[live.version == version]
        axis.hlines(number, own[0], own[-1], color=f"C{number % 10}", lw=8)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.set_ylabel("serves")
