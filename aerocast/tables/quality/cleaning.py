"""Makes bronze and quarantine of some months, from raw's rows of these and the edges of their neighbours."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import duckdb

from aerocast.common.months import month_span, months_around
from aerocast.common.sql import first_number, literal, quoted
from aerocast.contracts.drift_state import Fault
from aerocast.feed.declaration import Feed
from aerocast.tables.quality import deliveries, quarantine, readings, steps, value_rules

RULES = tuple(dict.fromkeys((*readings.READING_RULES, *value_rules.VALUE_RULES)))


class Cleaned(NamedTuple):
    """Bronze and quarantine of some months, valid until the connection cleans again.

    `counts` are readings: `rows_in` of raw, of which some are `withdrawn`, in `bronze`, in `quarantine` as wholes, or
    `duplicates`, which are `same`, `completions`, `corrections` or `conflicts`; `values` in quarantine are counted
    separately. `rules` counts readings and values in quarantine by rule.
    """

    bronze: duckdb.DuckDBPyRelation
    quarantine: duckdb.DuckDBPyRelation
    counts: dict[str, int]
    rules: dict[str, int]


def source_months(feed: Feed, months: Sequence[str]) -> list[str]:
    """The months of raw that bronze of these months is made from: the step rule looks over a month's borders."""
    return months_around(months, steps.step_reach(feed), steps.step_reach(feed))


def clean(
    con: duckdb.DuckDBPyConnection,
    feed: Feed,
    raw: duckdb.DuckDBPyRelation,
    months: Sequence[str],
    now: datetime,
    faults: Sequence[Fault] = (),
) -> Cleaned:
    """Judges raw's rows of `months`; the result does not depend on how months are grouped or rows ordered.

    `raw` is a relation of `con` that holds at least `source_months(feed, months)`; `now` bounds the rule `future`;
    `faults` are all that touch these months or their `step_reach`.
    Bronze: `station`, `time`, a float64 per column in its canonical unit (null = missing, or in quarantine), `segment`,
    `flags` (`column=CODE` of the sender, `column=rule` of a value in quarantine), `month`.
    Quarantine: `quarantine.COLUMNS`, a row a reading (`column` is null) or a value.
    """
    con.execute("SET TimeZone = 'UTC'")
    raw.create_view("quality_raw", replace=True)
    have = frozenset(raw.columns)
    within = _within(months)
    con.execute(f"CREATE OR REPLACE TEMP TABLE quality_rows AS {_typed(feed, months, now, faults, have)}")
    rows_in = first_number(
        con, f"SELECT count(*) FROM quality_rows WHERE {within} AND rule IS DISTINCT FROM 'withdrawal'"
    )
    if first_number(con, "SELECT count(*) FROM quality_rows WHERE rule = 'withdrawal'"):
        deliveries.withdraw(con, "quality_raw", "quality_rows")
    live = first_number(con, f"SELECT count(*) FROM quality_rows WHERE {within}")
    _reject(con, feed, faults)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE quality_bad AS SELECT month, delivery, line, segment, station, time"
        f" FROM quality_rows WHERE rule IS NULL AND bad AND {within}"
    )
    deliveries.merge(con, feed)
    _judge_steps(con, feed, within)
    quarantine.suspects(con, feed, have)
    whole = quarantine.whole(feed, now, faults, have, _within(months, "q."))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE quality_quarantine AS {whole}"
        f" UNION ALL BY NAME {quarantine.single(feed, faults)}"
    )
    _flag(con, feed)
    columns = ", ".join(f"v{i} AS {quoted(column.name)}" for i, column in enumerate(feed.columns))
    bronze = con.sql(
        f"SELECT station, make_timestamptz(epoch_us(time)) AS time, {columns}, segment, flags, month"
        f" FROM quality_rows WHERE rule IS NULL AND {within}"
    )
    bad = con.sql('SELECT * FROM quality_quarantine ORDER BY month, station, time, "column", delivery, line')
    counts, rules = _counts(con, feed, within)
    return Cleaned(bronze, bad, {"rows_in": rows_in, "withdrawn": rows_in - live, **_duplicates(counts, live)}, rules)


def _typed(feed: Feed, months: Sequence[str], now: datetime, faults: Sequence[Fault], have: frozenset[str]) -> str:
    """Every row of these months, and those of their neighbours that the step rule looks at."""
    every = source_months(feed, months)
    beside = [month for month in every if month not in months]
    near = readings.is_near([month_span(month) for month in set(months)], steps.step_reach(feed)) or "false"
    source = (
        f"(SELECT * FROM quality_raw WHERE {_within(months)}"
        f" UNION ALL SELECT * FROM quality_raw r WHERE {_within(beside)} AND ({near}))"
    )
    return readings.typed(feed, source, every, now, faults, have)


