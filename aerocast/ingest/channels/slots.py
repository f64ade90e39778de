"""Replaces what a file said of a month by what it says now, as rows to append.

The slot of a file is its month of raw. Raw is only appended to: what a slot no longer says is taken back by a row whose
`flags` say so (`WITHDRAWAL`), and lines that are as they were are not stored again. So a file that grows costs what
grew, and a reading that somebody corrected by another way is not corrected back by a line that nobody changed.
"""

import re

import duckdb
import pyarrow as pa

from aerocast.common.sql import literal, quoted
from aerocast.feed.declaration import Feed
from aerocast.lake import DELIVERY, Lake, LakeReader, Slot
from aerocast.tables.layers import raw_edges
from aerocast.tables.quality.readings import station as station_of
from aerocast.tables.raw import WITHDRAWAL, Delivery, raw_names, raw_schema

_PREFIX = "file/"
_PLACE = "aerocast place"  # beside fields of any name


def replace_slot(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, delivery: Delivery) -> pa.Table | None:
    """Replaces the slot's content by a delivery; the rows that were appended for it, None if nothing changed.

    Raises:
        AeroCastError: the lake cannot be read or written.
    """
    raw, token = f"{feed.name}/raw", Slot(_PREFIX + delivery.slot, delivery.segment)
    while not token.is_delivered(lake.ledger(raw)):
        version = lake.version(raw)
        rows = delivery.table if version is None else difference(con, lake, feed, version, delivery)
        if lake.append(raw, rows, token, edges=raw_edges(feed), upon=version):
            return rows
    return None


def fingerprints_of_slots(lake: LakeReader, feed: Feed) -> dict[str, int]:
    """The fingerprint of the segment that raw has in each slot of a file."""
    records = lake.ledger(f"{feed.name}/raw").records
    return {name.removeprefix(_PREFIX): number for name, number in records.items() if name.startswith(_PREFIX)}


def emptied_months(lake: LakeReader, feed: Feed, slots_in_file: set[str]) -> list[Delivery]:
    """A delivery of nothing for each month that the file once had readings of, and has none of now."""
    label, ledger = feed.source.label, lake.ledger(f"{feed.name}/raw")
    start = f"{_PREFIX}{label} "
    names = (name[len(start) :] for name in ledger.records if name.startswith(start))
    months = sorted({rest for rest in names if re.fullmatch(r"\d{4}-\d\d", rest)})
    expired, empty = ledger.removed_months(), raw_schema(feed).empty_table()
    return [
        Delivery(month, "nothing", f"{label} {month}", empty)
        for month in months
        if f"{label} {month}" not in slots_in_file and month not in expired
    ]


def difference(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, version: int, delivery: Delivery
) -> pa.Table:
    """Withdrawals first (their `line` is negative), then the lines that are new, in the file's order.

    Lines are compared with those of the same (station, time) in their order; where one is not as it was, or its instant
    is another one by the zone that is declared now, all of them are withdrawn and delivered again. Of an instant that
    the file spells in several ways, all lines are compared together.
    """
    names = list(raw_names(feed).values())
    relation = lake.relation(con, f"{feed.name}/raw", [delivery.month], version)
    relation.create_view("slot_raw", replace=True)
    con.register("slot_new", delivery.table.append_column(_PLACE, pa.array(range(len(delivery.table)), pa.int64())))
    common = [name for name in ("time", "flags", *names) if name in relation.columns]
    new_columns = [name for name in names if name not in relation.columns]
    old = f"row({', '.join([*map(quoted, common), *('NULL' for _ in new_columns)])})"
    new = f"row({', '.join(map(quoted, [*common, *new_columns]))})"
    con.execute(f"CREATE OR REPLACE TEMP TABLE slot_lines AS {_lines(feed, old, new)}")
    con.execute("""
        CREATE OR REPLACE TEMP TABLE slot_changed AS
        SELECT DISTINCT o.station, o.time_text FROM slot_lines o LEFT JOIN slot_lines w ON w.place IS NOT NULL
            AND o.station IS NOT DISTINCT FROM w.station AND o.time_text IS NOT DISTINCT FROM w.time_text AND o.n = w.n
        WHERE o.place IS NULL AND w.said IS DISTINCT FROM o.said""")
    _note_spellings(con, feed)
    same = "l.station IS NOT DISTINCT FROM c.station AND l.time_text IS NOT DISTINCT FROM c.time_text"
    said_anew = con.sql(f"""
        SELECT place FROM (
            SELECT l.place FROM slot_lines l SEMI JOIN slot_changed c ON {same} WHERE l.place IS NOT NULL
            UNION
            SELECT l.place FROM slot_lines l ANTI JOIN (FROM slot_lines WHERE place IS NULL) c ON {same} AND l.n = c.n
            WHERE l.place IS NOT NULL)
        ORDER BY place""").to_arrow_table()
    # The instant too, so that the months beside this one know that their edge has changed.
    withdrawn_rows = con.sql(f"""
        SELECT l.station, any_value(l.time) AS time, l.time_text
        FROM slot_lines l SEMI JOIN slot_changed c ON {same} WHERE place IS NULL
        GROUP BY l.station, l.time_text ORDER BY ALL""").to_arrow_table()
    con.unregister("slot_new")
    return pa.concat_tables(
        [withdrawals(feed, withdrawn_rows, feed.source.label, delivery), delivery.table.take(said_anew["place"])]
    )


