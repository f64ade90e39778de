"""Outcomes: every logged forecast beside what was really measured, and what the baselines would have said.

`<feed>/outcomes` holds a row a forecast of `<feed>/predictions`, in the month of its target time, with: `actual` (null
while unknown) and `actual_from`, `error` = actual - forecast, `inside` its interval, `persistence` (the last value at
the origin) and `seasonal_naive` (see `seasons`; persistence where that is missing),
`repeated`: the same forecast was asked for again later, so it counts once, and `asked`: how often in all. A pair of
numbers that was posted without a forecast is a row of its own (`graph` is `pair`). All in the target's unit of now,
whatever a release forecast in.

A measured value counts before a posted one, and a posted one not at all where the target's value, or the whole reading,
is in quarantine.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeAlias

import duckdb

from aerocast.common.lineage import code_version, config_hash
from aerocast.common.months import months_around
from aerocast.common.sql import literal, quoted
from aerocast.feed.declaration import Feed
from aerocast.lake import PARTITION, Lake, LakeReader
from aerocast.lake.fingerprints import NO_EDGES
from aerocast.monitoring.evaluation import seasons
from aerocast.tables import silver, steps

PAIR = "pair"
# What is asked for again is the same forecast; grouped apart, because few are, and a window sorts whole rows.
_SAME = "target, station, version, shadow, graph, origin, horizon"
_TIMED = "origin IS NOT NULL AND station IS NOT NULL"
_ASK = "{'issued_at': issued_at, 'id': id}"

Conversions: TypeAlias = Sequence[tuple[str, str, float | None, float | None]]


def refresh(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, *, force: bool = False, conversions: Conversions = ()
) -> list[str]:
    """Recomputes the months whose predictions, postings, readings or quarantine changed; which ones, oldest first.

    `conversions` are (target, version, factor, offset) of releases that forecast in another unit.
    """
    name = f"{feed.name}/outcomes"
    hashes_now = hashes(lake, feed, conversions)
    stale = sorted(hashes_now) if force else lake.ledger(name).stale(hashes_now)
    for month in stale:
        lake.replace(
            name, join(con, lake, feed, month, conversions), [month], {month: hashes_now[month]}, edges=NO_EDGES
        )
    return stale


def hashes(lake: LakeReader, feed: Feed, conversions: Conversions = ()) -> dict[str, str]:
    """Each month's config hash: code, what of the declaration counts, the content of all months it is joined from.

    A month of which retention has taken out anything that it was joined from stays as it is, and so does one taken out.
    """
    lake = lake.view()
    logs = {month for log in ("predictions", "posted") for month in lake.months(f"{feed.name}/{log}")}
    read = {
        month: _months_read(feed, month)
        for month in sorted(logs - lake.ledger(f"{feed.name}/outcomes").removed_months())
    }
    removed = {
        layer: lake.ledger(f"{feed.name}/{layer}").removed_months() for layer in ("predictions", "posted", "silver")
    }
    read = {
        month: own
        for month, own in read.items()
        if not any(known_hashes & set(own[each]) for each, known_hashes in removed.items())
    }
    near: dict[str, set[str]] = {}
    for layer, months in (item for own in read.values() for item in own.items()):
        near.setdefault(layer, set()).update(months)
    content = {layer: lake.ledger(f"{feed.name}/{layer}").content(sorted(months)) for layer, months in near.items()}
    declared = feed.model_dump(mode="json", include={"cadence", "seasons", "targets"})
    declared["zones"] = feed.zones
    return {
        month: config_hash(
            code=code_version(__name__),
            feed=declared,
            **({"conversions": list(conversions)} if conversions else {}),
            **{layer: [content[layer].get(each) for each in months] for layer, months in own.items()},
        )
        for month, own in read.items()
    }


def join(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, month: str, conversions: Conversions = ()
) -> duckdb.DuckDBPyRelation:
    """The month's outcomes, valid until the connection joins again."""
    _create_views(con, lake, feed, month)
    label = steps.sql_number(feed, "epoch_us(i.time)")
    levels = " UNION ALL ".join(
        f"SELECT {literal(target)} AS target, station, time, {quoted(target)} AS level,"
        f" CASE WHEN {quoted(f'{target}_age')} = 0 THEN {quoted(target)} END AS measured FROM join_silver"
        for target in feed.targets
    )
    targets = ", ".join(f"({literal(target)})" for target in feed.targets)
    same = " AND ".join(f"s.{name} IS NOT DISTINCT FROM i.{name}" for name in _SAME.split(", "))
    # A quarantine from before there was one row a value holds whole readings.
    column = quoted("column") if "column" in con.view("join_quarantine").columns else "NULL::VARCHAR"
    return con.sql(f"""
        WITH levels AS MATERIALIZED ({levels}),
        spoilt AS (
            SELECT DISTINCT target, station, {steps.sql_number(feed, steps.sql_clock(feed))} AS step
            FROM (SELECT station, time, {column} AS "column" FROM join_quarantine) JOIN (VALUES {targets}) t(target)
                ON "column" IS NULL OR "column" = target),
        posted AS (
            SELECT coalesce(p.forecast, a.forecast)::VARCHAR AS forecast, id, horizon, actual FROM join_posted p
            -- One that was taken up before its answer is found by it now.
            LEFT JOIN join_answers a ON p.forecast IS NULL AND a.answer = (md5_number_lower(p.id) >> 1)::BIGINT
            WHERE id IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY coalesce(coalesce(p.forecast, a.forecast)::VARCHAR, id), horizon
                ORDER BY posted_at DESC, p.delivery DESC, line DESC) = 1),
        likely AS (  -- a number is grouped by in half the time
            SELECT hash({_SAME}) AS number FROM join_predictions WHERE {_TIMED} GROUP BY number HAVING count(*) > 1),
        several AS (
            SELECT {_SAME}, max({_ASK}) AS newest, sum(coalesce(asked, 1)) AS times
            FROM join_predictions WHERE {_TIMED} AND hash({_SAME}) IN (FROM likely) GROUP BY ALL HAVING count(*) > 1),
        known AS (
            SELECT i.* EXCLUDE ({PARTITION}, delivery), s.newest, s.times,
                coalesce(now.measured, CASE WHEN q.step IS NULL THEN p.actual END) AS actual,
                CASE WHEN now.measured IS NOT NULL THEN 'measured'
                    WHEN q.step IS NULL AND p.actual IS NOT NULL THEN 'posted' END AS actual_from,
                last.level AS persistence, {seasons.values(feed)} AS seasonal
            FROM ({_forecasts(conversions)}) i
            LEFT JOIN levels now ON now.target = i.target AND now.station = i.station AND now.time = i.time
            LEFT JOIN levels last ON last.target = i.target AND last.station = i.station AND last.time = i.origin
            {seasons.joins(feed, month)}
            LEFT JOIN spoilt q ON q.target = i.target AND q.station = i.station AND q.step = {label}
            LEFT JOIN posted p ON coalesce(p.forecast, p.id) = coalesce(i.forecast::VARCHAR, i.id)
                AND p.horizon = i.horizon
            LEFT JOIN several s ON {same}),
        pairs AS (
            SELECT target, station, posted_at AS issued_at, posted_at AS time, predicted AS value,
                '' AS version, {literal(PAIR)} AS kind, {literal(PAIR)} AS graph, false AS shadow, false AS degraded,
                '' AS reasons, actual, 'posted' AS actual_from, 0 AS horizon, 1 AS asked
            FROM join_posted WHERE id IS NULL AND predicted IS NOT NULL AND {PARTITION} = {literal(month)})
        SELECT * EXCLUDE (newest, times, seasonal)
                REPLACE (CASE WHEN {_TIMED} THEN coalesce(times, asked, 1) ELSE 1 END::BIGINT AS asked),
            {seasons.best(feed)} AS seasonal_naive, actual - value AS error, actual BETWEEN lower AND upper AS inside,
            newest IS NOT NULL AND newest <> {_ASK} AS repeated,
            {literal(month)} AS {PARTITION}
        FROM (SELECT * FROM known UNION ALL BY NAME SELECT * FROM pairs)""")


