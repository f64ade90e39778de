"""claims: what brokers announce, taken into the raw tables of all feeds; one asset, since feeds share the topics."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast_assets.assets.describe import PREVIEW, preview, status
from aerocast_assets.feeds import declared, find_feed
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.ingest.channels.claims import ClaimReport

GROUP = "platform"
KEY = dg.AssetKey([GROUP, "claims"])
BROKER = "AEROCAST_BROKER"
UNSET = f"no broker: set {BROKER}"
PREVIEWED = 20  # dead letters in the metadata; all of them are at the broker


def declared_feed(name: str) -> Feed | None:
    """The feed of this name, None if none is declared. Raises AeroCastError for a declaration that is not valid."""
    return find_feed(name) if name in declared() else None


def listening() -> dg.DefaultSensorStatus:
    """Whether the sensors of a broker are on: without one each tick would be a row that says so, four a minute."""
    # Not from the settings, whose library takes longer to import than all sensors to define.
    return dg.DefaultSensorStatus.RUNNING if os.environ.get(BROKER) else dg.DefaultSensorStatus.STOPPED


def claims(find: Callable[[str], Feed | None] = declared_feed) -> dg.AssetsDefinition:
    """`platform/claims`: each materialisation is what one run took."""

    @dg.asset(
        key=KEY,
        group_name=GROUP,
        kinds={"parquet", "deltalake"},
        description="Claim checks from the broker: announced Parquet objects, appended to raw exactly once.",
    )
    def asset(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast.ingest import brokers
        from aerocast.ingest.channels.claim_objects import ClaimPrefixes
        from aerocast.ingest.channels.claims import TOPICS, take_claims

        address = platform.settings.broker
        if not address:
            raise AeroCastError(UNSET)
        settings = platform.settings
        prefixes = ClaimPrefixes.of(platform.root, settings.claim_prefixes)
        with brokers.connect(address) as broker:
            intake = take_claims(broker, platform.root, find, limit=settings.patience, prefixes=prefixes)
            backlog = broker.backlog(TOPICS)
        metadata = _describe(intake, backlog)
        summary = f"{intake.messages} messages: {intake.rows.total()} readings from {len(intake.claims)} objects"
        context.log.info(f"{summary}, {intake.repeats} known already, {len(intake.dead)} dead letters, {backlog} wait")
        for each in intake.postponed:
            context.log.warning(f"postponed: {each.topic} {each.position}: {each.error}")
        for each in intake.dead:
            context.log.warning(f"dead letter: {each.topic} {each.position}: {each.error}")
        if intake.later:
            # The broker keeps them. What was taken stays taken.
            why = f"{len(intake.later)} claims were put off; the first: {intake.later[0].error}"
            raise dg.Failure(f"{summary}; {why}", metadata=metadata, allow_retries=False)
        return dg.MaterializeResult(metadata=metadata)

    return asset


def _describe(intake: "ClaimReport", backlog: int) -> dict[str, Any]:
    return {
        **status(intake.claims),
        "messages": intake.messages,
        "waiting": backlog,
        "objects": len(intake.claims),
        "objects_known": intake.repeats,
        "rows": intake.rows.total(),
        "rows_by_feed": preview([{"feed": feed, "rows": rows} for feed, rows in sorted(intake.rows.items())]),
        "newest_claims": _table(intake.claims[-PREVIEW:]),
        "dead_letters": len(intake.dead),
        "dead_letters_why": _table(intake.dead[:PREVIEWED]),
        "put_off": _table(intake.later),
        "postponed": _table(intake.postponed[:PREVIEWED]),
    }


def postponed_check() -> dg.AssetChecksDefinition:
    """Warns while there are claims whose objects cannot be read: others go on, so nothing else would say so."""

    @dg.asset_check(
        asset=KEY, name="nothing_postponed", description="The object of every claim that waits can be read."
    )
    def check(platform: Platform) -> dg.AssetCheckResult:
        from aerocast.ingest.channels import patience
        from aerocast.ingest.channels.claims import DELAYS

        delays = patience.read_delays(platform.root, DELAYS)
        return dg.AssetCheckResult(
            passed=not delays,
            severity=dg.AssetCheckSeverity.WARN,
            description=patience.delay_text(list(delays.values())[:PREVIEWED]) or "nothing",
            metadata={"postponed": len(delays)},
        )

    return check


def _table(rows: Sequence[msgspec.Struct]) -> dg.MarkdownMetadataValue:
    return preview([msgspec.structs.asdict(row) for row in rows])
