"""Reads what an examination needs: live outcomes of the release that serves, readings as measured, the reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import msgspec
import numpy as np

from aerocast.common.months import month_of, month_span, months_around
from aerocast.common.sql import literal, quoted, timestamptz
from aerocast.common.times import utc
from aerocast.contracts.drift_state import Fault
from aerocast.contracts.manifest import Manifest
from aerocast.features.grid import Grid
from aerocast.feed.declaration import Feed
from aerocast.lake import LakeReader
from aerocast.monitoring.drift.errors import Outcomes
from aerocast.monitoring.drift.jumps import Series
from aerocast.monitoring.drift.profile import Profile, profile
from aerocast.tables import quality, silver, wholeness

NEWEST = 340  # outcomes of a station at each horizon that an examination sees: its longest span is 320 target times
MONTHS = 3  # newest months of outcomes in which they are looked for
RECENT = 2  # newest months of readings
STATION, SEQUENCE = "station", "sequence"  # graphs of a release, as the log names them
REFERENCE = 36  # newest months of a training span: enough for three of each season


@dataclass(frozen=True)
class ReleaseOutcomes:
    """The newest months' outcomes of one release, each forecast once, no shadow; of all stations, and read once."""

    con: duckdb.DuckDBPyConnection
    feed: Feed
    manifest: Manifest

    @classmethod
    def read(
        cls, con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, manifest: Manifest
    ) -> "ReleaseOutcomes":
        """Those of the newest months; what was read before on this connection is replaced."""
        con.execute(
            "CREATE OR REPLACE TEMP TABLE watched_outcomes (station VARCHAR, graph VARCHAR, origin TIMESTAMPTZ,"
            " time TIMESTAMPTZ, horizon INTEGER, error DOUBLE, low DOUBLE,"
            " high DOUBLE, baseline DOUBLE)"
        )
        name = f"{feed.name}/outcomes"
        if months := lake.months(name)[-MONTHS:]:
            lake.relation(con, name, months).create_view("watched_stored", replace=True)
            con.execute(f"""
                INSERT INTO watched_outcomes
                SELECT station, graph, origin, time, horizon, error, lower - value, upper - value,
                    actual - persistence
                FROM watched_stored
                WHERE target = {literal(manifest.target)} AND version = {literal(manifest.version)}
                    AND NOT shadow AND NOT repeated AND error IS NOT NULL""")
        return cls(con, feed, manifest)

    def newest(self, station: str, faults: Sequence[Fault], now: datetime, graph: str = STATION) -> Outcomes:
        """The newest of a station from one graph, oldest first, none after `now`.

        A forecast whose input overlaps a fault of the station says nothing about the model, so it is left out.
        """
        rows = self.con.sql(f"""
            SELECT epoch_us(time) // 1000000 AS time, horizon, error, low, high, baseline
            FROM watched_outcomes
            WHERE station = {literal(station)} AND graph = {literal(graph)} AND time <= {timestamptz(now)}
                AND NOT ({_faulty_inputs(self.feed, self.manifest, faults)})
            ORDER BY time DESC, horizon LIMIT {NEWEST * len(self.manifest.horizons)}""").to_arrow_table()
        columns = {name: rows[name].to_numpy(zero_copy_only=False)[::-1] for name in rows.column_names}
        return Outcomes(
            time=columns["time"].astype("datetime64[s]"),
            horizon=columns["horizon"].astype(np.int64),
            error=columns["error"].astype(np.float64),
            low=columns["low"].astype(np.float64),
            high=columns["high"].astype(np.float64),
            baseline=columns["baseline"].astype(np.float64),
            level=self.manifest.graphs.station.intervals.level,
        )

    def main_graph(self, station: str) -> str:
        """The graph of most of a station's newest answers: the errors of the two differ, so one is tested."""
        if not self.manifest.metrics.sequence:
            return STATION
        own = f"SELECT graph FROM watched_outcomes WHERE station = {literal(station)} ORDER BY time DESC LIMIT {NEWEST}"
        counts = dict(self.con.sql(f"SELECT graph, count(*) FROM ({own}) GROUP BY graph").fetchall())
        return SEQUENCE if counts.get(SEQUENCE, 0) > counts.get(STATION, 0) else STATION


def manifest_of_graph(manifest: Manifest, graph: str) -> Manifest:
    """The manifest with the test figures of that graph in the place of the whole release's."""
    if graph == STATION:
        return manifest
    metrics = msgspec.structs.replace(manifest.metrics, horizons=manifest.metrics.sequence, stations={})
    return msgspec.structs.replace(manifest, metrics=metrics)