def _create_views(con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, month: str) -> None:
    """`join_<layer>` for each layer that the month's outcomes are made of."""
    lake = lake.view()
    for layer, months in _months_read(feed, month).items():
        view = f"join_{layer}"
        if lake.exists(f"{feed.name}/{layer}"):
            rows = lake.relation(con, f"{feed.name}/{layer}", months)
            rows.create_view(f"{view}_stored", replace=True)  # a log of an older version has fewer columns
            con.sql(f"{_nothing(view)} UNION ALL BY NAME FROM {view}_stored").create_view(view, replace=True)
        else:
            con.sql(_nothing(view)).create_view(view, replace=True)


def _forecasts(conversions: Conversions) -> str:
    """The logged forecasts in the targets' units of now."""
    if not conversions:
        return "SELECT * FROM join_predictions"
    rows = ", ".join(
        f"({literal(target)}, {literal(version)}, {'NULL' if factor is None else factor}::DOUBLE,"
        f" {'NULL' if offset is None else offset}::DOUBLE)"
        for target, version, factor, offset in conversions
    )
    conversions_sql = ", ".join(
        f"CASE WHEN c.version IS NULL THEN p.{name} ELSE p.{name} * c.factor + c.start END AS {name}"
        for name in ("value", "lower", "upper")
    )
    return (
        f"SELECT p.* REPLACE ({conversions_sql}) FROM join_predictions p"
        f" LEFT JOIN (VALUES {rows}) c(target, version, factor, start) ON c.target = p.target AND c.version = p.version"
    )


def _months_read(feed: Feed, month: str) -> dict[str, list[str]]:
    """Which months of each table a month of outcomes is joined from."""
    none = timedelta(0)
    return {
        "predictions": [month],
        # And the next: an outcome that was taken up before what it is about lies in the month of its posting.
        "posted": months_around([month], none, timedelta(days=1)),
        # Issued a horizon before, if not in the month of the target time.
        "answers": months_around([month], feed.horizons[-1] * feed.cadence, none),
        "silver": months_around([month], seasons.reach(feed), none),
        "quarantine": months_around([month], steps.slack(feed), silver.lookahead(feed)),
    }


def _nothing(view: str) -> str:
    """The empty view in place of a table that is not there yet."""
    from aerocast.monitoring.evaluation.answers import ANSWERS
    from aerocast.monitoring.evaluation.intake import POSTED, PREDICTIONS

    schema = {"join_predictions": PREDICTIONS, "join_posted": POSTED, "join_answers": ANSWERS}.get(view)
    types = {"string": "VARCHAR", "double": "DOUBLE", "int32": "INTEGER", "int64": "BIGINT", "bool": "BOOLEAN"}
    columns = (
        {field.name: types.get(str(field.type), "TIMESTAMPTZ") for field in schema} | {"delivery": "BIGINT"}
        if schema
        else {"station": "VARCHAR", "time": "TIMESTAMPTZ"}
    )
    return "SELECT " + ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in columns.items()) + " WHERE false"
