"""A declared feed from its source to training rows, in memory, by the platform's own domain functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from aerocast.features.grid import Grid, WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.tables import quality, silver, training
from aerocast.tables.training import Samples
from aerocast_assets.feeds import find_feed
from measuring.series import STATION, Series, grid


@dataclass(frozen=True)
class Prepared:
    """Each station's grid, and the training rows, as a table `windows` of `con` and in arrays."""

    feed: Feed
    spec: WindowSpec
    grids: Mapping[str, Grid]
    con: duckdb.DuckDBPyConnection
    samples: Samples

    @property
    def windows(self) -> duckdb.DuckDBPyRelation:
        return self.con.table("windows")


def prepare(name: str = "noaa", target: str | None = None, horizons: tuple[int, ...] = ()) -> Prepared:
    """Raw, bronze, silver and windows of a feed's first target (or of this one), without lake or Dagster.

    With `horizons` other ones than are declared.
    """
    feed = find_feed(name)
    feed = feed.model_copy(update={"horizons": horizons}) if horizons else feed
    spec, con = WindowSpec.of(feed, target or feed.targets[0]), duckdb.connect()
    deliveries = list(feed.source.read(feed, ReadRequest()))
    months = [delivery.month for delivery in deliveries]
    numbered = [
        delivery.table.append_column("delivery", pa.array([number] * len(delivery.table), pa.int64()))
        for number, delivery in enumerate(deliveries)
    ]
    con.register("raw", pa.concat_tables(numbered))
    con.register(
        "bronze", quality.clean(con, feed, con.table("raw"), months, datetime.now(UTC)).bronze.to_arrow_table()
    )
    extent = silver.Extent.of_recording(feed, *con.sql("SELECT min(time), max(time) FROM bronze").fetchall()[0])
    con.register("silver", silver.build(con, feed, con.table("bronze"), months, extent).to_arrow_table())
    grids = silver.grids(con, feed, con.table("silver"))
    con.register("windows", training.table(spec, grids, months))
    return Prepared(feed, spec, grids, con, training.load(spec, con.table("windows")))


def prepare_series(feed: Feed, series: Series) -> Prepared:
    """The same of a series and the feed that is declared around it (`series.declare`)."""
    spec, con = WindowSpec.of(feed, feed.targets[0]), duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    grids = {STATION: grid(series, feed.gap_policy.max_steps)}
    months = {str(month) for month in series.time.astype("datetime64[M]")}
    con.register("windows", training.table(spec, grids, months))
    return Prepared(feed, spec, grids, con, training.load(spec, con.table("windows")))
