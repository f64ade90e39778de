"""Merges several deliveries of one reading: which are withdrawn, and which value of each column counts.

Works on `quality_rows` (`readings.typed`), in which values that fail a rule are null already.
"""

import duckdb

from aerocast.common.sql import literal
from aerocast.feed.column import Column
from aerocast.feed.declaration import Feed
from aerocast.tables.quality.steps import beside, jumps
from aerocast.tables.quality.value_rules import WITHDRAWN
from aerocast.tables.raw import WITHDRAWAL

KINDS = ("same", "completions", "corrections", "conflicts")
_ORDER = "delivery, line, segment"


def withdraw(con: duckdb.DuckDBPyConnection, raw: str, rows: str) -> None:
    """Deletes from table `rows` the withdrawals, and what each of them takes back in view `raw`.

    A withdrawal takes back what its source delivered before of this station and time, in the same month of raw.
    """
    con.execute(f"""
        DELETE FROM {rows} USING (
            SELECT r.month, r.delivery, r.line, r.segment FROM {raw} r JOIN (
                SELECT month, source, station, time_text, max((delivery, line)) AS upto FROM {raw}
                WHERE flags = {literal(WITHDRAWAL)} GROUP BY ALL) w
                ON r.month = w.month AND r.source = w.source AND r.station IS NOT DISTINCT FROM w.station
                    AND r.time_text IS NOT DISTINCT FROM w.time_text AND (r.delivery, r.line) <= w.upto) g
        WHERE {rows}.month = g.month AND {rows}.delivery = g.delivery AND {rows}.line = g.line
            AND {rows}.segment = g.segment""")


def merge(con: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Makes one row of `quality_rows` for each (station, time), with the last value of each column.

    `quality_many` keeps the rows of those that were delivered several times.
    """
    key = "hash(station, time)"  # the next query compares the few readings that share it
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE quality_twice AS SELECT {key} AS key FROM quality_rows WHERE rule IS NULL"
        " GROUP BY 1 HAVING count(*) > 1"
    )
    same = "PARTITION BY station, time"
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE quality_many AS
        SELECT * FROM (
            SELECT q.*, q.rowid AS id, row_number() OVER ({same} ORDER BY {_ORDER}) AS turn,
                count(*) OVER ({same}) AS of
            FROM quality_rows q SEMI JOIN quality_twice t ON {key} = t.key WHERE rule IS NULL)
        WHERE of > 1""")
    con.execute("DELETE FROM quality_rows WHERE rowid IN (SELECT id FROM quality_many)")
    values = ", ".join(f"arg_max(v{i}, turn) AS v{i}" for i in range(len(feed.columns)))
    con.execute(f"""
        INSERT INTO quality_rows BY NAME
        SELECT month, station, time, max_by(delivery, turn) AS delivery, max_by(line, turn) AS line,
            max_by(segment, turn) AS segment, {_flags(feed)} AS flags, {values}, NULL AS rule, false AS bad
        FROM quality_many GROUP BY month, station, time""")
    for i in range(len(feed.columns)) if feed.source.withdrawn else ():
        con.execute(f"UPDATE quality_rows SET v{i} = NULL WHERE v{i} = {WITHDRAWN}")


def fall_back(con: duckdb.DuckDBPyConnection, i: int, column: Column) -> None:
    """Replaces a value of column `i` that failed the step rule (`quality_failed`) by the last other one that passes.

    Those that were delivered after that one fail it, too, and are added to `quality_spikes`. All of them have the
    neighbours of the first (`quality_around`).
    """
    name = literal(column.name)
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE quality_others AS
        SELECT *, max(CASE WHEN NOT fails THEN last END) OVER (PARTITION BY id) AS chosen FROM (
            SELECT *, isfinite(v_{i}) AND coalesce({jumps(column, i)}, false) AS fails FROM (
                SELECT a.* EXCLUDE (v_{i}), n.station, n.time, m.v{i} AS v_{i}, max(m.turn) AS last
                FROM quality_failed n JOIN quality_many m ON m.station = n.station AND m.time = n.time
                    JOIN quality_around a ON a.id = n.id
                WHERE n.name = {name} AND m.v{i} IS DISTINCT FROM n.value GROUP BY ALL)
            WHERE v_{i} IS NOT NULL)""")
    con.execute(f"""
        INSERT INTO quality_spikes BY NAME
        SELECT station, time, {name} AS name, v_{i} AS value, {beside("b", i)} AS before, {beside("a", i)} AS after
        FROM quality_others WHERE fails AND (chosen IS NULL OR last > chosen)""")
    con.execute(f"""
        UPDATE quality_rows SET v{i} = o.v_{i} FROM quality_others o
        WHERE quality_rows.rowid = o.id AND o.last = o.chosen AND isfinite(o.v_{i})""")


def kinds(con: duckdb.DuckDBPyConnection, feed: Feed, months: str) -> dict[str, int]:
    """Counts the deliveries after the first one of a reading by kind, in rows that `months` (SQL) selects.

    A completion adds values, a correction changes one, a conflict changes one of the same delivery; `same` none.
    """
    before = "OVER (PARTITION BY station, time ORDER BY turn ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    names = [f"v{i}" for i in range(len(feed.columns))]
    previous = ", ".join(f"last_value({name} IGNORE NULLS) {before} AS p{i}" for i, name in enumerate(names))
    changes = " OR ".join(f"({name} <> p{i})" for i, name in enumerate(names))
    adds = " OR ".join(f"({name} IS NOT NULL AND p{i} IS NULL)" for i, name in enumerate(names))
    counts = con.execute(f"""
        SELECT CASE WHEN coalesce({changes}, false) AND delivery = last THEN 'conflicts'
            WHEN coalesce({changes}, false) THEN 'corrections' WHEN {adds} THEN 'completions' ELSE 'same' END AS kind,
            count(*)
        FROM (
            SELECT *, {previous}, lag(delivery) OVER (PARTITION BY station, time ORDER BY turn) AS last
            FROM quality_many WHERE {months})
        WHERE turn > 1 GROUP BY 1""").fetchall()
    return dict.fromkeys(KINDS, 0) | dict(counts)


def _flags(feed: Feed) -> str:
    """The senders' flags of the values that count."""
    codes = []
    for i, column in enumerate(feed.columns):
        own = f"regexp_extract(flags, {literal(f'(?:^| )({column.name}=[^ ]+)')}, 1)"
        codes.append(f"nullif(arg_max({own}, turn) FILTER (WHERE v{i} IS NOT NULL), '')")
    return f"CASE WHEN count(flags) > 0 THEN nullif(concat_ws(' ', {', '.join(codes)}), '') END"
