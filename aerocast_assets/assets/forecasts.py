"""forecasts: the champion's newest forecast for each station and horizon, as a table and a picture."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import msgspec

from aerocast.common.lineage import code_version, config_hash, digest
from aerocast.feed.declaration import Feed
from aerocast.storage.home import Home
from aerocast_assets.assets.describe import drawing, preview, report, status
from aerocast_assets.assets.step import step
from aerocast_assets.keys import forward, key, table
from aerocast_assets.labels import feed_spec
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from aerocast.contracts.pointer import Current
    from aerocast.releases.release import Release

CODE = code_version("aerocast.releases.issue", "aerocast.reporting.plots")
PREVIEWED = ["station", "horizon", "time", "value", "lower", "upper"]


def picture_path(root: Home, feed: Feed, target: str) -> Path:
    """Where the newest forecast's picture lies."""
    return report(root, feed.name, target, "forecast")


def _serving(root: Home, feed: Feed, target: str) -> "tuple[Current, Release]":
    """The pointer, and the release that it names. Raises Failure if nothing can answer."""
    from aerocast.releases import compatibility, release

    pointer = release.current(root, feed.name, target)
    if pointer is None:
        raise dg.Failure(f"no champion serves {feed.name}/{target} yet: none beat the baselines", allow_retries=False)
    serving = release.load(root, feed.name, target, pointer.version)
    if why := compatibility.incompatibilities(serving.manifest, feed):
        raise dg.Failure(
            f"release {serving.version} cannot answer for {feed.name} any more: {'; '.join(why)}; no candidate has"
            " taken its place",
            allow_retries=False,
        )
    return pointer, serving


def forecasts(feed: Feed, target: str) -> dg.AssetsDefinition:
    """`<feed>/<target>/forecasts`."""

    spec = feed_spec(
        feed,
        "forecasts",
        target,
        deps=[key(feed, target, "champion"), key(feed, "silver")],
        kinds={"deltalake"},
        code_version=CODE,
        description=f"Newest forecast of {target} for each station and horizon, with its interval.",
        automation_condition=forward(feed),
    )

    @step(spec)
    def asset(context: dg.AssetExecutionContext, config: Refresh, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast.contracts import clock, drift_state, tail
        from aerocast.features.grid import Place
        from aerocast.lake import WHOLE
        from aerocast.releases import issue
        from aerocast.reporting import plots

        root = platform.root
        pointer, serving = _serving(root, feed, target)
        grids = tail.read_grids(root, feed.name)
        beliefs = drift_state.document(root, feed.name).read()
        adaptations = beliefs.adaptations.get(target, {}) if beliefs else {}
        version = config_hash(
            release=serving.version,
            code=CODE,
            adaptations=msgspec.to_builtins(adaptations),
            tail={name: [str(grid.time[-1:]), digest(grid.values, grid.age)] for name, grid in grids.items()},
        )
        lake, name, path = platform.lake, table(feed, target, "forecasts"), picture_path(root, feed, target)
        fresh = config.force or not (lake.ledger(name).is_current(WHOLE, version) and path.exists())
        issued = issue.forecast_newest(serving, grids, Place.of_feed(feed), adaptations)
        rows = issued.rows(datetime.now(UTC))
        drawn = fresh and (config.force or clock.is_due(root, feed.name, path, pointer.promoted_at))
        pictures = drawing(
            platform, path, "forecast", plots.forecast(issued, feed.column(target).unit) if drawn else None
        )
        if fresh:
            lake.overwrite(name, rows, version)
        silent = [station for station in feed.station_ids if station not in issued.stations]
        if silent:
            context.log.warning(f"no forecast for {', '.join(silent)}: too few readings in the newest window")
        context.log.info(f"{len(rows)} forecasts by {serving.manifest.kind} {serving.version}")
        return dg.MaterializeResult(
            metadata={
                **status(fresh),
                **pictures,
                "table": preview(rows.select(PREVIEWED).to_pylist()),
                "release": serving.version,
                "stations_without": ", ".join(silent),
                "dagster/row_count": len(rows),
            },
            data_version=dg.DataVersion(version),
        )

    return asset
