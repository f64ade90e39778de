"""Turns bronze into sliding: overlapping windows [start, start + size), one every `every`, labelled by their start.

A window holds no reading at or after its end. It is there once it is final: when the feed's newest reading, of any
station, is `watermark` or more past its end. What comes later still counts, because a month is a pure function of
bronze: the month is made again, and the windows that hold the late reading change. Windows without a reading are not
stored, and nothing is filled.

Readings are summed up once per `every`, and windows are put together from these sums. Deviations are taken from each
window's own mean (Chan, Golub, LeVeque 1979), so that large values with little spread keep their digits; sums are
compensated (Kahan 1965), so that the order of the readings does not show.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import duckdb

from aerocast.common.errors import AeroCastError
from aerocast.common.months import month_span
from aerocast.common.sql import quoted
from aerocast.common.times import EPOCH, MICROSECOND
from aerocast.feed.model import Column, Feed, Sliding
from aerocast.tables.silver import circular_statistics, direction, names, with_vectors

FIGURES = ("mean", "std", "min", "max", "count")
_Part = Callable[[str, Column | None], dict[str, str]]


def declaration(feed: Feed) -> Sliding:
    """The feed's sliding windows. Raises AeroCastError if it declares none."""
    if feed.sliding is None:
        raise AeroCastError(f"feed {feed.name}: sliding: no sliding windows are declared")
    return feed.sliding


def lookahead(feed: Feed) -> timedelta:
    """How far after a month's end its windows depend on readings: the last one begins within the month."""
    sliding = declaration(feed)
    return sliding.size - sliding.every


def final_until(feed: Feed, newest: datetime) -> datetime:
    """The latest end of a window that is final when the feed's newest reading is this."""
    sliding = declaration(feed)
    return EPOCH + (newest - sliding.watermark - EPOCH) // sliding.every * sliding.every


def last_end(feed: Feed, month: str, newest: datetime) -> datetime:
    """The latest end that a final window of the month may have: where its rows stop, and no longer once it is over."""
    return min(final_until(feed, newest), month_span(month)[1] + lookahead(feed))


def build(
    con: duckdb.DuckDBPyConnection,
    feed: Feed,
    bronze: duckdb.DuckDBPyRelation,
    months: Sequence[str],
    newest: datetime,
) -> duckdb.DuckDBPyRelation:
    """Windows of `months`: `station`, `time` (start), per series `c_mean` .. `c_count`, `readings`, `month`.

    `bronze` is a relation of `con` with at least these months and `lookahead` after each; `newest` is the newest
    reading of the whole feed (`Lake.span`). `c_std` is the sample's, null for one reading; angles and vectors are as in
    silver, and `readings` counts rows, whatever was measured in them. The relation is read lazily.
    """
    con.execute("SET TimeZone = 'UTC'")
    bronze.create_view("sliding_bronze", replace=True)
    sliding = declaration(feed)
    every, parts = sliding.every // MICROSECOND, sliding.size // sliding.every
    runs = _runs(feed, months, newest)
    windows = " OR ".join(f"bucket - back BETWEEN {low} AND {high - 1}" for low, high in runs)
    readings = " OR ".join(
        f"(time >= make_timestamptz({low * every}) AND time < make_timestamptz({(high + parts - 1) * every}))"
        for low, high in runs
    )
    circular = {column.name: column for column in feed.columns if column.circular}
    series = [(name, circular.get(name)) for name in names(feed)]
    return con.sql(f"""
        WITH sums AS MATERIALIZED (
            SELECT station, epoch_us(time) // {every} AS bucket, count(*) AS readings, {_each(series, _sums)}
            FROM (SELECT *{with_vectors(feed)} FROM sliding_bronze) WHERE {readings or "false"} GROUP BY ALL),
        placed AS (
            SELECT * EXCLUDE (bucket, back), bucket - back AS slot FROM sums, range({parts}) parts(back)
            WHERE {windows or "false"}),
        centres AS (SELECT station, slot, {_each(series, _centre)} FROM placed GROUP BY ALL),
        joined AS (
            SELECT station, slot, sum(readings) AS readings, {_each(series, _combined)}
            FROM placed JOIN centres USING (station, slot) GROUP BY ALL)
        SELECT station, make_timestamptz(slot * {every}) AS time, {_each(series, _figures)},
            CAST(readings AS INTEGER) AS readings, strftime(make_timestamptz(slot * {every}), '%Y-%m') AS month
        FROM joined""")


def _each(series: Sequence[tuple[str, Column | None]], part: _Part) -> str:
    """A select list: the part's columns of every series, named `<series>_<what>`."""
    return ", ".join(
        f"{expression} AS {quoted(f'{name}_{what}')}"
        for name, column in series
        for what, expression in part(name, column).items()
    )


def _sums(name: str, circular: Column | None) -> dict[str, str]:
    """Figures of the readings of one `every`: count, extremes, and mean with squared deviations or direction."""
    c = quoted(name)
    columns = {"n": f"count({c})", "min": f"min({c})", "max": f"max({c})"}
    if circular:
        x, y = direction(circular)
        return columns | {"x": f"avg({x})", "y": f"avg({y})"}
    return columns | {"mean": f"avg({c})", "far": f"var_pop({c}) * count({c})"}


def _centre(name: str, circular: Column | None) -> dict[str, str]:
    """A window's count and mean, from which deviations are taken."""
    n = quoted(f"{name}_n")
    mean = f"fsum({n} * {quoted(f'{name}_mean')}) / nullif(sum({n}), 0)"
    return {"total": f"sum({n})"} | ({} if circular else {"centre": mean})


def _combined(name: str, circular: Column | None) -> dict[str, str]:
    n, total = quoted(f"{name}_n"), f"any_value({quoted(f'{name}_total')})"
    columns = {"n": total, "min": f"min({quoted(f'{name}_min')})", "max": f"max({quoted(f'{name}_max')})"}
    if circular:
        turned = {axis: f"fsum({n} * {quoted(f'{name}_{axis}')}) / nullif({total}, 0)" for axis in "xy"}
        return columns | turned
    mean, centre = quoted(f"{name}_mean"), quoted(f"{name}_centre")
    far = f"fsum({quoted(f'{name}_far')} + {n} * ({mean} - {centre}) ** 2)"
    return columns | {"mean": f"any_value({centre})", "far": far}


def _figures(name: str, circular: Column | None) -> dict[str, str]:
    n, low, high = (quoted(f"{name}_{part}") for part in ("n", "min", "max"))
    if circular:
        mean, std = circular_statistics(circular, quoted(f"{name}_x"), quoted(f"{name}_y"), low, high, n)
    else:
        mean, std = quoted(f"{name}_mean"), f"CASE WHEN {n} > 1 THEN sqrt({quoted(f'{name}_far')} / ({n} - 1)) END"
    return dict(zip(FIGURES, (mean, std, low, high, f"CAST({n} AS INTEGER)"), strict=True))


def _runs(feed: Feed, months: Sequence[str], newest: datetime) -> list[tuple[int, int]]:
    """The final windows of the months as numbers [low, high), counted in `every` from 1970; neighbours are joined."""
    sliding, runs = declaration(feed), list[tuple[int, int]]()
    for month in sorted(set(months)):
        low = (month_span(month)[0] - EPOCH) // sliding.every
        high = (last_end(feed, month, newest) - sliding.size - EPOCH) // sliding.every + 1
        if high <= low:
            continue
        if runs and runs[-1][1] == low:
            low = runs.pop()[0]
        runs.append((low, high))
    return runs
