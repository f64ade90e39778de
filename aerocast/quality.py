"""Raw -> bronze and quarantine: one row per (station, time), typed, in canonical units; what fails is kept apart.

Duplicates go first (the last delivery wins), then every survivor is judged. Rules, in this order, the first that fails
is the row's: `unparseable`, `unknown_station`, `future`, `early`, `rejected` (by its sender), `range`, `sensor_fault`,
`step`. A missing value is no fault. A reading of a sensor that is known to be at fault is no neighbour either when
steps are judged.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import duckdb

from aerocast.drift.state import Fault
from aerocast.feed import Column, Feed
from aerocast.marks import Edges
from aerocast.months import month_span, months_around
from aerocast.sources.base import raw_names
from aerocast.sql import literal, quoted
from aerocast.units import conversion

RULES = ("unparseable", "unknown_station", "future", "early", "rejected", "range", "sensor_fault", "step")

# How many readings, and how many steps of the cadence, the step rule looks back and ahead.
REACH = 3
REJECTED = "X"  # the sender's own mark of a value that it does not believe
_SHOWN = 60
# A range just under a column's step counts as one over it: sums and differences round differently.
_SURELY = 0.999


class Cleaned(NamedTuple):
    """Bronze and quarantine of the asked months, valid until the connection cleans again; `rules` counts by rule."""

    bronze: duckdb.DuckDBPyRelation
    quarantine: duckdb.DuckDBPyRelation
    counts: dict[str, int]
    rules: dict[str, int]


class Audit(NamedTuple):
    """The books of some months: what came in, and where it went. Duplicates are counted from raw alone."""

    rows_in: int
    bronze: int
    quarantine: int
    duplicates: int

    @property
    def balanced(self) -> bool:
        return self.rows_in == self.bronze + self.quarantine + self.duplicates


def months_read(feed: Feed, months: Sequence[str]) -> list[str]:
    """The months of raw that bronze of these months is made of: the step rule looks over a month's borders."""
    return months_around(months, reach(feed), reach(feed))


def reach(feed: Feed) -> timedelta:
    """How far over a month's borders its result depends on readings, and on faults."""
    return REACH * feed.cadence


def edges(feed: Feed) -> Edges:
    """Raw's rows over a month's borders that its neighbours read: whoever appends to raw tells the lake of them."""
    return Edges(reach(feed), reach(feed))


def clean(
    con: duckdb.DuckDBPyConnection,
    feed: Feed,
    raw: duckdb.DuckDBPyRelation,
    months: Sequence[str],
    now: datetime,
    faults: Sequence[Fault] = (),
) -> Cleaned:
    """Judges raw's rows of `months`; the result does not depend on how months are grouped or rows ordered.

    `raw` is a relation of `con` that holds at least `months_read(feed, months)`; `now` bounds the rule `future`;
    `faults` are all that touch these months or their `reach`.
    Bronze: `station`, `time`, a float64 per column in its canonical unit (null = missing), `segment`, `flags`, `month`.
    Quarantine: raw's columns, `rule` and `reason`.
    """
    con.execute("SET TimeZone = 'UTC'")
    raw.create_view("quality_raw", replace=True)
    flags = "r.flags" if "flags" in raw.columns else "NULL::VARCHAR"  # a raw table of an older home has none
    con.execute(f"CREATE OR REPLACE TEMP TABLE quality_rows AS {_judged(feed, months, now, faults, flags)}")
    rows_in = _count(con, f"SELECT count(*) FROM quality_rows WHERE {_within(months)}")
    _drop_duplicates(con, feed)
    _judge_steps(con, feed)
    columns = ", ".join(quoted(column.name) for column in feed.columns)
    bronze = con.sql(
        f"SELECT station, make_timestamptz(epoch_us(time)) AS time, {columns}, segment, flags, month"
        f" FROM quality_rows WHERE rule IS NULL AND {_within(months)}"
    )
    quarantine = con.sql(
        f"SELECT r.*, q.rule, {_reason(feed, now, faults)} AS reason FROM quality_raw r"
        " JOIN quality_rows q ON r.delivery = q.delivery AND r.line = q.line AND r.segment = q.segment"
        " LEFT JOIN quality_steps s ON s.id = q.rowid"
        f" WHERE q.rule IS NOT NULL AND {_within(months, 'q.month')} AND {_within(months, 'r.month')}"
        " ORDER BY r.month, r.station, r.time, r.delivery, r.line"
    )
    judged = dict(
        con.sql(f"SELECT coalesce(rule, ''), count(*) FROM quality_rows WHERE {_within(months)} GROUP BY 1").fetchall()
    )
    rules = {rule: judged[rule] for rule in RULES if rule in judged}
    counts = {"rows_in": rows_in, "bronze": judged.get("", 0), "quarantine": sum(rules.values())}
    return Cleaned(bronze, quarantine, counts | {"duplicates": rows_in - sum(judged.values())}, rules)


