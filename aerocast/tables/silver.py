"""Turns bronze into silver: a regular grid per station, with the spread inside each step and a causal fill of gaps.

Every step (`steps`) from the feed's first reading to a station's last
whole step (`wholeness`) is there, so a dead station shows as nulls, and a step that is not over does not show.
A fill uses what was measured at or before its step, never later.

Vectors are components of the flow, as in meteorology: `u` > 0 blows to the east, `v` > 0 to the north; a direction is
where it comes from, clockwise from north: u = -speed sin(direction), v = -speed cos(direction). A calm is (0, 0).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import duckdb
import numpy as np

from aerocast.common.months import month_span, months_around
from aerocast.common.sql import literal, quoted, timestamptz
from aerocast.common.times import MICROSECOND, from_microseconds, to_numpy
from aerocast.common.units import conversion
from aerocast.features.grid import Grid
from aerocast.feed.column import Column
from aerocast.feed.declaration import Feed
from aerocast.tables import gap_filling, quantities, steps

# Of a series' range. Squares of so many parts have room in 128 bits for a third of a million readings a step.
_PARTS = f"{2**45}::DOUBLE"


@dataclass(frozen=True)
class Extent:
    """Where the grid begins, with the step of the feed's first reading, and where it ends for each station."""

    first: datetime
    ends: Mapping[str, datetime]

    @classmethod
    def of_recording(cls, feed: Feed, first: datetime, newest: datetime) -> Self:
        """From the first to the newest reading of a recording, in which every step is over."""
        return cls(begin(feed, first), dict.fromkeys(feed.station_ids, floor(feed, newest) + feed.cadence))


def begin(feed: Feed, first: datetime) -> datetime:
    """The label of the step in which the grid of a feed begins whose first reading is `first`."""
    return steps.floor(feed, steps.clocks(feed, first)[0])


def floor(feed: Feed, time: datetime) -> datetime:
    """The label of the step that holds an instant: the latest of all stations'."""
    return steps.floor(feed, steps.clocks(feed, time)[1])


def names(feed: Feed) -> tuple[str, ...]:
    """Silver's series in order: the feed's columns, then the components of its vectors."""
    components = [f"{vector.name}_{axis}" for vector in feed.vectors for axis in "uv"]
    return (*(column.name for column in feed.columns), *components)


def units(feed: Feed) -> tuple[str, ...]:
    """The unit of each of silver's series, in order."""
    return (*(c.unit for c in feed.columns), *(feed.column(v.speed).unit for v in feed.vectors for _ in "uv"))


def source_months(feed: Feed, months: Sequence[str]) -> list[str]:
    """The months of bronze that silver of these months is made from: a fill looks back over a month's border."""
    return months_around(months, lookback(feed), lookahead(feed))


def lookback(feed: Feed) -> timedelta:
    """How far before a month's start readings count in it: for its fills, and for the values of the steps there."""
    return gap_filling.lookback(feed) + quantities.reach(feed) + steps.slack(feed)


def lookahead(feed: Feed) -> timedelta:
    """How far after a month's end readings count in it: those of the last step with a label in the month."""
    return steps.slack(feed) and feed.cadence + steps.slack(feed)


