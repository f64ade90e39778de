"""training_set: the rows that a target's models are trained on, as one version that changes when their content does.

Models hang below it and not below the months themselves: of an asset without partitions Dagster's staleness leaves out
every dependency that has some, so a backfill of one month would mark no model. As long as the rows are too few to be
split, there is no training set, and everything below waits without failing: so begins a feed that starts empty.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from aerocast.common.errors import AeroCastError
from aerocast.common.lineage import config_hash
from aerocast.feed.declaration import Feed
from aerocast_assets.assets.describe import preview, sample, status
from aerocast_assets.assets.step import step
from aerocast_assets.checks.training import judge_stations, stations_learned
from aerocast_assets.keys import LIVE_TAG, RETRAIN_OF, WHEN_ENOUGH, key, table
from aerocast_assets.labels import feed_spec
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.lake import LakeReader

PREVIEWED = 24  # newest months


def content(lake: "LakeReader", feed: Feed, target: str) -> str:
    """What the months of a target's windows hold; a month without rows trains nothing and does not count."""
    name = table(feed, target, "windows")
    marks = lake.ledger(name).content(lake.months(name))
    return config_hash(windows={month: each.all for month, each in marks.items()})


def too_short(lake: "LakeReader", feed: Feed, target: str) -> str:
    """Why a target's rows span too little to be split; empty if they do not. No row is read."""
    from aerocast.common.times import to_numpy
    from aerocast.features.grid import WindowSpec
    from aerocast.models.splits import split_span

    span = lake.span(table(feed, target, "windows"))
    if span is None:
        return "there is no row with a whole look-back yet"
    try:
        split_span(feed.split, WindowSpec.of(feed, target), *map(to_numpy, span))
    except AeroCastError as error:
        return str(error)
    return ""


def too_few(lake: "LakeReader", feed: Feed, target: str) -> str:
    """Why a target's rows do not suffice to learn, choose, calibrate and judge by; empty if they do."""
    from aerocast.features.grid import WindowSpec
    from aerocast.lake import connection
    from aerocast.models.enough import RoleRows

    if short := too_short(lake, feed, target):
        return short
    with connection() as con:
        relation = lake.relation(con, table(feed, target, "windows"))
        return "; ".join(RoleRows.read(feed, WindowSpec.of(feed, target), relation).lacks(feed))


def training_set(feed: Feed, target: str) -> dg.AssetsDefinition:
    """`<feed>/<target>/training_set`: nothing is written; the rows are those of `<feed>/<target>/windows`."""

    own = key(feed, target, "training_set")
    spec = feed_spec(
        feed,
        "training_set",
        target,
        deps=[key(feed, "windows")],
        kinds={"deltalake"},
        description=f"The rows that models of {target} are trained on: one version of all months, by content.",
        automation_condition=WHEN_ENOUGH,
        skippable=True,
    )

    check = stations_learned(feed, target)

    @step(spec, checks=[check])
    def asset(
        context: dg.AssetExecutionContext, platform: Platform
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        event = context.instance.get_latest_materialization_event(own)
        before = event.asset_materialization if event else None
        # Every row is read where something is trained next: a live run costs the same however many there are.
        trains = before is None or LIVE_TAG not in context.run.tags
        if own in context.selected_asset_keys:
            result = _materialize(context, platform, feed, target, before, trains)
            if result is None:
                return
            yield result
            if not trains:
                return
        if check.key in context.selected_asset_check_keys:
            yield judge_stations(feed, target, platform)

    return asset


def _materialize(
    context: dg.AssetExecutionContext,
    platform: Platform,
    feed: Feed,
    target: str,
    before: dg.AssetMaterialization | None,
    trains: bool,
) -> dg.MaterializeResult[None] | None:
    """The training set as it is now; None as long as there are too few rows for a first one."""
    lake, name = platform.lake, table(feed, target, "windows")
    rows, span = lake.rows(name), lake.span(name)
    version = config_hash(rows=content(lake, feed, target), salt=platform.hash_salt)
    fresh = before is None or (before.tags or {}).get("dagster/data_version") != version
    if lacking := (too_few if fresh and trains else too_short)(lake, feed, target):
        # Rows that were enough once, or a retrain that was asked for: that is a fault, not a beginning.
        if before or RETRAIN_OF in context.run.tags:
            raise AeroCastError(f"{name}: {lacking}")
        context.log.warning(f"{name}: no training set yet: {lacking}")
        return None
    context.log.info(f"{sum(rows.values())} rows of {len(rows)} months" + ("" if fresh else ", as before"))
    return dg.MaterializeResult(
        asset_key=key(feed, target, "training_set"),
        metadata={
            **status(fresh or None),
            "rows": sum(rows.values()),
            "dagster/row_count": sum(rows.values()),
            "span": f"{span[0]:%Y-%m-%d %H:%M} to {span[1]:%Y-%m-%d %H:%M}" if span else "none",
            "months": preview([{"month": month, "rows": rows[month]} for month in sorted(rows)[-PREVIEWED:]]),
            "delta_version": lake.version(name),
            **({"preview": sample(lake, name)} if fresh else {}),
        },
        data_version=dg.DataVersion(version),
    )
