"""Checks of the models: skill above zero, intervals that cover what they say, training rows enough to mean anything."""

from typing import TYPE_CHECKING

import dagster as dg

from aerocast.common.words import duration
from aerocast.feed.declaration import Feed
from aerocast_assets.assets.describe import preview
from aerocast_assets.batch import Check, check_together
from aerocast_assets.keys import key
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.contracts.manifest import Manifest

STEP = "champion_checks"


def skill_checks(feed: Feed, target: str) -> dg.AssetChecksDefinition:
    """Checks on the champion of one target, over what its release says of the test rows."""
    return check_together(f"{feed.name}__{target}__{STEP}", _skill(feed, target), _coverage(feed, target))


def _skill(feed: Feed, target: str) -> Check:
    spec = dg.AssetCheckSpec(
        "skill_above_zero",
        asset=key(feed, target, "champion"),
        blocking=True,
        description="On the test rows a model that was trained beats the better of persistence and seasonal naive at "
        "each horizon; blocking where nothing serves.",
    )

    def check(_: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        if (serves := _serves(platform, feed, target)) is None:
            return _unserved(platform, feed, target)
        skills = {
            horizon: min(scores.skill, scores.skill if scores.skill_mae is None else scores.skill_mae)
            for horizon, scores in serves.metrics.horizons.items()
        }
        least = feed.promotion.min_skill
        # Where a baseline serves that is said, and blocks nothing; nor does a release that was judged before that rule.
        holds = serves.metrics.overall.skill > least or any(skill > least for skill in skills.values())
        return dg.AssetCheckResult(
            passed=min(skills.values()) > least,
            severity=dg.AssetCheckSeverity.WARN if holds else dg.AssetCheckSeverity.ERROR,
            description="skill over the better baseline, the lesser of RMSE's and MAE's: "
            + ", ".join(
                f"{skill:+.3f} at {duration(horizon * feed.cadence)}{_stand_in(serves, horizon)}"
                for horizon, skill in skills.items()
            ),
            metadata={f"skill_{horizon}": skill for horizon, skill in skills.items()}
            | {f"served_by_{horizon}": name for horizon, name in serves.served_by.items()}
            | {"release": serves.version},
        )

    return Check(spec, check)


def _stand_in(serves: "Manifest", horizon: int) -> str:
    return f" (by {serves.served_by[horizon]})" if horizon in serves.served_by else ""


def _unserved(platform: Platform, feed: Feed, target: str) -> dg.AssetCheckResult:
    """That nothing serves, with all candidates' scores beside those of the baselines."""
    from aerocast.promotion import table
    from aerocast.promotion.overview import rows_of_scores, shortfall

    scores = table.newest_scores(platform.lake, feed.name, target)
    decision = table.newest(platform.lake, feed.name, target)
    return dg.AssetCheckResult(
        passed=False,
        description=shortfall(scores, feed, target),
        metadata={
            "candidates": preview(rows_of_scores(scores, feed.horizons, feed.column(target).unit)),
            "decision": decision["reason"] if decision else "",
        },
    )


def _coverage(feed: Feed, target: str) -> Check:
    nominal, tolerance = feed.promotion.coverage, feed.promotion.coverage_tolerance

    spec = dg.AssetCheckSpec(
        "interval_coverage",
        asset=key(feed, target, "champion"),
        description=f"Intervals cover {nominal:.0%} of the test rows, give or take {tolerance:.0%}, at each horizon.",
    )

    def check(_: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
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

    return Check(spec, check)


def _serves(platform: Platform, feed: Feed, target: str) -> "Manifest | None":
    from aerocast.releases import release

    pointer = release.current(platform.root, feed.name, target)
    return release.load(platform.root, feed.name, target, pointer.version).manifest if pointer else None
