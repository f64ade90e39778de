"""What live outcomes say of what serves: errors do not drift, intervals cover as they promise, and retraining helps.

One step checks all targets: it reads what `evaluation` has left, in far less time than a step takes by itself.
"""

from collections.abc import Callable
from typing import NamedTuple

import dagster as dg

from aerocast.common.words import duration
from aerocast.feed.declaration import Feed
from aerocast_assets.batch import Check, check_together
from aerocast_assets.checks import drift
from aerocast_assets.keys import key
from aerocast_assets.resources import Platform


class _Check(NamedTuple):
    """A check on each target; it is called `<target>_<name>`."""

    name: str
    description: Callable[[Feed, str], str]
    result: Callable[[Feed, str, Platform], dg.AssetCheckResult]


def live_checks(feed: Feed) -> dg.AssetChecksDefinition:
    """The checks on `evaluation`."""
    return check_together(
        f"{feed.name}_live_checks", *(_of_target(each, feed, target) for each in CHECKS for target in feed.targets)
    )


def _of_target(check: _Check, feed: Feed, target: str) -> Check:
    name, asset = f"{target}_{check.name}", key(feed, "evaluation")
    spec = dg.AssetCheckSpec(name, asset=asset, description=check.description(feed, target))
    return Check(spec, lambda _, platform: check.result(feed, target, platform))


def _stable(_: Feed, target: str) -> str:
    return f"No concept drift: errors of {target} are what the same season and weather allow."


def _covers(feed: Feed, target: str) -> str:
    least = feed.promotion.coverage - feed.promotion.coverage_tolerance
    return (
        f"At no horizon do live intervals of {target} cover less than {least:.0%}: "
        "one-sided test (p < 0.005) of the share inside at each instant, whose variance counts how they depend."
    )


def _coverage(feed: Feed, target: str, platform: Platform) -> dg.AssetCheckResult:
    """Of live outcomes; `interval_coverage` of the champion is over its test rows."""
    from aerocast.monitoring.evaluation import coverage
    from aerocast.releases import release

    nominal, pointer = feed.promotion.coverage, release.current(platform.root, feed.name, target)
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


def _helps(feed: Feed, target: str) -> str:
    return f"{target} cools within {duration(feed.retraining.settle)} of its newest retrain, or was not hot at all."


def _retraining(feed: Feed, target: str, platform: Platform) -> dg.AssetCheckResult:
    """From what is durable: the drift state and the table of promotions."""
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


CHECKS = (
    _Check("drift", _stable, drift.of_target),
    _Check("live_coverage", _covers, _coverage),
    _Check("retraining_helped", _helps, _retraining),
)
