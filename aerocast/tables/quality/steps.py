"""The step rule: finds values that jump away from values before and after them, while few near them agree.

A front moves once and does not come back, so it passes, and so does a whole span on a new level. Runs of up to
REACH bad values are found; a good value between two bad ones has more similar values around it than they have. Each
column is judged alone, by its values that passed the other rules.
"""

from datetime import timedelta

from aerocast.common.sql import literal
from aerocast.common.times import MICROSECOND
from aerocast.common.units import conversion
from aerocast.feed.column import Column
from aerocast.feed.declaration import Feed

# How many values, and how many steps of the cadence, the rule looks back and ahead.
REACH = 3
# A range just under a column's step counts as one over it: sums and differences round differently.
_SURELY = 0.999

_Stepped = list[tuple[int, Column]]


def step_reach(feed: Feed) -> timedelta:
    """How far before and after a value the step rule looks."""
    return REACH * feed.cadence


def stepped(feed: Feed) -> _Stepped:
    """The columns with a largest step, by index."""
    return [(i, column) for i, column in enumerate(feed.columns) if column.max_step is not None]


def neighbours(feed: Feed, rows: str) -> str:
    """A select of the rows of table `rows` that may fail: `id` (rowid), and of each stepped column its neighbours.

    `rows` holds station, time, and a double a column (`v0`, `v1` ...), null for nothing; none may be infinite.
    """
    columns = stepped(feed)
    near = step_reach(feed) // MICROSECOND
    sides = [side for i, _ in columns for side in _sides(i, f"v{i}", near)]
    values = ", ".join(f"v{i} AS v_{i}" for i, _ in columns)
    # A cheap test, which few rows pass; only those are judged.
    around = {i: f"v_{i}, {_side('b', i)}, {_side('a', i)}" for i, _ in columns}
    unlike = " OR ".join(f"greatest({around[i]}) - least({around[i]}) > {_less(column)}" for i, column in columns)
    return f"""
        {_restless(rows, columns, near)}
        SELECT * FROM (
            SELECT id, {values}, {", ".join(sides)} FROM good SEMI JOIN restless USING (station, span)
            WINDOW w AS (PARTITION BY station ORDER BY us)) WHERE {unlike}"""


def spikes(feed: Feed, around: str) -> str:
    """A select of the values in `around` (`neighbours`) that fail: `id`, `name`, `value`, `before`, `after`."""
    return " UNION ALL ".join(
        f"SELECT id, {literal(column.name)} AS name, v_{i} AS value, {beside('b', i)} AS before,"
        f" {beside('a', i)} AS after FROM {around} WHERE {jumps(column, i)}"
        for i, column in stepped(feed)
    )


def beside(letter: str, i: int) -> str:
    """The nearest value before (`b`) or after (`a`)."""
    return f"coalesce({_side(letter, i)})"


def _sides(i: int, value: str, near: int) -> list[str]:
    """The REACH values before and after, null where they are too far; rows without the value do not count."""
    at = f"CASE WHEN {value} IS NOT NULL THEN us END"
    sides = []
    for k in range(1, REACH + 1):
        for letter, way, since in (("b", "lag", "us - {}"), ("a", "lead", "{} - us")):
            distance = since.format(f"{way}({at}, {k} IGNORE NULLS) OVER w")
            sides.append(
                f"CASE WHEN {distance} <= {near} THEN {way}({value}, {k} IGNORE NULLS) OVER w END AS {letter}{k}_{i}"
            )
    return sides


def _restless(rows: str, columns: _Stepped, near: int) -> str:
    """WITH `good` readings and the `restless` spans, outside of which neither they nor their neighbours can jump.

    A jump by more than a column's step needs neighbours within the reach that are that far apart. Spans are as long as
    the reach, so that a reading's neighbours lie in its own and in those beside it.
    """
    names = {i: f"v{i}" for i, _ in columns}
    extremes = ", ".join(f"min({name}) AS low_{i}, max({name}) AS high_{i}" for i, name in names.items())
    wide = " OR ".join(f"max(high_{i}) - min(low_{i}) > {_less(c)}" for i, c in columns)
    shifts = "(VALUES (-1), (0), (1)) shifts(shift)"
    return f"""
        WITH good AS (
            SELECT rowid AS id, station, epoch_us(time) AS us, us // {near} AS span, {", ".join(names.values())}
            FROM {rows} WHERE rule IS NULL),
        spans AS (SELECT station, span, {extremes} FROM good GROUP BY ALL),
        wide AS (
            SELECT station, span + shift AS span FROM spans, {shifts} GROUP BY ALL HAVING {wide}),
        restless AS (SELECT DISTINCT station, span + shift AS span FROM wide, {shifts})"""


def _less(column: Column) -> str:
    """Just under the column's step."""
    return repr((column.max_step or 0) * _SURELY)


def _side(letter: str, i: int) -> str:
    return ", ".join(f"{letter}{k}_{i}" for k in range(1, REACH + 1))


def jumps(column: Column, i: int) -> str:
    """The step rule on one column: its value is `v_i`, its neighbours are `b1_i ..` before and `a1_i ..` after."""
    before, after, step, value = _side("b", i), _side("a", i), repr(column.max_step), f"v_{i}"
    around = [*before.split(", "), *after.split(", ")]
    if column.circular:
        factor, _ = conversion("degree", column.unit)
        turn = 360 * factor
        far = {n: f"abs(({value} - {n} + {1.5 * turn!r}) % {turn!r} - {0.5 * turn!r}) > {step}" for n in around}
        is_jump = " AND ".join(f"({' OR '.join(far[n] for n in side.split(', '))})" for side in (before, after))
    else:
        far = {n: f"abs({value} - {n}) > {step}" for n in around}
        up = " AND ".join(f"{value} > least({side}) + {step}" for side in (before, after))
        down = " AND ".join(f"{value} < greatest({side}) - {step}" for side in (before, after))
        is_jump = f"({up} OR {down})"
    votes = " + ".join(f"coalesce(CASE WHEN {far[n]} THEN 1 ELSE -1 END * ({n} IS NOT NULL)::INT, 0)" for n in around)
    return f"{is_jump} AND {votes} > 0"
