"""The schedule that asks a web service: how often is the declaration's business, whether now is this module's."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from aerocast.common.words import duration
from aerocast.feed.declaration import Feed
from aerocast_assets._compat import AssetJob
from aerocast_assets.automation import live
from aerocast_assets.automation.switch import described, schedule_status
from aerocast_assets.resources import Platform

HOUR = timedelta(hours=1)


def poll_schedule(feed: Feed, job: AssetJob) -> Iterator[dg.ScheduleDefinition]:
    """`<feed>_poll`, of a feed whose source is a service; no other one has it."""
    if feed.source.watch != "polled":
        return
    every = feed.poll or HOUR

    @dg.schedule(
        name=f"{feed.name}_poll",
        job=job,
        cron_schedule=cron(every),
        default_status=schedule_status(feed),
        owners=feed.owners,
        description=described(feed, f"Asks {feed.source.label} for news every {duration(every)}."),
    )
    def schedule(context: dg.ScheduleEvaluationContext, platform: Platform) -> dg.RunRequest | dg.SkipReason:
        from aerocast.contracts import clock
        from aerocast.ingest.channels import patience
        from aerocast.ingest.channels.intake import SOURCE

        root, real = platform.root, datetime.now(UTC)
        waits, delay = (
            live.newest_runs(context.instance, root, feed, real).waits,
            patience.read_delays(root, feed.name).get(SOURCE),
        )
        if delay and not delay.is_due(real):
            waits = waits or patience.delay_text([delay])
        if waits:
            return dg.SkipReason(waits)
        now = clock.now(root, feed.name, feed.end, real)
        return live.ask(root, feed, live.present(root, feed, now), f"{feed.source.label} is asked", now)

    yield schedule


def cron(every: timedelta) -> str:
    """Every so many minutes of the hour, which `Feed` has checked."""
    minutes = every // timedelta(minutes=1)
    return f"*/{minutes} * * * *" if minutes < 60 else "0 * * * *"
