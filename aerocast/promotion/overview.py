"""What people see of a target: its releases, and the scores of a trial, as rows of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from aerocast.feed.declaration import BASELINES, Feed
from aerocast.promotion import gate, table
from aerocast.promotion.scoring import ALL, Score
from aerocast.releases import release
from aerocast.storage.home import Home

if TYPE_CHECKING:
    from aerocast.contracts.manifest import Manifest
    from aerocast.lake import LakeReader


def releases(lake: LakeReader, root: Home, feed: Feed, target: str, limit: int | None = None) -> list[dict[str, Any]]:
    """Releases, newest first: version, kind, trained to, promoted last, skill, and what each does now."""
    pointer, rival = (read(root, feed.name, target) for read in (release.current, release.challenger))
    promoted = table.promotion_times(lake, feed.name, target)
    rows = []
    for entry in release.history(root, feed.name, target, limit):
        state = "past" if entry.version in promoted else "never served"
        if rival and entry.version == rival.version:
            state = "challenger"
        if pointer and entry.version == pointer.version:
            state = f"serving; {pointer.active_hold}" if pointer.active_hold else "serving"
            promoted[entry.version] = pointer.promoted_at
        row: dict[str, Any] = {"version": entry.version, "kind": "", "trained to": None}
        if entry.manifest:
            row |= {"kind": kinds(entry.manifest), "trained to": entry.manifest.lineage.training_end}
        row |= {"promoted": promoted.get(entry.version), "skill": ""}
        if entry.manifest:
            row["skill"] = f"{entry.manifest.metrics.overall.skill:+.4f}"
        rows.append(row | {"state": f"cannot be served: {entry.error}" if entry.error else state})
    return rows


def kinds(manifest: Manifest) -> str:
    """A release's kind; of one that has several, which serves how many steps ahead."""
    at: dict[str, list[str]] = {}
    for horizon in manifest.horizons:
        at.setdefault(manifest.served_by.get(horizon, manifest.kind_at(horizon)), []).append(str(horizon))
    if len(at) == 1:
        return manifest.kind
    return "; ".join(f"{kind} at {', '.join(horizons)}" for kind, horizons in at.items())


def shortfall(scores: Sequence[Mapping[str, Any]], feed: Feed, target: str) -> str:
    """That no model was good enough to serve a target, as a sentence, by the newest trial's scores."""
    rows = max((row["n"] for row in scores if row["station"] == ALL and row["horizon"]), default=0)
    least = feed.promotion.min_skill
    bar = f" by more than {least:g}" if least else ""
    return (
        f"No model was good enough for {target}: at no horizon is one better than both baselines{bar}, in RMSE and in"
        f" MAE, on the {rows:,} rows that judge, so nothing serves"
    )


def rows_of_scores(
    scores: Sequence[Mapping[str, Any]], horizons: Sequence[int], unit: str
) -> list[dict[str, str | int]]:
    """A row for each model and horizon, the least RMSE of a horizon first: RMSE, MAE, and skill in both."""
    parsed = [msgspec.convert(row, Score) for row in scores]
    pooled = [each for each in parsed if each.station == ALL and each.horizon in horizons]
    skills = {model: gate.skills(parsed, model) for model in {each.model for each in pooled}}
    return [
        {
            "kind": f"{each.model} (baseline)" if each.model in BASELINES else each.model,
            "steps ahead": each.horizon,
            f"RMSE ({unit})": f"{each.rmse:.4g}",
            f"MAE ({unit})": f"{each.mae:.4g}",
            "skill in RMSE": f"{skills[each.model][each.horizon].rmse:+.3f}",
            "skill in MAE": f"{skills[each.model][each.horizon].mae:+.3f}",
        }
        for each in sorted(pooled, key=lambda each: (each.horizon, each.rmse, each.model))
    ]


def tables_of_scores(scores: Sequence[Mapping[str, Any]], horizons: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """A table each of `skill` (with the composite), `mae` and `coverage`: one row a model, best first, all stations."""
    by_model = {(row["model"], row["horizon"]): row for row in scores if row["station"] == "all"}
    models = sorted({model for model, _ in by_model}, key=lambda model: float(by_model[model, 0]["composite"]))

    def rows(number: str, digits: str) -> list[dict[str, Any]]:
        cells = {model: [by_model[model, horizon][number] for horizon in horizons] for model in models}
        heads = [f"{number} at {horizon}" for horizon in horizons]
        columns = {model: ["" if cell is None else format(cell, digits) for cell in cells[model]] for model in models}
        return [{"model": model, **dict(zip(heads, columns[model], strict=True))} for model in models]

    skill = [
        {**row, "composite": format(by_model[row["model"], 0]["composite"], ".4f")} for row in rows("skill", "+.3f")
    ]
    return {"skill": skill, "mae": rows("mae", ".3f"), "coverage": rows("coverage", ".1%")}
