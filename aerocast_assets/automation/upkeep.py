"""The nightly round of maintenance over all tables."""

from collections.abc import Callable, Sequence

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast_assets.assets.maintenance import KEY, disk_check, maintenance
from aerocast_assets.feeds import feeds
from aerocast_assets.labels import OWNERS, shared

JOB = "platform_maintenance"


def upkeep(find: Callable[[], Sequence[Feed]] = feeds) -> dg.Definitions:
    """The asset `platform/maintenance`, its check, its job and its schedule."""
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(KEY),
        owners=OWNERS,
        description="Keeps the lake small and removes nothing that is needed.",
    )
    return dg.Definitions(
        assets=[shared(maintenance(find))],
        asset_checks=[disk_check()],
        jobs=[job],
        schedules=[
            dg.ScheduleDefinition(
                name="maintain_tables",
                job=job,
                cron_schedule="41 3 * * *",
                default_status=dg.DefaultScheduleStatus.RUNNING,
                owners=OWNERS,
                description="Every night: retention, compaction, vacuum, Dagster's old runs, disk use.",
            )
        ],
    )
