"""Whether the intervals of what serves cover live outcomes as they say, beyond what luck explains."""

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast_assets.keys import key
from aerocast_assets.resources import Platform


def coverage_check(feed: Feed, target: str) -> dg.AssetChecksDefinition:
    """The check on one target's live outcomes; `interval_coverage` of the champion is over its test rows."""
    nominal, tolerance = feed.promotion.coverage, feed.promotion.coverage_tolerance

    @dg.asset_check(
        asset=key(feed, "evaluation"),
        name=f"{target}_live_coverage",
        description=f"At no horizon do live intervals of {target} cover less than {nominal - tolerance:.0%}: "
        "one-sided test (p < 0.005) of the share inside at each instant, whose variance counts how they depend.",
    )
    def check(platform: Platform) -> dg.AssetCheckResult:
        from aerocast.monitoring.evaluation import coverage
        from aerocast.releases import release

        pointer = release.current(platform.root, feed.name, target)
        with platform.sql() as con:
            rows = coverage.live_coverage(con, platform.lake.view(), feed, target, pointer.version) if pointer else []
        off = [f"{each.share:.1%} at {each.horizon} steps (p = {each.p_value:.2g})" for each in rows if each.low]
        shares = {f"coverage_{each.horizon}": dg.MetadataValue.float(each.share) for each in rows}
        counts = {f"outcomes_{each.horizon}": dg.MetadataValue.int(each.outcomes) for each in rows}
        return dg.AssetCheckResult(
            passed=not off,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{', '.join(off)} instead of {nominal:.0%}" if off else f"{nominal:.0%} is not refuted",
            metadata={**shares, **counts, "release": pointer.version if pointer else ""},
        )

    return check
