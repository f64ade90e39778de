"""The routine retrain: what does not drift is trained again, too, when its champion is older than its limit."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from aerocast.feed import Feed
from aerocast_assets.automation import runs
from aerocast_assets.resources import Platform

HOURLY = "23 * * * *"


def routine_schedule(feed: Feed, target: str, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """`<feed>_<target>_routine`: one for each target, since a schedule has one job."""

    @dg.schedule(
        name=f"{feed.name}_{target}_routine",
        job=job,
        cron_schedule=HOURLY,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Retrains {target} when its champion is older than {feed.retraining.max_age} of the feed's time.",
    )
    def schedule(context: dg.ScheduleEvaluationContext, platform: Platform) -> dg.RunRequest | dg.SkipReason:
        from aerocast import clock, release, retraining

        root = platform.root
        pointer = release.current(root, feed.name, target)
        if pointer is None:
            return dg.SkipReason(f"{target}: nothing serves yet, so nothing is old")
        lineage = release.load(root, feed.name, target, pointer.version).manifest.lineage
        now = clock.now(root, feed.name, feed.end)
        last = next(runs.retrains(context.instance, root, feed, target), None)
        due, why = retraining.routine(feed.retraining, lineage.feed_time or lineage.created_at, now, last=last)
        if due:
            return runs.ask(feed, target, f"schedule: {why}", now, since=lineage.since)
        over = feed.end is not None and now >= feed.end
        return dg.SkipReason(
            f"{target}: {why}" + (f"; the feed's clock stands at its end, {feed.end:%Y-%m-%d}" if over else "")
        )

    return schedule