def _faulty_inputs(feed: Feed, manifest: Manifest, faults: Sequence[Fault]) -> str:
    """Whether a forecast's input window holds a step of a faulty sensor."""
    reach = (manifest.window.look_back - 1) * feed.cadence
    spans = [
        f"origin >= {timestamptz(fault.start)}"
        + (f" AND origin < {timestamptz(fault.end + reach)}" if fault.end else "")
        for fault in faults
    ]
    return " OR ".join(f"({span})" for span in spans) or "false"


def measured_grids(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, faults: Sequence[Fault], now: datetime
) -> dict[str, Grid]:
    """Each station's grid of the newest months as measured, including what a fault has put in quarantine.

    Where no fault affects these months that is silver itself; else it is made in memory from raw, without faults.
    """
    months = _recent(lake, feed, now)
    if not months:
        return {}
    if not _has_faults(months, faults):
        rows = lake.relation(con, f"{feed.name}/silver", months)
        return silver.grids(con, feed, rows.filter(f"time <= {timestamptz(now)}"))
    _plain_bronze(con, lake, feed, silver.source_months(feed, months), now).create_view("watched_bronze", replace=True)
    extent = wholeness.extent_of(con, lake, feed, now)  # a fault takes values out, and no reading's time
    if extent is None:
        return {}
    grid_rows = silver.build(con, feed, con.view("watched_bronze"), months, extent)
    return silver.grids(con, feed, grid_rows.filter(f"time <= {timestamptz(now)}"))


def readings(
    con: duckdb.DuckDBPyConnection,
    lake: LakeReader,
    feed: Feed,
    faults: Sequence[Fault],
    now: datetime,
    columns: Sequence[str],
) -> dict[tuple[str, str], Series]:
    """Of each (station, column) the single readings of the newest months as measured, oldest first, without holes."""
    months = _recent(lake, feed, now)
    if not months or not columns:
        return {}
    bronze = f"{feed.name}/bronze"
    is_faulty = _has_faults(months, faults) or not lake.exists(bronze)
    rows = _plain_bronze(con, lake, feed, months, now) if is_faulty else lake.relation(con, bronze, months)
    columns_sql = ", ".join(["station", "epoch_us(time) AS time", *map(quoted, columns)])
    table = rows.filter(f"time <= {timestamptz(now)}").select(columns_sql).order("station, time").to_arrow_table()
    station, time = table["station"].to_numpy(zero_copy_only=False), table["time"].to_numpy().astype("datetime64[us]")
    series = {}
    for name in columns:
        value = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
        for own in feed.station_ids:
            mask = (station == own) & np.isfinite(value)
            series[own, name] = Series(time[mask], value[mask])
    return series


def _has_faults(months: Sequence[str], faults: Sequence[Fault]) -> bool:
    """Whether a fault has put readings of these months, the newest ones, in quarantine."""
    first = month_span(months[0])[0]
    return any(fault.end is None or fault.end > first for fault in faults)


def _plain_bronze(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, months: Sequence[str], now: datetime
) -> duckdb.DuckDBPyRelation:
    """Bronze of these months as if no fault were known."""
    raw = lake.relation(con, f"{feed.name}/raw", quality.source_months(feed, months))
    return quality.clean(con, feed, raw, months, now).bronze


def _recent(lake: LakeReader, feed: Feed, now: datetime) -> list[str]:
    """The newest months that have readings: of raw, for all the newest may be in quarantine; none after `now`."""
    months = [month for month in lake.months(f"{feed.name}/raw") if month <= month_of(now)]
    return months[-RECENT:]


def references(con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, manifest: Manifest) -> dict[str, Profile]:
    """The profile of each station's grid over the release's training span, or its newest months if that is long."""
    start, end = manifest.lineage.training_start, manifest.lineage.end_before_trial
    name = f"{feed.name}/silver"
    span = months_around([month_of(start), month_of(end)], timedelta(0), timedelta(0))
    months = [month for month in lake.months(name) if span[0] <= month <= span[-1]][-REFERENCE:]
    if not months:
        return {}
    rows = lake.relation(con, name, months).filter(f"time >= {timestamptz(start)} AND time <= {timestamptz(end)}")
    return {station: profile(feed, grid) for station, grid in silver.grids(con, feed, rows).items()}


def examination_time(con: duckdb.DuckDBPyConnection, lake: LakeReader, name: str, examination: str) -> datetime | None:
    """The feed's instant of an examination in table `name`; None if its rows are no longer there."""
    own = lake.relation(con, name).filter(f"examination = {literal(examination)}")
    time = own.aggregate("min(judged_at)").fetchall()[0][0]
    return utc(time) if time else None