def _reject(con: duckdb.DuckDBPyConnection, feed: Feed, faults: Sequence[Fault]) -> None:
    """Removes values that their sender rejects or a sensor fault covers; few feeds have flags, few months faults."""
    flags = first_number(con, "SELECT count(*) FROM quality_rows WHERE rule IS NULL AND flags IS NOT NULL")
    for i, column in enumerate(feed.columns):
        conditions = [readings.covers(fault) for fault in faults if fault.column == column.name]
        conditions += [value_rules.rejected(column)] if flags else []
        if conditions:
            con.execute(
                f"UPDATE quality_rows SET v{i} = NULL, bad = true"
                f" WHERE rule IS NULL AND isfinite(v{i}) AND ({' OR '.join(conditions)})"
            )


def _judge_steps(con: duckdb.DuckDBPyConnection, feed: Feed, within: str) -> None:
    """Removes values that fail the step rule; the last delivered value that passes it takes the place of each.

    All of them are judged by the same neighbours, the merged values of the readings around.
    """
    con.execute("""
        CREATE OR REPLACE TEMP TABLE quality_spikes (
            station VARCHAR, time TIMESTAMP, name VARCHAR, value DOUBLE, before DOUBLE, after DOUBLE)""")
    if not steps.stepped(feed):
        return
    con.execute(f"CREATE OR REPLACE TEMP TABLE quality_around AS {steps.neighbours(feed, 'quality_rows')}")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE quality_failed AS SELECT s.*, q.station, q.time"
        f" FROM ({steps.spikes(feed, 'quality_around')}) s JOIN quality_rows q ON q.rowid = s.id"
    )
    con.execute("INSERT INTO quality_spikes BY NAME SELECT * EXCLUDE (id) FROM quality_failed")
    for i, column in steps.stepped(feed):
        con.execute(
            f"UPDATE quality_rows SET v{i} = NULL FROM quality_failed f"
            f" WHERE quality_rows.rowid = f.id AND f.name = {literal(column.name)}"
        )
        deliveries.fall_back(con, i, column)
    _note_spikes(con, within)


def _note_spikes(con: duckdb.DuckDBPyConnection, within: str) -> None:
    """Adds every row of raw whose reading has a spike to the suspects, where its text is looked up."""
    key = "month, delivery, line, segment, station, time"
    con.execute(f"""
        INSERT INTO quality_bad
        SELECT {key} FROM quality_rows SEMI JOIN quality_spikes USING (station, time) WHERE rule IS NULL AND {within}
        UNION ALL
        SELECT {key} FROM quality_many SEMI JOIN quality_spikes USING (station, time) WHERE {within}""")


def _flag(con: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Adds to `flags` the rule by which a value that bronze lacks is in quarantine."""
    missing = " OR ".join(f'(k."column" = {literal(c.name)} AND q.v{i} IS NULL)' for i, c in enumerate(feed.columns))
    con.execute(f"""
        UPDATE quality_rows SET flags = f.flags FROM (
            SELECT q.rowid AS id, concat_ws(' ',
                nullif(array_to_string(list_filter(string_split(any_value(q.flags), ' '),
                    lambda said: NOT list_contains(list(k."column"), string_split(said, '=')[1])), ' '), ''),
                string_agg(DISTINCT k."column" || '=' || k.rule, ' ' ORDER BY k."column" || '=' || k.rule)) AS flags
            FROM quality_rows q JOIN (
                SELECT station, make_timestamp(epoch_us(time)) AS time, "column", max_by(rule, (delivery, line)) AS rule
                FROM quality_quarantine WHERE "column" IS NOT NULL GROUP BY ALL) k USING (station, time)
            WHERE q.rule IS NULL AND ({missing}) GROUP BY q.rowid) f
        WHERE quality_rows.rowid = f.id""")


def _counts(con: duckdb.DuckDBPyConnection, feed: Feed, within: str) -> tuple[dict[str, int], dict[str, int]]:
    by_rule = con.execute('SELECT rule, "column" IS NULL, count(*) FROM quality_quarantine GROUP BY ALL').fetchall()
    totals = {rule: sum(n for name, _, n in by_rule if name == rule) for rule in RULES}
    counts = {
        "bronze": first_number(con, f"SELECT count(*) FROM quality_rows WHERE rule IS NULL AND {within}"),
        "quarantine": sum(n for _, is_reading, n in by_rule if is_reading),
        "values": sum(n for _, is_reading, n in by_rule if not is_reading),
    }
    return counts | deliveries.kinds(con, feed, within), {rule: n for rule, n in totals.items() if n}


def _duplicates(counts: dict[str, int], live: int) -> dict[str, int]:
    """Adds all duplicates; identical readings in quarantine count as `same`."""
    duplicates = live - counts["bronze"] - counts["quarantine"]
    others = sum(counts[kind] for kind in deliveries.KINDS if kind != "same")
    return counts | {"duplicates": duplicates, "same": duplicates - others}


def _within(months: Sequence[str], row: str = "") -> str:
    return f"{row}month IN ({', '.join(map(literal, months))})" if months else "false"
