"""backtest: the declared kinds, trained and judged again and again over folds of the past; people start it.

Nothing that serves changes by it. The champion's page shows what the newest one of its configuration came to.
"""

from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.common.lineage import code_version, config_hash
from aerocast.feed.declaration import Feed
from aerocast_assets.assets import candidates
from aerocast_assets.assets.describe import drawing, preview, report, status
from aerocast_assets.assets.training_set import content
from aerocast_assets.keys import key, table
from aerocast_assets.labels import Draft, feed_spec
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aerocast.experiments.backtests import Backtest
    from aerocast.experiments.rows import Row

CODE = code_version("aerocast.experiments.rows")
NAME = "backtest"
PANELS = 4  # horizons that are drawn, at most


def spec(feed: Feed, target: str) -> Draft:
    return feed_spec(
        feed,
        NAME,
        target,
        deps=[key(feed, target, "training_set")],
        kinds={"deltalake"},
        code_version=CODE,
        description=f"What training for {target} was worth in {feed.backtest.folds} folds of the past, each judged by "
        "fits on what lies before it: by season, station and horizon, beside the baselines. Made when people ask.",
    )


def configuration(feed: Feed, target: str) -> str:
    """Digest of what a backtest depends on besides the rows."""
    return config_hash(
        candidates=[candidates.configuration(feed, target, kind) for kind in feed.backtest_kinds],
        backtest=feed.backtest.model_dump(mode="json", include={"folds", "past"}),
        code=CODE,
    )


def materialize(
    context: dg.AssetExecutionContext, config: Refresh, platform: Platform, feed: Feed, target: str
) -> dg.MaterializeResult[None]:
    """Walks through the folds, unless that was done before with the same rows."""
    from aerocast.experiments import backtests

    lake, own = platform.lake, configuration(feed, target)
    version = backtests.Version(
        own, config_hash(configuration=own, data=content(lake, feed, target), salt=platform.hash_salt)
    )
    before = None if config.force else backtests.newest(lake, feed.name, target, version=version.whole)
    if before:
        context.log.info(f"{target} is unchanged: backtested before with the same rows")
        rows, figure = before.rows, None
    else:
        rows = _walk(context, platform, feed, target)
        backtests.record(lake, feed.name, target, rows, version, context.run.run_id)
        figure = _figure(feed, target, rows)
    picture = drawing(platform, report(platform.root, feed.name, target, NAME), NAME, figure)
    newest = backtests.newest(lake, feed.name, target, version=version.whole)
    return dg.MaterializeResult(
        asset_key=key(feed, target, NAME),
        metadata=status(before is None or None) | (_tables(newest) if newest else {}) | picture,
        data_version=dg.DataVersion(version.whole),
    )


def _walk(context: dg.AssetExecutionContext, platform: Platform, feed: Feed, target: str) -> "list[Row]":
    from aerocast.experiments.folds import folds
    from aerocast.experiments.rows import rows
    from aerocast.experiments.walk import answer
    from aerocast.features.grid import WindowSpec
    from aerocast.tables import training

    spec = WindowSpec.of(feed, target)
    with platform.sql() as con:
        samples = training.load(spec, platform.lake.relation(con, table(feed, target, "windows")))
    walk = [
        answer(feed, spec, samples, fold, feed.backtest_kinds, context.log.info)
        for fold in folds(feed.split, spec, samples.time, feed.backtest)
    ]
    return rows(feed, walk)


def _tables(backtest: "Backtest") -> dict[str, Any]:
    from aerocast.experiments import overview

    rows = backtest.rows
    return {
        "summary": overview.sentence(backtest),
        "finished": f"{backtest.finished_at:%Y-%m-%d %H:%M} UTC",
        "measures": preview(overview.measures(rows)),
        "rmse_by_fold": preview(overview.by_fold(rows)),
        "rmse_by_season": preview(overview.by_season(rows)),
        "rmse_by_station": preview(overview.by_station(rows)),
        "dagster/row_count": len(rows),
    }


def _figure(feed: Feed, target: str, rows: "Sequence[Row]") -> "Figure":
    """RMSE fold by fold, of a few horizons from the first to the last."""
    import numpy as np

    from aerocast.experiments.overview import select
    from aerocast.experiments.rows import EVERY
    from aerocast.reporting import plots

    numbers = sorted({row.fold for row in rows} - {EVERY})
    by_fold = {number: select(rows, fold=number) for number in numbers}
    places = np.linspace(0, len(feed.horizons) - 1, min(PANELS, len(feed.horizons))).round().astype(int)
    errors = {
        horizon: {
            model: [
                next((row.rmse for row in own if (row.model, row.horizon) == (model, horizon)), nan)
                for own in by_fold.values()
            ]
            for model in dict.fromkeys(row.model for row in rows)
        }
        for horizon in (feed.horizons[at] for at in places)
    }
    starts = [own[0].start for own in by_fold.values()]
    return plots.backtest(errors, starts, feed.column(target).unit, f"{feed.name} {target}: walk-forward backtest")


def proof(platform: Platform, feed: Feed, target: str) -> dict[str, Any]:
    """What the newest backtest of this configuration came to, for the page of the champion; or that there is none."""
    from aerocast.experiments import backtests, overview

    lake, path = platform.lake, "/".join([feed.name, target, NAME])
    own = backtests.newest(lake, feed.name, target, configuration=configuration(feed, target))
    if own:
        return {
            NAME: f"{overview.sentence(own)} ({own.finished_at:%Y-%m-%d %H:%M} UTC, {path})",
            "backtest_measures": preview(overview.measures(own.rows)),
        }
    other = backtests.newest(lake, feed.name, target)
    beside = f"; that of {other.finished_at:%Y-%m-%d} was of another declaration or code" if other else ""
    return {NAME: f"none of this configuration{beside}: materialise {path}"}
