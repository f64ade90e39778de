"""How a champion shows the newest decision and the trial behind it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from aerocast.feed.declaration import Feed
from aerocast.promotion import table
from aerocast_assets.assets import backtest
from aerocast_assets.assets.describe import drawing, preview, report
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.lake import LakeReader
    from aerocast.promotion.trial import Trial

CONTRIBUTIONS = "contributions"  # the picture of what the champion looks at
RELEASES = 20  # newest ones that are shown


def describe(platform: Platform, feed: Feed, target: str, trial: "Trial | None" = None) -> dict[str, Any]:
    """The newest decision as its tables keep it, so that it is seen too when nothing had to be decided.

    Pictures are drawn of a new trial, and otherwise shown as they were last.
    """
    from aerocast.promotion.overview import releases
    from aerocast.releases import release
    from aerocast.reporting import plots

    root, lake = platform.root, platform.lake
    metadata: dict[str, Any] = {"releases": preview(releases(lake, root, feed, target, RELEASES))}
    metadata |= backtest.proof(platform, feed, target)
    pointer = release.current(root, feed.name, target)
    if pointer and (hold := pointer.active_hold):
        metadata["hold"] = str(hold)
    decision, newest_trial = (
        table.newest(lake, feed.name, target, by_trial=trial_only) for trial_only in (False, True)
    )
    if decision is None:
        return metadata
    metadata |= {
        "decision": decision["reason"],
        "verdict": table.verdict_of(decision),
        "promoted": decision["promoted"],
    }
    # Rows of older tables have no such columns.
    for name in ("p_value", "statistic", "gain", "retrain_reason", "incumbent", "challenger"):
        if decision.get(name) is not None:
            metadata[name] = decision[name]
    if trial and trial.duel:
        figure = plots.duel(trial.duel, f"{feed.name} {target}: challenger against incumbent")
        drawing(platform, report(root, feed.name, target, "proof"), "proof", figure)
    if trial and pointer and decision["promoted"]:
        _draw_contributions(platform, feed, target, trial, pointer.version)
    metadata |= drawing(platform, report(root, feed.name, target, CONTRIBUTIONS), CONTRIBUTIONS)
    if decision.get("p_value") is not None:
        metadata |= drawing(platform, report(root, feed.name, target, "proof"), "proof")
    if newest_trial and not table.is_trial(decision):
        # Its scores say nothing about what was chosen.
        metadata["newest_trial"] = f"{newest_trial['decided_at']:%Y-%m-%d %H:%M} UTC: {newest_trial['reason']}"
        return metadata
    return metadata | (
        _scores(platform, lake, feed, target, newest_trial, draw=trial is not None) if newest_trial else {}
    )


def _draw_contributions(platform: Platform, feed: Feed, target: str, trial: "Trial", version: str) -> None:
    """What the champion looks at, when a trial has made it that."""
    from aerocast.features.grid import WindowSpec
    from aerocast.promotion.contributions import mean_contributions
    from aerocast.reporting import plots

    sizes, unit = mean_contributions(WindowSpec.of(feed, target), trial), feed.column(target).unit
    if not sizes:
        return
    title = f"{feed.name} {target}: mean size of each group's part\nin the forecasts of {version} [{unit}]"
    figure = plots.contributions(sizes, feed.horizons, title)
    drawing(platform, report(platform.root, feed.name, target, CONTRIBUTIONS), CONTRIBUTIONS, figure)


def _scores(
    platform: Platform, lake: "LakeReader", feed: Feed, target: str, decision: Mapping[str, Any], *, draw: bool
) -> dict[str, Any]:
    """What the newest trial found."""
    from aerocast.promotion.overview import tables_of_scores
    from aerocast.promotion.scoring import Score
    from aerocast.reporting import plots

    scores = table.newest_scores(lake, feed.name, target)
    span = f"{decision['test_start']:%Y-%m-%d} to {decision['test_end']:%Y-%m-%d}"
    title = f"{target}: skill on {decision['test_rows']:,} test rows, {span}"
    figure = plots.skills([msgspec.convert(row, Score) for row in scores], feed.horizons, title) if draw else None
    tables = tables_of_scores(scores, feed.horizons)
    return {
        "scores": preview(tables["skill"]),
        f"mae_{feed.column(target).unit}": preview(tables["mae"]),
        "interval_coverage": preview(tables["coverage"]),
        **drawing(platform, report(platform.root, feed.name, target, "skill"), "skill", figure),
        "test_rows": decision["test_rows"],
        "test_start": str(decision["test_start"]),
        "test_end": str(decision["test_end"]),
    }