def audit(
    con: duckdb.DuckDBPyConnection,
    feed: Feed,
    raw: duckdb.DuckDBPyRelation,
    bronze: duckdb.DuckDBPyRelation,
    quarantine: duckdb.DuckDBPyRelation,
) -> Audit:
    """Counts the rows of three relations over the same months; duplicates are found in raw, not inferred."""
    texts = ", ".join(quoted(name) for name in raw_names(feed).values())
    raw.create_view("audit_raw", replace=True)
    rows_in = _count(con, "SELECT count(*) FROM audit_raw")
    timed = "SELECT DISTINCT month, station, time FROM audit_raw WHERE time IS NOT NULL"
    untimed = f"SELECT DISTINCT month, station, time_text, {texts} FROM audit_raw WHERE time IS NULL"
    distinct = _count(con, f"SELECT (SELECT count(*) FROM ({timed})) + (SELECT count(*) FROM ({untimed}))")
    kept = [relation.aggregate("count(*)").fetchall()[0][0] for relation in (bronze, quarantine)]
    return Audit(rows_in, kept[0], kept[1], rows_in - distinct)


def _judged(feed: Feed, months: Sequence[str], now: datetime, faults: Sequence[Fault], flags: str) -> str:
    """A select of typed rows with the first rule that fails of those that need no other row."""
    wanted = sorted(set(months))
    beside = [month for month in months_read(feed, wanted) if month not in wanted]
    spans = [(start - reach(feed), end + reach(feed)) for start, end in map(month_span, wanted)]
    near = " OR ".join(
        f"(r.time >= {_time(start)}::TIMESTAMPTZ AND r.time < {_time(end)}::TIMESTAMPTZ)"
        for start, end in _merged(spans)
    )
    borders = ", ".join(
        f"({literal(month)}, {', '.join(_time(t) for t in month_span(month))})" for month in months_read(feed, wanted)
    )
    values = ", ".join(f"{_value(feed, column)} AS {quoted(column.name)}" for column in feed.columns)
    names = [quoted(column.name) for column in feed.columns]
    nonsense = " OR ".join(["time IS NULL", *(f"NOT isfinite({name})" for name in names)])
    outside = " OR ".join(
        f"{name} < {column.range[0]!r} OR {name} > {column.range[1]!r}"
        for name, column in zip(names, feed.columns, strict=True)
    )
    broken = " OR ".join(_broken(feed, fault) for fault in faults) or "false"
    rejected = " OR ".join(_rejected(column) for column in feed.columns)
    return f"""
        SELECT * EXCLUDE (low, high), CASE
            WHEN {nonsense} THEN 'unparseable'
            WHEN station IS NULL OR station NOT IN ({", ".join(map(literal, feed.station_ids))}) THEN 'unknown_station'
            WHEN time > {_time(_latest(feed, now))} OR time >= high THEN 'future'
            WHEN time < {_time(feed.start)} OR time < low THEN 'early'
            WHEN flags IS NOT NULL AND ({rejected}) THEN 'rejected'
            WHEN {outside} THEN 'range'
            WHEN {broken} THEN 'sensor_fault' END AS rule
        FROM (
            SELECT r.month, r.station, make_timestamp(epoch_us(r.time)) AS time, r.delivery, r.line, r.segment,
                {flags} AS flags, {values}, b.low, b.high
            FROM (
                SELECT * FROM quality_raw WHERE {_within(wanted)}
                UNION ALL SELECT * FROM quality_raw r WHERE {_within(beside)} AND ({near})
            ) r JOIN (VALUES {borders}) b(month, low, high) ON r.month = b.month)"""