def build(
    con: duckdb.DuckDBPyConnection, feed: Feed, bronze: duckdb.DuckDBPyRelation, months: Sequence[str], extent: Extent
) -> duckdb.DuckDBPyRelation:
    """Silver of `months`: `station`, `time` (label), per series `c` (filled), `c_age`, `c_mean` .. `c_count`, `month`.

    `bronze` is a relation of `con` that holds at least `source_months(feed, months)`; `extent` is the whole feed's.
    `c_age` counts steps since the value was measured: 0 for measured, null for none within the gap policy. `c_std` is
    the sample's, null for one reading; `c_min` and `c_max` of an angle are those of the plain numbers. The relation is
    read lazily.
    """
    con.execute("SET TimeZone = 'UTC'")
    bronze.create_view("silver_bronze", replace=True)
    pieces = _pieces(feed, months, extent) or [(None, 0, 0)]
    runs = ", ".join(f"({literal(m) if m else 'NULL'}, {a}, {b})" for m, a, b in pieces)
    stations = ", ".join(
        f"({literal(station)}, {steps.number(feed, end)}, {station in feed.station_ids})"
        for station, end in extent.ends.items()
    )
    # A station that joined by a reading is in the months in which it sends, so it changes none before.
    joined = "is_declared OR month IS NULL OR (station, month) IN (SELECT DISTINCT station, month FROM silver_bronze)"
    is_there = joined if extent.ends.keys() - {*feed.station_ids} else "true"
    series = names(feed)
    values = ", ".join(quoted(quantities.value_name(feed, name)) for name in series)
    filled = ", ".join(gap_filling.last_measured(feed, name) for name in series)
    outputs = ", ".join(_outputs(feed, name) for name in series)
    # The window sorts what it is given, so it gets only the values; the other figures are joined afterwards.
    return con.sql(f"""
        WITH pieces(month, low, high) AS (VALUES {runs}),
        steps AS (SELECT month, unnest(range(low, high)) AS step FROM pieces),
        grid AS (
            SELECT station, step, month FROM (VALUES {stations}) s(station, after, is_declared), steps
            WHERE step < after AND ({is_there})),
        measured AS MATERIALIZED ({_measured(feed, pieces[0][1], pieces[-1][2])}),
        filled AS (
            SELECT station, step, month, {filled}
            FROM grid LEFT JOIN (SELECT station, step, {values} FROM measured) USING (station, step)
            WINDOW w AS (PARTITION BY station ORDER BY step))
        SELECT station, make_timestamptz({steps.sql_label(feed, "step")}) AS time, {outputs}, month
        FROM (SELECT * FROM filled WHERE month IS NOT NULL) LEFT JOIN measured USING (station, step)""")


