"""Checks of the models: skill above zero, intervals that cover what they say, training rows enough to mean anything."""

from typing import TYPE_CHECKING

import dagster as dg

from aerocast.common.words import duration
from aerocast.feed.declaration import Feed
from aerocast_assets.assets.describe import preview
from aerocast_assets.keys import key
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.contracts.manifest import Manifest

SKILL = "skill_above_zero"


def skill_checks(feed: Feed, target: str) -> list[dg.AssetChecksDefinition]:
    """Checks on the champion of one target, over what its release says of the test rows."""
    return [_skill(feed, target), _coverage(feed, target)]


def _skill(feed: Feed, target: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=key(feed, target, "champion"),
        name=SKILL,
        blocking=True,
        description="On the test rows the champion beats the better of persistence and seasonal naive at each horizon; "
        "blocking where it does not in the mean over them.",
    )
    def check(platform: Platform) -> dg.AssetCheckResult:
        if (serves := _serves(platform, feed, target)) is None:
            return dg.AssetCheckResult(passed=False, description="No candidate beat both baselines, so nothing serves.")
        skills = {horizon: scores.skill for horizon, scores in serves.metrics.horizons.items()}
        least = feed.promotion.min_skill
        # One that took over from a worse one may fall short at a horizon: that is told, and blocks nothing.
        holds = serves.metrics.overall.skill > least
        return dg.AssetCheckResult(
            passed=min(skills.values()) > least,
            severity=dg.AssetCheckSeverity.WARN if holds else dg.AssetCheckSeverity.ERROR,
            description="skill over the better baseline: "
            + ", ".join(f"{skill:+.3f} at {duration(horizon * feed.cadence)}" for horizon, skill in skills.items()),
            metadata={f"skill_{horizon}": skill for horizon, skill in skills.items()} | {"release": serves.version},
        )

    return check


def _coverage(feed: Feed, target: str) -> dg.AssetChecksDefinition:
    nominal, tolerance = feed.promotion.coverage, feed.promotion.coverage_tolerance

    @dg.asset_check(
        asset=key(feed, target, "champion"),
        name="interval_coverage",
        description=f"Intervals cover {nominal:.0%} of the test rows, give or take {tolerance:.0%}, at each horizon.",
    )
    def check(platform: Platform) -> dg.AssetCheckResult:
        if (serves := _serves(platform, feed, target)) is None:
            return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description="Nothing serves.")
        shares = {horizon: scores.coverage or 0.0 for horizon, scores in serves.metrics.horizons.items()}
        off = {horizon: share for horizon, share in shares.items() if abs(share - nominal) > tolerance}
        outside = ", ".join(f"{share:.1%} at {duration(horizon * feed.cadence)}" for horizon, share in off.items())
        return dg.AssetCheckResult(
            passed=not off,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"the {nominal:.0%} interval covers {outside or f'about {nominal:.0%} at each horizon'}",
            metadata={
                "outside": outside,
                "coverage": preview([{"horizon": horizon, "coverage": share} for horizon, share in shares.items()]),
            },
        )

    return check


def _serves(platform: Platform, feed: Feed, target: str) -> "Manifest | None":
    from aerocast.releases import release

    pointer = release.current(platform.root, feed.name, target)
    return release.load(platform.root, feed.name, target, pointer.version).manifest if pointer else None