def withdrawals(feed: Feed, rows: pa.Table, source: str, delivery: Delivery) -> pa.Table:
    """Rows of raw that take back what `source` said of these (station, time, time_text) in the delivery's month."""
    count = len(rows)
    constant = {"source": source, "segment": delivery.segment, "flags": WITHDRAWAL, "month": delivery.month}
    columns = {name: pa.array([text] * count, pa.string()) for name, text in constant.items()}
    columns |= {name: rows[name] for name in ("station", "time", "time_text")}
    columns |= {"line": pa.array(range(-count, 0), pa.int64())}
    schema = raw_schema(feed)
    return pa.table([columns.get(field.name, pa.nulls(count, field.type)) for field in schema], schema.names).cast(
        schema
    )


def _note_spellings(con: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Adds to `slot_changed` all keys of a reading that has several of them, if its lines are not as they were."""
    words = "list(row(station, time_text, said) ORDER BY turn)"
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE slot_spelt AS
        SELECT r.station, r.time_text, r.said, r.turn, r.place, {station_of(feed)} AS own, time
        FROM slot_lines r WHERE time IS NOT NULL AND {station_of(feed)} IS NOT NULL""")
    con.execute(f"""
        INSERT INTO slot_changed SELECT DISTINCT s.station, s.time_text FROM slot_spelt s JOIN (
            SELECT own, time FROM slot_spelt JOIN (
                SELECT own, time FROM (SELECT DISTINCT own, time, station, time_text FROM slot_spelt)
                GROUP BY own, time HAVING count(*) > 1) USING (own, time)
            GROUP BY own, time
            HAVING {words} FILTER (WHERE place IS NULL) IS DISTINCT FROM {words} FILTER (WHERE place IS NOT NULL)
        ) m ON m.own = s.own AND m.time = s.time WHERE s.place IS NULL""")


def _lines(feed: Feed, old: str, new: str) -> str:
    """A select of the slot's lines that count now (`place` null) and of the new ones, numbered within their key."""
    key, label = "PARTITION BY station, time_text", literal(feed.source.label)
    return f"""
        SELECT station, time, time_text, said, row_number() OVER ({key} ORDER BY delivered) AS n, NULL::BIGINT AS place,
            row_number() OVER (ORDER BY delivered) AS turn
        FROM (
            SELECT *, max(CASE WHEN withdrawal THEN delivered END) OVER ({key}) AS upto
            FROM (
                SELECT station, time, time_text, {old} AS said, ({DELIVERY}, line) AS delivered,
                    (flags = {literal(WITHDRAWAL)}) IS TRUE AS withdrawal
                FROM slot_raw WHERE source = {label}))
        WHERE NOT withdrawal AND (upto IS NULL OR delivered > upto)
        UNION ALL
        SELECT station, time, time_text, said, row_number() OVER ({key} ORDER BY place), place, place
        FROM (SELECT station, time, time_text, {new} AS said, {quoted(_PLACE)} AS place FROM slot_new)"""
