"""Says what the value of a step is: the mean of its readings, their sum, the newest, or what a counter counted.

A sum is whole with as many readings as are usual (`min_readings`, if that is declared): half of a day's energy would
pass for a mild day, so a step that lacks a reading has no value, and the gap policy decides. How many are usual follows
from the median interval between readings over the last `HABIT` steps; before there is one, nobody can tell.

A counter counts from the last reading before a step to the last reading in it, as `resample().last().diff()` does, so
the steps add up to what the meter counted. A fall is a new beginning (a reset, another meter): what was counted in
between is unknown, unless `max_step` says that the new total is credible as counted since zero. A return to the former
total, a rise beyond `max_step`, and readings so far apart that a step gets more or less than its own length give no
value either.

Nothing later than the end of a step decides what its value is.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from aerocast.common.sql import quoted
from aerocast.common.times import MICROSECOND
from aerocast.feed.column import Column
from aerocast.feed.declaration import Feed

HABIT = 24  # steps that say how many readings are usual
RETURN = 4  # steps in which a counter may return to the total it fell from
_COUNTER_SUMS = {"difference": "sum", "unknown": "bool_or", "before": "min", "at": "max"}
JITTER = 0.25  # part of the usual interval by which a reading may come early or late


@dataclass(frozen=True)
class Terms:
    """SQL of one column: of each reading, sums over readings, totals of such sums, and the value from these."""

    value: str
    readings: list[str] = field(default_factory=list)
    sums: list[str] = field(default_factory=list)
    totals: list[str] = field(default_factory=list)


def value_name(feed: Feed, name: str) -> str:
    """The figure of a series that is its value."""
    averages = {column.name: column.is_averaged for column in feed.columns}
    return f"{name}_mean" if averages.get(name, True) else f"{name}_value"


def reach(feed: Feed) -> timedelta:
    """How far before a step readings decide on its value."""
    steps = max((_reach(column) for column in feed.columns), default=0)
    return steps * feed.cadence


def _reach(column: Column) -> int:
    # Two steps more than are looked at: the interval before the first reading counts, too.
    return {"sum": 0 if column.min_readings else 2 * HABIT + 2, "counter": RETURN + 2}.get(column.quantity, 0)


def readings(feed: Feed, rows: str) -> str:
    """The readings of `rows`, each with what the values of sums and counters need to know of those before it."""
    step = feed.cadence // MICROSECOND
    names = {at: quoted(column.name) for at, column in enumerate(feed.columns)}
    counters = [at for at, column in enumerate(feed.columns) if column.quantity == "counter"]
    sums = [at for at, column in enumerate(feed.columns) if column.quantity == "sum" and not column.min_readings]
    if not counters and not sums:
        return rows
    instants = {at: f'CASE WHEN {names[at]} IS NOT NULL THEN "us:" END' for at in (*counters, *sums)}
    before = [f'lag({instants[at]} IGNORE NULLS) OVER earlier AS "before:{at}"' for at in instants]
    before += [f'lag({names[at]} IGNORE NULLS) OVER earlier AS "previous:{at}"' for at in counters]
    spans = [
        f'max({names[at]}) OVER (PARTITION BY station ORDER BY "us:" RANGE BETWEEN {RETURN * step} PRECEDING'
        f' AND 1 PRECEDING) AS "highest:{at}"'
        for at in counters
    ]
    # An interval counts where both of its readings are within reach, whatever else is loaded.
    window = f'PARTITION BY station ORDER BY "us:" RANGE BETWEEN {HABIT * step} PRECEDING AND CURRENT ROW'
    for at in sums:
        interval = f'"us:" - "before:{at}"'
        is_near = f"{names[at]} IS NOT NULL AND {interval} <= {HABIT * step}"
        interval = f"CASE WHEN {is_near} THEN least({interval}, {step}) END"
        spans.append(f'quantile_disc({interval}, 0.5) OVER ({window}) AS "usual:{at}"')
    return f"""(SELECT *, {", ".join(spans)} FROM (
        SELECT *, {", ".join(before)} FROM (SELECT *, epoch_us(time) AS "us:" FROM {rows})
        WINDOW earlier AS (PARTITION BY station ORDER BY "us:")))"""


def terms(feed: Feed, i: int, column: Column, mean: str, parts: str, length: timedelta, span: str) -> Terms:
    """The SQL of the value of a column over windows of `length`, in the names of `silver.spreads`.

    `mean` is the SQL of the mean, `parts` of how many parts a unit has in the sums, and `span` of a window's own length
    in microseconds.
    """
    if column.quantity == "sum":
        return _sum(feed, i, column, parts, length, span)
    own = {"counter": _counter, "last": _last}.get(column.quantity)
    if own:
        return own(feed, i, column, parts, length)
    figure = {"min": f"low{i}", "max": f"high{i}"}.get(column.quantity, mean)
    return Terms(f"CASE WHEN n{i} >= {_fewest(feed, column, length)} THEN {figure} END")


def _fewest(feed: Feed, column: Column, length: timedelta) -> int:
    """The fewest readings of a window that has a value, where that is declared for a step."""
    return max(1, -int(-(column.min_readings or 1) * length // feed.cadence))


def _instant(column: Column, i: int) -> str:
    return f"CASE WHEN {quoted(column.name)} IS NOT NULL THEN epoch_us(time) END AS at{i}"


def _last(feed: Feed, i: int, column: Column, parts: str, length: timedelta) -> Terms:
    value = f"CASE WHEN n{i} >= {_fewest(feed, column, length)} THEN last{i} END"
    sums = [f"arg_max(v{i}, at{i}) AS last{i}", f"max(at{i}) AS at{i}"]
    return Terms(value, [_instant(column, i)], sums, [f"arg_max(last{i}, at{i}) AS last{i}", f"max(at{i}) AS at{i}"])


def _sum(feed: Feed, i: int, column: Column, parts: str, length: timedelta, span: str) -> Terms:
    if column.min_readings:
        return Terms(f"CASE WHEN n{i} >= {_fewest(feed, column, length)} THEN s{i} / {parts} END")
    usual = f"greatest(1, floor({span} / usual{i} + {JITTER}))"
    value = f"CASE WHEN usual{i} IS NOT NULL AND n{i} >= {usual} THEN s{i} / {parts} END"
    newest = [f"arg_max(usual{i}, at{i}) AS usual{i}", f"max(at{i}) AS at{i}"]
    return Terms(value, [_instant(column, i), f'"usual:{i}" AS usual{i}'], newest, newest)


def _counter(feed: Feed, i: int, column: Column, parts: str, length: timedelta) -> Terms:
    shortest, longest = ((1 + sign * JITTER) * (length // MICROSECOND) for sign in (-1, 1))
    difference = _difference(feed, i, column, parts)
    sums = [f"{total}({name}{i}) AS {name}{i}" for name, total in _COUNTER_SUMS.items()]
    value = (
        f"CASE WHEN NOT unknown{i} AND at{i} - before{i} BETWEEN {shortest} AND {longest}"
        f" THEN difference{i} / {parts} END"
    )
    readings = [
        _instant(column, i),
        f'"before:{i}" AS before{i}',
        f"{difference} AS difference{i}",
        f"{quoted(column.name)} IS NOT NULL AND ({difference}) IS NULL AS unknown{i}",
    ]
    return Terms(value, readings, sums, sums)


def _difference(feed: Feed, i: int, column: Column, parts: str) -> str:
    """What was counted since the reading before, in parts; null where that is unknown."""
    now, before, highest, most = quoted(column.name), f'"previous:{i}"', f'"highest:{i}"', column.max_step
    longest = (1 + JITTER) * (feed.cadence // MICROSECOND)
    newest, total = (f"CAST({number} * {parts} AS BIGINT)" for number in (now, before))
    cases = [f'WHEN "before:{i}" IS NULL OR epoch_us(time) - "before:{i}" > {longest} THEN NULL']
    if most is not None:
        cases.append(f"WHEN {now} < {before} AND {now} BETWEEN 0 AND {most!r} THEN {newest}")
        cases.append(f"WHEN {now} - {before} > {most!r} THEN NULL")
    cases.append(f"WHEN {now} < {before} OR ({before} < {highest} AND {now} >= {highest}) THEN NULL")
    return f"CASE {' '.join(cases)} ELSE {newest} - {total} END"