def grids(
    con: duckdb.DuckDBPyConnection,
    feed: Feed,
    silver: duckdb.DuckDBPyRelation,
    stations: Sequence[str] | None = None,
    last: int | None = None,
) -> dict[str, Grid]:
    """The grid of each station (of all, or of these), whole or its newest `last` steps; a missing step is NaN.

    A grid begins where the feed's does, and ends with its own station's newest step in `silver`. Empty without rows.
    """
    con.execute("SET TimeZone = 'UTC'")
    silver.create_view("silver_rows", replace=True)
    newest = con.sql("SELECT max(epoch_us(time)) FROM silver_rows").fetchall()[0][0]
    if newest is None:
        return {}
    step, ids = feed.cadence // MICROSECOND, list(stations or _stations_in(con, feed))
    # A station's own end may lie a step before the feed's.
    since = f" AND time > make_timestamptz({newest - (last + 1) * step})" if last is not None else ""
    series = names(feed)
    columns = ", ".join(f"CAST({quoted(n)} AS FLOAT), CAST({quoted(f'{n}_age')} AS FLOAT)" for n in series)
    places = ", ".join(f"({literal(station)}, {place})" for place, station in enumerate(ids))
    rows = con.sql(
        f"SELECT place, {steps.sql_number(feed, 'epoch_us(time)')} AS step, {columns} FROM silver_rows"
        f" JOIN (VALUES {places}) chosen(id, place) ON station = id WHERE true{since}"
    ).to_arrow_table()
    if not len(rows):
        return {}
    place, step_numbers, *numbers = (column.to_numpy(zero_copy_only=False) for column in rows.columns)
    first = int(step_numbers.min())
    start, length = to_numpy(steps.label(feed, first)), steps.number(feed, from_microseconds(newest)) - first + 1
    time = start + np.arange(length) * np.timedelta64(step // 1_000_000, "s")
    row = step_numbers - first
    # Each row has its index, so nothing is sorted and no station is searched for in the rows of the others.
    values, ages = (np.full((len(ids), length, len(series)), np.nan, np.float32) for _ in range(2))
    for index in range(len(series)):
        values[place, row, index], ages[place, row, index] = numbers[2 * index : 2 * index + 2]
    ends = np.zeros(len(ids), dtype=np.int64)
    np.maximum.at(ends, place, row + 1)
    grids, series_units = {}, units(feed)
    for at, station in enumerate(ids):
        own = slice(0, int(ends[at]) or length)  # without a row of its own it is a dead station
        grids[station] = Grid(station, time[own], series, values[at, own], ages[at, own], units=series_units)
    return {station: grid.tail(last) for station, grid in grids.items()} if last else grids


def _stations_in(con: duckdb.DuckDBPyConnection, feed: Feed) -> list[str]:
    """The declared stations, and those in `silver_rows` that joined by a reading."""
    if not feed.open_stations:
        return list(feed.station_ids)
    others = con.sql("SELECT DISTINCT station FROM silver_rows ORDER BY station").fetchall()
    return list(dict.fromkeys([*feed.station_ids, *(station for (station,) in others)]))


def _measured(feed: Feed, low: int, high: int) -> str:
    """A select of one row per (station, step in [low, high)) with a reading: the five figures of every series."""
    values, sums, _, figures = spreads(feed, feed.cadence, steps.sql_length(feed))
    slack = steps.slack(feed)
    since = timestamptz(steps.label(feed, low) - slack - quantities.reach(feed))
    after = timestamptz(steps.label(feed, high) + slack)
    number = steps.sql_number(feed, steps.sql_clock(feed))
    rows = f"(SELECT *{with_vectors(feed)} FROM silver_bronze WHERE time >= {since} AND time < {after})"
    return f"""
        SELECT station, step, {figures} FROM (
            SELECT station, step, {sums} FROM (
                SELECT station, {number} AS step, {values} FROM {quantities.readings(feed, rows)})
            WHERE step >= {low} AND step < {high} GROUP BY station, step)"""


def with_vectors(feed: Feed) -> str:
    """Columns to add to `SELECT *` of readings for the components of vectors, each after a comma."""
    return "".join(
        f", {expression} AS {quoted(f'{vector.name}_{axis}')}"
        for vector in feed.vectors
        for axis, expression in _components(feed, vector.speed, vector.direction).items()
    )


def circular_statistics(column: Column, x: str, y: str, low: str, high: str, count: str) -> tuple[str, str]:
    """Mean and standard deviation of angles as SQL, from their mean cosine `x` and sine `y`, extremes and count.

    The mean of angles that cancel out is null: they have none.
    """
    radian, _ = conversion(column.unit, "radian")
    turn = float(2 * np.pi / radian)
    length = f"sqrt({x} * {x} + {y} * {y})"
    angle = f"(atan2({y}, {x}) / {radian!r} + {turn!r}) % {turn!r}"
    mean = f"CASE WHEN {low} = {high} THEN {low} WHEN {length} > 1e-9 THEN {angle} END"
    std = f"CASE WHEN {count} > 1 AND {length} > 1e-9 THEN sqrt(greatest(0, -2 * ln({length}))) / {radian!r} END"
    return mean, std


def direction(column: Column) -> tuple[str, str]:
    """Cosine and sine of an angle as SQL."""
    radian, _ = conversion(column.unit, "radian")
    return f"cos({quoted(column.name)} * {radian!r})", f"sin({quoted(column.name)} * {radian!r})"


def _components(feed: Feed, speed: str, heading: str) -> dict[str, str]:
    """A reading's vector; a calm has no direction and needs none."""
    factor, _ = conversion(feed.column(heading).unit, "radian")
    s, angle = quoted(speed), f"{quoted(heading)} * {factor!r}"
    return {
        axis: f"CASE WHEN {s} = 0 THEN 0.0 ELSE -{s} * {function}({angle}) END"
        for axis, function in {"u": "sin", "v": "cos"}.items()
    }


def spreads(feed: Feed, length: timedelta, span: str | None = None) -> tuple[str, str, str, str]:
    """Select lists of all series: values of a reading, their sums, totals of sums, and from these the five figures.

    The figures are those of windows of `length`, or of each one's own `span`, in microseconds as SQL; a value that is
    not the mean is a sixth one (`quantities`).
    """
    parts = zip(
        *(_spread(feed, i, name, length, span or str(length // MICROSECOND)) for i, name in enumerate(names(feed))),
        strict=True,
    )
    values, sums, totals, figures = (", ".join(text for texts in part for text in texts) for part in parts)
    return values, sums, totals, figures


def _spread(
    feed: Feed, i: int, name: str, length: timedelta, span: str
) -> tuple[list[str], list[str], list[str], list[str]]:
    """One series' part of the lists of `spreads`.

    Values are summed as whole numbers of tiny parts: sums of doubles differ in their last places with the order of
    the readings, and a month that is made again from the same readings must be the same month.
    """
    c, low, high, count = quoted(name), f"low{i}", f"high{i}", f"n{i}"
    values, sums = [f"{c} AS v{i}"], [f"min(v{i}) AS {low}", f"max(v{i}) AS {high}", f"count(v{i}) AS {count}"]
    totals = [f"min({low}) AS {low}", f"max({high}) AS {high}", f"sum({count})::BIGINT AS {count}"]
    column = next((column for column in feed.columns if column.name == name), None)
    parts = f"({_PARTS} / {bound(feed, name)!r})"
    if column and column.circular:
        for axis, of in zip("xy", direction(column), strict=True):
            values.append(f"CAST({of} * {_PARTS} AS BIGINT) AS {axis}{i}")
            sums.append(f"sum({axis}{i}) AS {axis}{i}")
            totals.append(f"sum({axis}{i}) AS {axis}{i}")
        x, y = (f"({axis}{i} / ({count} * {_PARTS}))" for axis in "xy")
        mean, std = circular_statistics(column, x, y, low, high, count)
    else:
        values.append(f"CAST({c} * {parts} AS BIGINT) AS w{i}")
        sums += [f"sum(w{i}) AS s{i}", f"sum(w{i}::HUGEINT * w{i}) AS q{i}"]
        totals += [f"sum(s{i}) AS s{i}", f"sum(q{i}) AS q{i}"]
        mean = f"CASE WHEN {low} = {high} THEN {low} ELSE s{i} / ({count} * {parts}) END"
        squares = f"({count} * q{i} - s{i} * s{i}) / ({count} * ({count} - 1)::DOUBLE)"
        std = f"CASE WHEN {count} > 1 THEN sqrt({squares}) / {parts} END"
    figures = {"mean": mean, "std": std, "min": low, "max": high, "count": f"CAST({count} AS INTEGER)"}
    if column and not column.is_averaged:
        terms = quantities.terms(feed, i, column, mean, parts, length, span)
        values, sums, totals = values + terms.readings, sums + terms.sums, totals + terms.totals
        figures["value"] = terms.value
    return values, sums, totals, [f"{figure} AS {quoted(f'{name}_{label}')}" for label, figure in figures.items()]


def bound(feed: Feed, name: str) -> float:
    """A power of two that no value of the series is beyond: what its sums are counted in parts of."""
    speeds = {f"{vector.name}_{axis}": vector.speed for vector in feed.vectors for axis in "uv"}
    return 2.0 ** math.ceil(math.log2(max(map(abs, feed.column(speeds.get(name, name)).range)) or 1.0))


def _outputs(feed: Feed, name: str) -> str:
    """The series' columns as they are stored."""
    spread = [quoted(f"{name}_{label}") for label in ("mean", "std", "min", "max")]
    count = quoted(f"{name}_count")
    whole = f"CAST(coalesce({count}, 0) AS INTEGER) AS {count}"
    return ", ".join([gap_filling.value_and_age(feed, name), *spread, whole])


def _pieces(feed: Feed, months: Sequence[str], extent: Extent) -> list[tuple[str | None, int, int]]:
    """Runs of steps to lay out, [low, high): each month's own, and before a run of months the steps a fill needs."""
    first, after = steps.number(feed, extent.first), steps.number(feed, max(extent.ends.values()))
    pieces: list[tuple[str | None, int, int]] = []
    end = first
    for month in sorted(set(months)):
        start, stop = (steps.first_from(feed, border) for border in month_span(month))
        low, high = max(start, first), min(stop, after)
        if low >= high:
            continue
        if (reach := max(low - gap_filling.max_steps(feed), end)) < low:
            pieces.append((None, reach, low))
        pieces.append((month, low, high))
        end = high
    return pieces
