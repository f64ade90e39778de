"""The sensor that takes claims while a broker has some; without a broker it costs nothing."""

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast_assets._compat import AssetJob
from aerocast_assets.assets.claims import KEY, UNSET, claims, declared_feed, listening, postponed_check
from aerocast_assets.automation.runs import FAILURES, UNFINISHED, back_off, own_retries
from aerocast_assets.labels import OWNERS, shared
from aerocast_assets.resources import Platform

JOB = "platform_claims"
POLL = 15  # seconds


def claiming(find: Callable[[str], Feed | None] = declared_feed) -> dg.Definitions:
    """The asset `platform/claims`, its job and its sensor."""
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(KEY),
        owners=OWNERS,
        description="Takes what the broker announces into raw.",
    )
    return dg.Definitions(
        assets=[shared(claims(find))], asset_checks=[postponed_check()], jobs=[job], sensors=[_sensor(job)]
    )


def _sensor(job: AssetJob) -> dg.SensorDefinition:
    @dg.sensor(
        name="claims_waiting",
        job=job,
        minimum_interval_seconds=POLL,
        default_status=listening(),
        owners=OWNERS,
        description="Runs when the broker has unprocessed claims; one run at a time.",
    )
    def sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.RunRequest | dg.SkipReason:
        from aerocast.ingest.channels import patience
        from aerocast.ingest.channels.claims import DELAYS

        address = platform.settings.broker
        if not address:
            return dg.SkipReason(UNSET)
        if why := _pause(context.instance, datetime.now(UTC)):
            return dg.SkipReason(why)
        try:
            waiting = _waiting(address)
        except AeroCastError as error:
            return dg.SkipReason(str(error))
        if not waiting:
            return dg.SkipReason("no claims wait")
        delays, now = patience.read_delays(platform.root, DELAYS).values(), datetime.now(UTC)
        if waiting <= len(delays) and not any(delay.is_due(now) for delay in delays):
            return dg.SkipReason(f"all that wait are postponed: {patience.delay_text(delays)}")
        # The next tick tries again, after a pause; Dagster's own retry would come at once.
        return dg.RunRequest(tags={**own_retries(), "aerocast/claims": f"{waiting} waited"})

    return sensor


def _waiting(address: str) -> int:
    from aerocast.ingest import brokers
    from aerocast.ingest.channels.claims import TOPICS

    with brokers.connect(address) as broker:
        return broker.backlog(TOPICS)


def _pause(instance: dg.DagsterInstance, now: datetime) -> str:
    """Why no run may start now, as a sentence; empty if one may."""
    if instance.get_run_records(dg.RunsFilter(job_name=JOB, statuses=list(UNFINISHED)), limit=1):
        return "a run is under way"
    return back_off(instance.get_run_records(dg.RunsFilter(job_name=JOB), limit=FAILURES), now)[1]