def _rejected(column: Column, row: str = "") -> str:
    """Whether the sender of a typed row does not believe its value of this column."""
    said = f"list_contains(string_split({row}flags, ' '), {literal(f'{column.name}={REJECTED}')})"
    return f"({row}{quoted(column.name)} IS NOT NULL AND {said})"


def _broken(feed: Feed, fault: Fault, row: str = "") -> str:
    """Whether a typed row is one that the fault spoils: without a value in its column there is nothing to doubt."""
    until = f" AND {row}time < {_time(fault.end)}" if fault.end else ""
    known = fault.column in {column.name for column in feed.columns}
    measured = f" AND {row}{quoted(fault.column)} IS NOT NULL" if known else ""
    return f"({row}station = {literal(fault.station)} AND {row}time >= {_time(fault.start)}{until}{measured})"


def _value(feed: Feed, column: Column) -> str:
    """A text in canonical unit: null if missing, NaN (judged `unparseable`) if it is no number."""
    text = f"r.{quoted(raw_names(feed)[column.field])}"
    factor, offset = conversion(column.source_unit, column.unit)
    number = f"coalesce(TRY_CAST({text} AS DOUBLE), 'nan'::DOUBLE)"
    number += f" * {factor!r}" if factor != 1 else ""
    number += f" + {offset!r}" if offset else ""
    missing = ", ".join(map(literal, feed.source.missing))
    absent = f"{text} IS NULL" + (f" OR {text} IN ({missing})" if missing else "")
    return f"CASE WHEN {absent} THEN NULL ELSE {number} END"


