"""Rolling metrics of live forecasts: how good each version is lately, and how it was each day.

`<feed>/evaluation` is over the newest NEWEST outcomes of each group, `<feed>/evaluation_daily` over each day (UTC, of
the target time). A group is (target, station or `all`, horizon, version, shadow); a pair of numbers that was posted
bare has neither horizon nor version, and counts in none. A forecast that was asked for twice counts once.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from aerocast.common.lineage import code_version, config_hash
from aerocast.common.sql import literal
from aerocast.feed.declaration import Feed
from aerocast.lake import PARTITION, Lake, LakeReader
from aerocast.monitoring.evaluation.outcomes import PAIR
from aerocast.promotion.scoring import ALL

NEWEST = 500  # outcomes of a group in its rolling metrics
MONTHS = 3  # months of outcomes in which they are looked for: the cost does not grow with history
NOWHERE = "none"  # the station of a sequence that named none

# Skill compares on the same rows: those where both baselines are known.
_FIGURES = """
    count(error) AS n,
    sqrt(avg(error * error)) AS rmse,
    -avg(error) AS bias,
    avg(abs(error)) AS mae,
    avg(inside::INT) AS coverage,
    sqrt(avg((actual - persistence) ** 2)) AS rmse_persistence,
    sqrt(avg((actual - seasonal_naive) ** 2)) AS rmse_seasonal_naive,
    1 - sqrt(avg(error * error) FILTER (WHERE persistence IS NOT NULL)) / nullif(least(
        sqrt(avg((actual - persistence) ** 2)), sqrt(avg((actual - seasonal_naive) ** 2))), 0) AS skill,
    count(error) FILTER (WHERE degraded) AS degraded"""
_GROUP = "target, place, horizon, version, shadow"


def metrics(con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, now: datetime) -> pa.Table:
    """The rolling metrics at `now` (the feed's time), best known first by group.

    Columns: target, station, horizon, version, shadow, n, rmse, bias (forecast - actual), mae, coverage, the baselines'
    RMSE, skill against the better baseline (null without one), degraded (how many had degraded inputs), missing (how
    many steps are over and have no outcome), window_start, window_end.
    """
    months = lake.months(f"{feed.name}/outcomes")[-MONTHS:]
    _places(con, lake, feed, months)
    over = f"epoch_us(time) + {_microseconds(feed.cadence)} <= {round(now.timestamp() * 1e6)}"
    same = " AND ".join(f"p.{each} IS NOT DISTINCT FROM f.{each}" for each in _GROUP.split(", "))
    # Only what can be among the newest is sorted, so that this costs the same however full the months are.
    return con.sql(f"""
        WITH floors AS (
            SELECT {_GROUP}, list_min(max(time, {NEWEST})) AS floor
            FROM rolling_places WHERE actual IS NOT NULL GROUP BY ALL),
        ranked AS (
            SELECT *, row_number() OVER (PARTITION BY {_GROUP} ORDER BY time DESC, issued_at DESC, id) AS newest
            FROM rolling_places p SEMI JOIN floors f ON {same} AND p.time >= floor WHERE actual IS NOT NULL),
        missing AS (
            SELECT {_GROUP}, count(*) AS missing FROM rolling_places WHERE actual IS NULL AND {over} GROUP BY ALL),
        found AS (
            SELECT {_GROUP}, {_FIGURES}, min(time) AS window_start, max(time) AS window_end
            FROM ranked WHERE newest <= {NEWEST} GROUP BY ALL)
        SELECT * EXCLUDE (place, n, missing), coalesce(n, 0) AS n, coalesce(missing, 0) AS missing, place AS station
        FROM found FULL JOIN missing USING ({_GROUP})
        ORDER BY target, shadow, version DESC, station <> {literal(ALL)}, station, horizon""").to_arrow_table()


def daily(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, *, force: bool = False, newest: bool = True
) -> list[str]:
    """Computes `<feed>/evaluation_daily` of the months whose outcomes changed (without `newest` not of the newest).

    Returns:
        The months that were computed.
    """
    source, name = f"{feed.name}/outcomes", f"{feed.name}/evaluation_daily"
    content, code = lake.ledger(source).content(lake.months(source)), code_version(__name__)
    hashes = {month: config_hash(code=code, outcomes=own.all) for month, own in content.items()}
    stale = sorted(hashes) if force else lake.ledger(name).stale(hashes)
    if not newest:
        stale = [month for month in stale if month != max(hashes)]
    for month in stale:
        _places(con, lake, feed, [month])
        rows = con.sql(f"""
            SELECT time_bucket(INTERVAL 1 DAY, time) AS time, {_GROUP.replace("place", "place AS station")}, {_FIGURES},
                {literal(month)} AS {PARTITION}
            FROM rolling_places WHERE actual IS NOT NULL GROUP BY ALL ORDER BY ALL""")
        lake.replace(name, rows, [month], {month: hashes[month]})
    return stale


def _places(con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, months: Sequence[str]) -> None:
    """The view `rolling_places`: every forecast that counts, once for its station and once for all."""
    lake.relation(con, f"{feed.name}/outcomes", months).create_view("rolling_outcomes", replace=True)
    con.execute(f"""
        CREATE OR REPLACE TEMP VIEW rolling_places AS
        SELECT *, unnest([coalesce(station, {literal(NOWHERE)}), {literal(ALL)}]) AS place
        FROM rolling_outcomes WHERE NOT repeated AND time IS NOT NULL AND graph <> {literal(PAIR)}""")


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
