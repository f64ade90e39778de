"""How a champion shows the newest decision and the trial behind it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from aerocast.feed.model import Feed
from aerocast.promotion import table
from aerocast_assets.assets.describe import drawing, preview, report
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.lake import LakeReader
    from aerocast.promotion.trial import Trial

RELEASES = 20  # newest ones that are shown


def shown(
    platform: Platform, lake: "LakeReader", feed: Feed, target: str, trial: "Trial | None" = None
) -> dict[str, Any]:
    """The newest decision as its tables keep it, so that it is seen too when nothing had to be decided.

    Pictures are drawn of a new trial, and otherwise shown as they were last.
    """
    from aerocast.releases import release
    from aerocast.reporting import plots
    from aerocast_assets.assets.releases import releases

    root = platform.root
    found: dict[str, Any] = {"releases": preview(releases(root, feed, target, RELEASES))}
    if (pointer := release.current(root, feed.name, target)) and (hold := pointer.active_hold):
        found["hold"] = str(hold)
    decision, judged = (table.newest(lake, feed.name, target, judged=judged) for judged in (False, True))
    if decision is None:
        return found
    found |= {"decision": decision["reason"], "verdict": _verdict(decision), "promoted": decision["promoted"]}
    # Rows of older tables have no such columns.
    for name in ("p_value", "statistic", "gain", "retrain_reason", "incumbent", "challenger"):
        if decision.get(name) is not None:
            found[name] = decision[name]
    if trial and trial.duel:
        figure = plots.duel(trial.duel, f"{feed.name} {target}: challenger against incumbent")
        drawing(platform, report(root, feed.name, target, "proof"), "proof", figure)
    if decision.get("p_value") is not None:
        found |= drawing(platform, report(root, feed.name, target, "proof"), "proof")
    if judged and not _is_trial(decision):
        # Its scores say nothing about what was chosen.
        found["newest_trial"] = f"{judged['decided_at']:%Y-%m-%d %H:%M} UTC: {judged['reason']}"
        return found
    return found | (_judged(platform, lake, feed, target, judged, draw=trial is not None) if judged else {})


def _is_trial(decision: Mapping[str, Any]) -> bool:
    return decision["test_rows"] is not None


def _verdict(decision: Mapping[str, Any]) -> str:
    if not _is_trial(decision):
        return str(decision["reason"])
    return "promoted" if decision["promoted"] else "held" if decision.get("hold") else "refused"


def _judged(
    platform: Platform, lake: "LakeReader", feed: Feed, target: str, decision: Mapping[str, Any], *, draw: bool
) -> dict[str, Any]:
    """What the newest trial found."""
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


def tables_of_scores(scores: Sequence[Mapping[str, Any]], horizons: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """A table each of `skill` (with the composite), `mae` and `coverage`: one row a model, best first, all stations."""
    pooled = {(row["model"], row["horizon"]): row for row in scores if row["station"] == "all"}
    models = sorted({model for model, _ in pooled}, key=lambda model: float(pooled[model, 0]["composite"]))

    def rows(number: str, digits: str) -> list[dict[str, Any]]:
        cells = {model: [pooled[model, horizon][number] for horizon in horizons] for model in models}
        heads = [f"{number} at {horizon}" for horizon in horizons]
        shown = {model: ["" if cell is None else format(cell, digits) for cell in cells[model]] for model in models}
        return [{"model": model, **dict(zip(heads, shown[model], strict=True))} for model in models]

    skill = [{**row, "composite": format(pooled[row["model"], 0]["composite"], ".4f")} for row in rows("skill", "+.3f")]
    return {"skill": skill, "mae": rows("mae", ".3f"), "coverage": rows("coverage", ".1%")}