def _drop_duplicates(con: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Keeps the last delivered row of each (station, time); rows without a time are equal only if every text is."""
    key = "hash(q.month, q.station, q.time)"  # of few rows that share it, the windows below look at all
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE quality_twice AS SELECT {key} AS key FROM quality_rows q"
        " GROUP BY 1 HAVING count(*) > 1"
    )
    if not _count(con, "SELECT count(*) FROM quality_twice"):
        return
    texts = ", ".join(f"r.{quoted(name)}" for name in ["time_text", *raw_names(feed).values()])
    newest = "ORDER BY q.delivery DESC, q.line DESC, q.segment DESC"
    con.execute(f"""
        DELETE FROM quality_rows WHERE rowid IN (
            SELECT q.rowid FROM quality_rows q SEMI JOIN quality_twice t ON {key} = t.key WHERE q.time IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY q.month, q.station, q.time {newest}) > 1
            UNION ALL
            SELECT q.rowid FROM quality_rows q JOIN quality_raw r
                ON r.delivery = q.delivery AND r.line = q.line AND r.segment = q.segment AND r.month = q.month
            WHERE q.time IS NULL
            QUALIFY row_number() OVER (PARTITION BY q.month, q.station, {texts} {newest}) > 1)""")


def _judge_steps(con: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Marks readings that jump up and back: away from a reading before and from one after, and few near it agree.

    A front moves once and does not come back, so it passes, and so does a whole span on a new level. Runs of up to
    REACH bad readings are found; a good reading between two bad ones has more friends around it than they have.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE quality_steps AS {_steps(feed)}")
    con.execute("UPDATE quality_rows SET rule = 'step' WHERE rowid IN (SELECT id FROM quality_steps)")


def _steps(feed: Feed) -> str:
    """A select of the rows that fail the step rule: which column, and what stood before and after it."""
    columns = [(i, column) for i, column in enumerate(feed.columns) if column.max_step is not None]
    if not columns:
        return "SELECT 0 AS id, '' AS name, 0.0 AS before, 0.0 AS after WHERE false"
    near = reach(feed) // timedelta(microseconds=1)
    sides = []
    for k in range(1, REACH + 1):
        for i, column in columns:
            value = quoted(column.name)
            sides.append(f"CASE WHEN us - lag(us, {k}) OVER w <= {near} THEN lag({value}, {k}) OVER w END AS b{k}_{i}")
            sides.append(
                f"CASE WHEN lead(us, {k}) OVER w - us <= {near} THEN lead({value}, {k}) OVER w END AS a{k}_{i}"
            )
    values = ", ".join(f"{quoted(column.name)} AS v_{i}" for i, column in columns)
    # Cheap, and true of few rows, which alone are then judged.
    around = {i: f"v_{i}, {_side('b', i)}, {_side('a', i)}" for i, _ in columns}
    unlike = " OR ".join(f"greatest({around[i]}) - least({around[i]}) > {_less(column)}" for i, column in columns)
    first = " ".join(f"WHEN {_jumps(column, i)} THEN {i}" for i, column in columns)
    picked = [
        " ".join(f"WHEN {i} THEN {text}" for i, text in side)
        for side in (
            [(i, literal(column.name)) for i, column in columns],
            [(i, f"coalesce({_side('b', i)})") for i, _ in columns],
            [(i, f"coalesce({_side('a', i)})") for i, _ in columns],
        )
    ]
    return f"""
        {_restless(feed, columns)}
        SELECT id, CASE which {picked[0]} END AS name,
            CASE which {picked[1]} END AS before, CASE which {picked[2]} END AS after
        FROM (SELECT *, CASE {first} END AS which FROM (
            SELECT id, {values}, {", ".join(sides)} FROM good SEMI JOIN restless USING (station, span)
            WINDOW w AS (PARTITION BY station ORDER BY us))
            WHERE {unlike})
        WHERE which IS NOT NULL"""


def _restless(feed: Feed, columns: list[tuple[int, Column]]) -> str:
    """WITH `good` readings and the `restless` spans in which alone one of them, or a neighbour of one, can jump.

    A jump by more than a column's step needs neighbours within the reach that are that far apart. Spans are as long as
    the reach, so that a reading's neighbours lie in its own and in those beside it.
    """
    span = reach(feed) // timedelta(microseconds=1)
    names = {i: quoted(column.name) for i, column in columns}
    extremes = ", ".join(f"min({name}) AS low_{i}, max({name}) AS high_{i}" for i, name in names.items())
    wide = " OR ".join(f"max(high_{i}) - min(low_{i}) > {_less(c)}" for i, c in columns)
    beside = "(VALUES (-1), (0), (1)) beside(shift)"
    return f"""
        WITH good AS (
            SELECT rowid AS id, station, epoch_us(time) AS us, us // {span} AS span, {", ".join(names.values())}
            FROM quality_rows WHERE rule IS NULL),
        spans AS (SELECT station, span, {extremes} FROM good GROUP BY ALL),
        wide AS (
            SELECT station, span + shift AS span FROM spans, {beside} GROUP BY ALL HAVING {wide}),
        restless AS (SELECT DISTINCT station, span + shift AS span FROM wide, {beside})"""


def _less(column: Column) -> str:
    """Just under the column's step."""
    return repr((column.max_step or 0) * _SURELY)


def _side(letter: str, i: int) -> str:
    return ", ".join(f"{letter}{k}_{i}" for k in range(1, REACH + 1))


def _jumps(column: Column, i: int) -> str:
    """The step rule on one column, whose neighbours are `b1_i ..` before and `a1_i ..` after."""
    before, after, step, value = _side("b", i), _side("a", i), repr(column.max_step), f"v_{i}"
    around = [*before.split(", "), *after.split(", ")]
    if column.circular:
        factor, _ = conversion("degree", column.unit)
        turn = 360 * factor
        far = {n: f"abs(({value} - {n} + {1.5 * turn!r}) % {turn!r} - {0.5 * turn!r}) > {step}" for n in around}
        jumped = " AND ".join(f"({' OR '.join(far[n] for n in side.split(', '))})" for side in (before, after))
    else:
        far = {n: f"abs({value} - {n}) > {step}" for n in around}
        up = " AND ".join(f"{value} > least({side}) + {step}" for side in (before, after))
        down = " AND ".join(f"{value} < greatest({side}) - {step}" for side in (before, after))
        jumped = f"({up} OR {down})"
    votes = " + ".join(f"coalesce(CASE WHEN {far[n]} THEN 1 ELSE -1 END * ({n} IS NOT NULL)::INT, 0)" for n in around)
    return f"{jumped} AND {votes} > 0"


