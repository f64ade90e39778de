"""Draws what happened to a station and target, from the tables: readings, forecasts, errors, drift, releases."""

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
from aerocast.feed.declaration import Feed
from aerocast.lake import LakeReader
from aerocast.monitoring.drift.report import date_axis
from aerocast.releases import release
from aerocast.storage.home import Home

if TYPE_CHECKING:
    import duckdb
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = NDArray[np.float64]

COLOURS = {"ok": "tab:green", "covariate_shift": "gold", "sensor_fault": "tab:purple", "concept_drift": "tab:red"}
RMSE_SPAN = 24  # outcomes in the line of the error


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
    expectation: Series


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
        error = self.forecasts.error[time_mask(self.forecasts.time, start, end)]
        errors = error[~np.isnan(error)]
        return float(np.sqrt(np.mean(errors**2))) if len(errors) else None


def time_mask(time: Times, start: datetime, end: datetime) -> NDArray[np.bool_]:
    """Mask (n,) of the instants in [start, end)."""
    mask: NDArray[np.bool_] = (time >= to_numpy(start)) & (time < to_numpy(end))
    return mask


def load_story(
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
    examinations = _columns(
        con,
        lake,
        f"{feed.name}/drift",
        since,
        of.replace("time >=", "judged_at >="),
        "judged_at",
        {"rmse": "rmse", "expectation": "expected_rmse"},
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
        examinations=Examinations(**examinations),
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
    arrays: dict[str, Any] = {"time": np.array([], dtype="datetime64[s]")}
    arrays |= {column: np.array([]) for column in numbers} | {column: np.array([], dtype=str) for column in texts or {}}
    if not lake.exists(name):
        return arrays
    months = [month for month in lake.months(name) if month >= month_of(since)]
    rows = lake.relation(con, name, months).filter(where).order(time)
    expressions = {**numbers, **(texts or {})}
    projection = ", ".join(f"{expression} AS {quoted(column)}" for column, expression in expressions.items())
    table = rows.project(f"epoch({time})::BIGINT AS time, {projection}").to_arrow_table()
    arrays["time"] = table["time"].to_numpy().astype("datetime64[s]")
    for column in numbers:
        values = table[column].to_numpy(zero_copy_only=False)
        arrays[column] = np.array([np.nan if each is None else each for each in values], dtype=np.float64)
    for column in texts or {}:
        arrays[column] = np.array(table[column].to_pylist(), dtype=str)
    return arrays


def draw_story(story: Story, marks: Sequence[tuple[datetime, str]], title: str) -> Figure:
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
        position = (to_numpy(at), 1.02 + 0.075 * (number % 3))
        axes[0].annotate(text, position, xycoords=("data", "axes fraction"), fontsize=8, ha="left", color="0.2")
    date_axis(axes[-1])
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
    mask = ~np.isnan(live.error)
    axis.plot(live.time[mask], np.abs(live.error[mask]), ".", color="0.6", ms=2, label="absolute error")
    for errors, colour, name in ((live.persistence, "0.7", "persistence"), (live.error, "tab:blue", "the forecasts")):
        axis.plot(live.time[mask], _rolling_rmse(errors[mask]), color=colour, lw=1.4, label=f"RMSE of {name}")
    axis.set_ylabel(f"error [{story.unit}]")
    axis.legend(fontsize=8, loc="upper left", frameon=False, title=f"RMSE over {RMSE_SPAN} outcomes", title_fontsize=8)


def _rolling_rmse(error: Series) -> Series:
    """Root of the mean square over the newest ROLLING values at each place."""
    squares = np.concatenate([[0.0], np.cumsum(np.nan_to_num(error) ** 2)])
    ends = np.arange(1, len(squares))
    starts = np.maximum(0, ends - RMSE_SPAN)
    rmse: Series = np.sqrt((squares[ends] - squares[starts]) / (ends - starts))
    return rmse


def _draw_drift(axis: Axes, story: Story) -> None:
    examinations = story.examinations
    axis.plot(examinations.time, examinations.rmse, color="0.5", lw=1, label="RMSE that was examined")
    axis.plot(
        examinations.time, examinations.expectation, color="0.5", lw=1, ls="--", label="what season and weather allow"
    )
    for verdict, colour in COLOURS.items():
        own = examinations.verdict == verdict
        if own.any():
            axis.plot(
                examinations.time[own], examinations.rmse[own], "o", color=colour, ms=6, label=verdict.replace("_", " ")
            )
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
