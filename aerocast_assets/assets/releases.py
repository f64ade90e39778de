"""The releases of a target as a table: on the champion's page, and for the command `releases`."""

from typing import Any

from aerocast.feed.model import Feed
from aerocast.storage.home import Home


def releases(root: Home, feed: Feed, target: str, limit: int | None = None) -> list[dict[str, Any]]:
    """Releases, newest first: version, kind, trained to, promoted last, skill, and what each does now."""
    from aerocast.lake import Lake
    from aerocast.promotion import table
    from aerocast.releases import release

    pointer, rival = (read(root, feed.name, target) for read in (release.current, release.challenger))
    promoted = table.last_promoted(Lake(root), feed.name, target)
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