def _reason(feed: Feed, now: datetime, faults: Sequence[Fault]) -> str:
    """A sentence that names the field, the value and the rule, for a row `r` of raw judged as `q`, with step `s`."""
    time, station = feed.source.time_field, feed.source.station_field
    cases = {
        "q.rule = 'unparseable' AND q.time IS NULL": _sentence(
            f'{time} "{{}}" is not a time in ISO 8601 (rule unparseable)', f"left(r.time_text, {_SHOWN})"
        ),
        "q.rule = 'unknown_station'": _sentence(
            f'{station} "{{}}" is none of the {len(feed.stations)} declared stations (rule unknown_station)',
            f"left(coalesce(r.station, ''), {_SHOWN})",
        ),
        "q.rule = 'future'": _sentence(
            f'{time} "{{}}" is later than {_latest(feed, now):%Y-%m-%dT%H:%MZ}, or than the month {{}}, with'
            " which it came (rule future)",
            "r.time_text, r.month",
        ),
        "q.rule = 'early'": _sentence(
            f'{time} "{{}}" is before {feed.start:%Y-%m-%dT%H:%MZ} or before the month {{}}, with which it came'
            " (rule early)",
            "r.time_text, r.month",
        ),
    }
    for column in feed.columns:
        text = f"left(r.{quoted(raw_names(feed)[column.field])}, {_SHOWN})"
        told = f'{column.name} "{{}}" was rejected by its sender, code {REJECTED} (rule rejected)'
        cases[f"q.rule = 'rejected' AND {_rejected(column, 'q.')}"] = _sentence(told, text)
    for fault in faults:
        span = f"from {fault.start:%Y-%m-%dT%H:%MZ} " + (f"to {fault.end:%Y-%m-%dT%H:%MZ}" if fault.end else "on")
        told = f"{fault.column} of {fault.station} is not to be believed {span}: {fault.kind} (rule sensor_fault)"
        cases[f"q.rule = 'sensor_fault' AND {_broken(feed, fault, 'q.')}"] = literal(told)
    for column in feed.columns:
        cases |= _column_reasons(feed, column)
    return f"CASE {' '.join(f'WHEN {case} THEN {sentence}' for case, sentence in cases.items())} END"


def _column_reasons(feed: Feed, column: Column) -> dict[str, str]:
    value, text = f"q.{quoted(column.name)}", f"r.{quoted(raw_names(feed)[column.field])}"
    called = column.name if column.name == column.field else f"{column.name} ({column.field})"
    low, high = column.range
    return {
        f"q.rule = 'unparseable' AND NOT isfinite({value})": _sentence(
            f'{called} "{{}}" is not a number (rule unparseable)', f"left({text}, {_SHOWN})"
        ),
        f"q.rule = 'range' AND ({value} < {low!r} OR {value} > {high!r})": _sentence(
            f"{called} is {{:g}} {column.unit}, outside {low:g} to {high:g} {column.unit} (rule range)", value
        ),
        f"q.rule = 'step' AND s.name = {literal(column.name)}": _sentence(
            f"{called} is {{:g}} {column.unit}, a jump and back by more than {column.max_step or 0:g} {column.unit}:"
            f" {{:g}} before and {{:g}} after (rule step)",
            f"{value}, s.before, s.after",
        ),
    }


def _sentence(template: str, values: str) -> str:
    return f"format({literal(template)}, {values})"


def _latest(feed: Feed, now: datetime) -> datetime:
    """The newest credible time: one step after the feed's clock."""
    return feed.clock(now) + feed.cadence


def _within(months: Sequence[str], column: str = "month") -> str:
    return f"{column} IN ({', '.join(map(literal, months))})" if months else "false"


def _merged(spans: list[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Ascending spans with those that touch or overlap joined."""
    merged: list[tuple[datetime, datetime]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def _time(time: datetime) -> str:
    """An instant as an SQL literal."""
    return f"TIMESTAMP '{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"


def _count(con: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(con.sql(query).fetchall()[0][0])
