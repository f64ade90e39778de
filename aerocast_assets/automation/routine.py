"""The routine retrain: what does not drift is trained again, too, when its champion is older than its limit.

A target that nothing serves yet, since no model was good enough, is tried again when there are newer rows.
"""

from datetime import datetime

import dagster as dg

from aerocast.common.errors import AeroCastError
from aerocast.common.words import duration
from aerocast.feed.declaration import BASELINES, Feed
from aerocast.storage.home import Home
from aerocast_assets._compat import AssetJob
from aerocast_assets.automation import runs
from aerocast_assets.automation.switch import described, schedule_status
from aerocast_assets.resources import Platform


def routine_schedule(feed: Feed, target: str, job: AssetJob) -> dg.ScheduleDefinition:
    """`<feed>_<target>_routine`: one for each target, since a schedule has one job."""

    @dg.schedule(
        name=f"{feed.name}_{target}_routine",
        job=job,
        cron_schedule=feed.retraining.schedule,
        default_status=schedule_status(feed),
        owners=feed.owners,
        description=described(
            feed,
            f"Retrains {target} when its champion is older than {duration(feed.retraining.max_age)}, "
            "by the feed's clock.",
        ),
    )
    def schedule(context: dg.ScheduleEvaluationContext, platform: Platform) -> dg.RunRequest | dg.SkipReason:
        from aerocast.contracts import clock
        from aerocast.releases import compatibility, release
        from aerocast.retraining import policy as retraining

        root = platform.root
        pointer = release.current(root, feed.name, target)
        now = clock.now(root, feed.name, feed.end)
        last = next(runs.retrains(context.instance, root, feed, target), None)
        since = None
        if pointer is None:
            tried, newer = _tried(root, feed, target)
            due, why = retraining.first_champion_due(feed.retraining, tried, now, newer=newer, last=last)
        else:
            hold = runs.hold(root, feed, target)
            try:
                manifest = release.load(root, feed.name, target, pointer.version).manifest
                wrong = "; ".join(compatibility.incompatibilities(manifest, feed))
            except AeroCastError as error:
                manifest, wrong = None, str(error)
            if manifest is None or wrong:
                due, why = retraining.replacement_due(feed.retraining, wrong, now, last=last, hold=hold)
            else:
                lineage = manifest.lineage
                # An older release has no time of the feed; its real one says nothing of a recording.
                since, trained_at = lineage.since, lineage.feed_time or min(lineage.created_at, now)
                due, why = retraining.routine_due(feed.retraining, trained_at, now, last=last, hold=hold)
        if due:
            return runs.ask(feed, target, f"schedule: {why}", now, since=since)
        over = feed.end is not None and now >= feed.end
        return dg.SkipReason(
            f"{target}: {why}" + (f"; the feed's clock stands at its end, {feed.end:%Y-%m-%d}" if over else "")
        )

    return schedule


def _tried(root: Home, feed: Feed, target: str) -> tuple[datetime | None, bool]:
    """When models were judged last, in the feed's time, and whether there are other rows than they learned from."""
    from aerocast.lake import Lake
    from aerocast.models import candidates
    from aerocast.promotion import table
    from aerocast_assets.assets import training_set

    lake = Lake(root)
    if (decision := table.newest(lake, feed.name, target)) is None:
        return None, False
    baseline = candidates.read_candidate(root, feed.name, target, BASELINES[0])
    return decision["feed_time"], baseline is None or baseline.data_version != training_set.content(lake, feed, target)
