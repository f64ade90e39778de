"""Whether retraining helps: a target that is still hot after its newest retrain had time to show needs a person."""

import dagster as dg

from aerocast.common.words import duration
from aerocast.feed.declaration import Feed
from aerocast_assets.keys import key
from aerocast_assets.resources import Platform


def retraining_check(feed: Feed, target: str) -> dg.AssetChecksDefinition:
    """The check on one target, from what is durable: the drift state and the table of promotions."""

    @dg.asset_check(
        asset=key(feed, "evaluation"),
        name=f"{target}_retraining_helped",
        description=f"{target} cools within {duration(feed.retraining.settle)} of its newest retrain, "
        "or was not hot at all.",
    )
    def check(platform: Platform) -> dg.AssetCheckResult:
        from aerocast.contracts import clock
        from aerocast.contracts import drift_state as state
        from aerocast.contracts.drift_state import Heat
        from aerocast.promotion import table
        from aerocast.retraining import policy as retraining

        root = platform.root
        beliefs = state.document(root, feed.name).read()
        heat = beliefs.of(target) if beliefs else Heat(target)
        # As old as what was examined, not as the look at it: a check that is run again says the same.
        now = beliefs.judged_at if beliefs else clock.now(root, feed.name, feed.end)
        # A release that was chosen counts, too: it has the same time to show.
        trial = table.newest(platform.lake, feed.name, target)
        # A row of an older table has no time of the feed.
        at = (trial.get("feed_time") or trial["decided_at"]) if trial else None
        has_helped, why = retraining.has_helped(feed.retraining, heat, at, now)
        return dg.AssetCheckResult(
            passed=has_helped,
            severity=dg.AssetCheckSeverity.WARN,
            description=why,
            metadata={
                "hot": heat.hot,
                "edges": heat.edges,
                "hot_since": str(heat.since) if heat.hot else "",
                "newest_retrain": str(at or ""),
                "promoted": bool(trial and trial["promoted"]),
                "retrain_reason": str((trial or {}).get("retrain_reason") or ""),
                "rmse": dg.MetadataValue.float(heat.rmse) if heat.rmse is not None else "",
                "release": heat.version or "",
            },
        )

    return check
