"""Balances the books of some months: every reading of raw, and every value of one in bronze, went to one place."""

from typing import NamedTuple

import duckdb

from aerocast.common.sql import first_number, literal, quoted
from aerocast.feed.declaration import Feed
from aerocast.tables.quality import readings, value_rules
from aerocast.tables.quality.deliveries import withdraw
from aerocast.tables.raw import WITHDRAWAL, raw_names


class Audit(NamedTuple):
    """How much came in, and where it went. Withdrawn, repeated and superseded ones are counted in raw, not inferred.

    Readings: `rows_in` = `withdrawn` + `bronze` + `quarantine` + `duplicates`. Distinct values of the readings that
    bronze keeps: `values_in` = `kept` + `quarantined` + `superseded` (by a later delivery, or taken back by it).
    """

    rows_in: int
    withdrawn: int
    bronze: int
    quarantine: int
    duplicates: int
    values_in: int
    kept: int
    quarantined: int
    superseded: int

    @property
    def balanced(self) -> bool:
        rows = self.rows_in == self.withdrawn + self.bronze + self.quarantine + self.duplicates
        return rows and self.values_in == self.kept + self.quarantined + self.superseded


EMPTY = Audit(0, 0, 0, 0, 0, 0, 0, 0, 0)


def audit(
    con: duckdb.DuckDBPyConnection,
    feed: Feed,
    raw: duckdb.DuckDBPyRelation,
    bronze: duckdb.DuckDBPyRelation,
    quarantine: duckdb.DuckDBPyRelation,
) -> Audit:
    """Counts the rows and values of three relations over the same months."""
    raw.create_view("audit_raw", replace=True)
    quarantine.create_view("audit_quarantine", replace=True)
    con.execute(f"CREATE OR REPLACE TEMP TABLE audit_rows AS {_readings(feed, frozenset(raw.columns))}")
    rows_in = first_number(con, "SELECT count(*) FROM audit_rows WHERE NOT withdrawal")
    if first_number(con, "SELECT count(*) FROM audit_rows WHERE withdrawal"):
        withdraw(con, "audit_raw", "audit_rows")
    live = first_number(con, "SELECT count(*) FROM audit_rows")
    same = "q.month = r.month AND q.delivery = r.delivery AND q.line = r.line AND q.segment = r.segment"
    whole = f'SELECT DISTINCT r.said FROM audit_rows r JOIN audit_quarantine q ON {same} WHERE q."column" IS NULL'
    con.execute(f"CREATE OR REPLACE TEMP TABLE audit_whole AS {whole}")
    con.execute("DELETE FROM audit_rows WHERE said IN (FROM audit_whole)")
    valid = first_number(con, "SELECT count(*) FROM audit_rows")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE audit_many AS SELECT station, time, count(*) AS of FROM audit_rows"
        " GROUP BY ALL HAVING count(*) > 1"
    )
    repeated = first_number(con, "SELECT coalesce(sum(of - 1), 0) FROM audit_many")
    duplicates = (live - valid) - first_number(con, "SELECT count(*) FROM audit_whole") + repeated
    columns = [_count_values(con, feed, i) for i in range(len(feed.columns))]
    values_in, superseded = map(sum, zip(*columns, strict=True))
    counts = ", ".join(f"count({quoted(column.name)})" for column in feed.columns)
    good, *values_good = bronze.aggregate(f"count(*), {counts}").fetchall()[0]
    bad, values_bad = quarantine.aggregate('count(*) - count("column"), count("column")').fetchall()[0]
    return Audit(
        *(rows_in, rows_in - live, good, bad, duplicates), *(values_in, sum(values_good), values_bad, superseded)
    )


def _readings(feed: Feed, have: frozenset[str]) -> str:
    """Raw's rows with their content as one hash, `said`, and of each column the text and whether it is a value."""
    columns = range(len(feed.columns))
    texts = ", ".join(f"r.{quoted(name)}" for name in raw_names(feed).values() if name in have)
    spoken = ", ".join(
        f"{value_rules.is_value(feed, i)} AS s{i}, {value_rules.is_withdrawal(feed, i)} AS w{i},"
        f" {value_rules.is_rejected(feed, i)} AS x{i}"
        for i in columns
    )
    return f"""
        SELECT * EXCLUDE ({", ".join(f"n{i}" for i in columns)}), {spoken} FROM (
            SELECT r.month, r.delivery, r.line, r.segment, {readings.station(feed)} AS station, time,
                {value_rules.flags(feed, have)} AS flags,
                coalesce(r.flags = {literal(WITHDRAWAL)}, false) AS withdrawal,
                hash(r.month, r.station, r.time_text, r.flags, {texts or "NULL"}) AS said,
                {value_rules.texts(feed, have)}
            FROM audit_raw r)"""


def _count_values(con: duckdb.DuckDBPyConnection, feed: Feed, i: int) -> tuple[int, int]:
    """Distinct values of a column in valid readings, and how many of them a later delivery superseded."""
    name = literal(feed.columns[i].name)
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE audit_values AS
        SELECT r.station, r.time, r.t{i} AS text, r.x{i} AS rejected, bool_or(r.w{i}) AS taken_back,
            max((r.delivery, r.line)) AS turn
        FROM audit_rows r SEMI JOIN audit_many m ON m.station = r.station AND m.time = r.time
        WHERE r.s{i} GROUP BY ALL""")
    # A single reading whose text takes a value back takes back nothing, and is no value of bronze.
    alone, void = con.execute(f"""
        SELECT count(*), count(*) FILTER (r.w{i})
        FROM audit_rows r ANTI JOIN audit_many m ON m.station = r.station AND m.time = r.time
        WHERE r.s{i}""").fetchall()[0]
    many, superseded = con.execute(f"""
        SELECT (SELECT count(*) FROM audit_values), coalesce(sum(of - CASE WHEN ends_taken_back THEN 0 ELSE 1 END), 0)
        FROM (
            SELECT count(*) AS of, arg_max(taken_back, turn) AS ends_taken_back
            FROM audit_values v ANTI JOIN (
                SELECT station, time, value, rule = 'rejected' AS rejected
                FROM audit_quarantine WHERE "column" = {name}) q
                ON q.station = v.station AND q.time = v.time AND q.value = v.text AND q.rejected = v.rejected
            GROUP BY v.station, v.time)""").fetchall()[0]
    return alone + many, int(superseded) + void
