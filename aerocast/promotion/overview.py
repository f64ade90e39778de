"""What people see of a target: its releases, and the scores of a trial, as rows of tables."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aerocast.feed.declaration import Feed
from aerocast.promotion import table
from aerocast.releases import release
from aerocast.storage.home import Home

if TYPE_CHECKING:
    from aerocast.lake import LakeReader


def releases(lake: "LakeReader", root: Home, feed: Feed, target: str, limit: int | None = None) -> list[dict[str, Any]]:
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
            row |= {"kind": entry.manifest.kind, "trained to": entry.manifest.lineage.training_end}
        row |= {"promoted": promoted.get(entry.version), "skill": ""}
        if entry.manifest:
            row["skill"] = f"{entry.manifest.metrics.overall.skill:+.4f}"
        rows.append(row | {"state": f"cannot be served: {entry.error}" if entry.error else state})
    return rows


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
