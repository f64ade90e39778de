"""maintenance: the lake kept small and readable, once a night, and what it takes on the disk."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast_assets.assets.describe import preview, status
from aerocast_assets.feeds import feeds
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.operations.retention import Use

GROUP = "platform"
KEY = dg.AssetKey([GROUP, "maintenance"])
LEAST_FREE = 0.1  # of the disk: below it the check warns
PREVIEWED = 30


def maintenance(find: Callable[[], Sequence[Feed]] = feeds) -> dg.AssetsDefinition:
    """`platform/maintenance`: its figures are numbers, which the UI draws over time."""

    @dg.asset(
        key=KEY,
        group_name=GROUP,
        kinds={"deltalake"},
        description="Months past their retention removed, small files joined, old versions vacuumed, Dagster's old runs"
        " deleted; disk use recorded. What a release was trained on stays readable.",
    )
    def asset(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast.contracts import clock
        from aerocast.operations.retention import disk, disk_use, maintain
        from aerocast_assets.automation.run_history import prune

        root, lake = platform.root, platform.lake
        feeds = {feed.name: (feed, clock.now(root, feed.name, feed.end)) for feed in find()}
        upkeep = maintain(root, lake, feeds)
        for name, why in upkeep.failures.items():
            context.log.warning(f"{name} was skipped: {why}")
        pruned = prune(context.instance, datetime.now(UTC))
        figures = {
            "months_removed": sum(map(len, upkeep.removals.values())),
            "months_joined": sum(upkeep.compactions.values()),
            "files_vacuumed": sum(upkeep.vacuums.values()),
            "commits_forgotten": sum(upkeep.dropped_commits.values()),
            "tables_spared": len(upkeep.failures),
            "runs_deleted": pruned.runs,
            "tick_logs_deleted": pruned.tick_logs,
            "databases_rewritten": pruned.rewritten,
            **{f"{kind}_removed": count for kind, count in upkeep.prunings.items()},
        }
        context.log.info(", ".join(f"{name} {count}" for name, count in figures.items()))
        tables, (free, total) = disk_use(lake), disk(root)
        removed = [{"table": name, "months": ", ".join(months)} for name, months in sorted(upkeep.removals.items())]
        return dg.MaterializeResult(
            metadata={
                **status(sum(figures.values())),
                **figures,
                "tables": _describe(tables),
                "bytes": sum(use.bytes for use in tables),
                "bytes_kept": sum(use.bytes_in_all for use in tables),
                "files": sum(use.files for use in tables),
                "rows": sum(use.rows for use in tables),
                "dagster_bytes": pruned.bytes,
                "disk_free": free,
                "disk_total": total,
                "removed": preview(removed),
                "spared": preview([{"table": name, "why": why} for name, why in sorted(upkeep.failures.items())]),
            }
        )

    return asset


def _describe(tables: "Sequence[Use]") -> dg.MarkdownMetadataValue:
    """The largest tables; `kept_mb` counts older versions and the log, too."""
    return preview(
        [
            {
                "table": use.table,
                "rows": use.rows,
                "files": use.files,
                "mb": round(use.bytes / 1e6, 2),
                "kept_mb": round(use.bytes_in_all / 1e6, 2),
            }
            for use in tables[:PREVIEWED]
        ]
    )


def disk_check() -> dg.AssetChecksDefinition:
    """Warns before a disk is full; the share of it that is free is drawn over time."""

    @dg.asset_check(
        asset=KEY, name="disk_has_room", description=f"At least {LEAST_FREE:.0%} of the disk of the home is free."
    )
    def check(platform: Platform) -> dg.AssetCheckResult:
        from aerocast.operations.retention import disk

        free, total = disk(platform.root)
        share = free / total if total else 1.0
        return dg.AssetCheckResult(
            passed=share >= LEAST_FREE,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{share:.0%} of the disk of the home is free ({free / 1e9:,.1f} GB)",
            metadata={"free": free, "total": total, "share_free": round(share, 4)},
        )

    return check
