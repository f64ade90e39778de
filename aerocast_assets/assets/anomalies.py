"""anomalies: events in which a station was unlike its own past, as a table and as a document for the server."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.common.lineage import code_version
from aerocast.common.words import count
from aerocast.feed.declaration import Feed
from aerocast_assets.assets.describe import preview, status
from aerocast_assets.assets.step import step
from aerocast_assets.keys import LIVE_TAG, forward, key, table
from aerocast_assets.labels import feed_spec
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from aerocast.contracts.anomalies import Anomaly, AnomalyState
    from aerocast.monitoring.anomalies.update import Update

PREVIEWED = 12
MOST = 6  # powers of ten beyond which nobody counts steps


def anomalies(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/anomalies`, and its check `calm`, which warns while an event lasts."""

    spec = feed_spec(
        feed,
        "anomalies",
        deps=[key(feed, "silver"), key(feed, "evaluation")],
        kinds={"deltalake"},
        code_version=code_version("aerocast.monitoring.anomalies.update"),
        description="Events in which a station was unlike its own past: when, how rare, which columns, and why if that"
        " is known. What was measured later changes no event that is over.",
        automation_condition=forward(feed),
    )
    calm = dg.AssetCheckSpec("calm", asset=key(feed, "anomalies"), description="No station is unlike its own past now.")

    @step(spec, checks=[calm])
    def asset(context: dg.AssetExecutionContext, config: Refresh, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast.monitoring.anomalies.update import update

        live = LIVE_TAG in context.run.tags
        with platform.sql() as con:
            result = update(con, platform.lake, platform.root, feed, force=config.force, live=live)
        context.log.info(sentence(result))
        checks = [_check(result.state)] if calm.key in context.selected_asset_check_keys else []
        return dg.MaterializeResult(
            metadata=_metadata(feed, platform, result),
            data_version=dg.DataVersion(result.version),
            check_results=checks,
        )

    return asset


def sentence(result: "Update") -> str:
    """What people read of one look."""
    if result.later:
        return "looked at less than an hour ago; a live run looks again after that"
    lasting = result.state.open()
    names = f": {', '.join(sorted({each.station for each in lasting}))}" if lasting else ""
    return f"{count(result.steps, 'new step')} looked at; events that last: {len(lasting)}{names}"


def rarity(surprise: float) -> str:
    """`once in 1,000 steps`."""
    return f"once in {round(10 ** min(surprise, MOST), -1):,.0f} steps{' or more' * (surprise > MOST)}"


def _check(state: "AnomalyState") -> dg.AssetCheckResult:
    lasting = state.open()
    text = "; ".join(f"{each.station} since {each.start:%Y-%m-%d %H:%M}: {each.detail}" for each in lasting)
    return dg.AssetCheckResult(
        check_name="calm",
        passed=not lasting,
        severity=dg.AssetCheckSeverity.WARN,
        description=text or "every station is as its past suggests",
        metadata={"events_open": len(lasting), "events": preview([_row(each) for each in lasting])},
    )


def _metadata(feed: Feed, platform: Platform, result: "Update") -> dict[str, Any]:
    state, lake, name = result.state, platform.lake.view(), table(feed, "anomalies")
    causes = [each.cause for each in state.events]
    return {
        **status(result.steps or result.months),
        "look": sentence(result),
        "newest_events": preview([_row(each) for each in state.events[-PREVIEWED:][::-1]]),
        "events_open": len(state.open()),
        "events_90_days": len(state.events),
        **{f"{cause}_90_days": causes.count(cause) for cause in ("sensor_fault", "weather", "unknown")},
        "steps_looked_at": result.steps,
        "dagster/row_count": sum(lake.rows(name).values()) if lake.exists(name) else 0,
        "judged_at": str(state.judged_at),
    }


def _row(event: "Anomaly") -> dict[str, Any]:
    """An event as people read it."""
    columns = sorted(event.columns.items(), key=lambda each: -each[1])
    return {
        "station": event.station,
        "from": event.start,
        "to": event.end or "lasts",
        "peak": event.peak,
        "rarity": rarity(event.severity),
        "columns": ", ".join(f"{name} {share:.0%}" for name, share in columns if share >= 0.1),
        "cause": event.cause,
        "at the peak": event.detail,
    }
