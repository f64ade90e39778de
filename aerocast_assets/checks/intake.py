"""Checks of the ways in: what could not be read fails the run, at its end; what was put aside waits for a person."""

from collections.abc import Iterator

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast_assets.assets.describe import preview
from aerocast_assets.assets.raw import UNREAD
from aerocast_assets.assets.step import check_step
from aerocast_assets.keys import key
from aerocast_assets.resources import Platform

NAME, PUT_ASIDE = "all_read", "nothing_put_aside"
PREVIEWED = 20


def all_read_name(feed: Feed) -> str:
    """The step that fails where a way in could not be read, and nothing but that."""
    return f"{feed.name}_{NAME}"


def intake_checks(feed: Feed) -> list[dg.AssetChecksDefinition]:
    """The checks on the feed's raw readings as they came in."""
    return [_all_read(feed), _nothing_put_aside(feed)]


def _nothing_put_aside(feed: Feed) -> dg.AssetChecksDefinition:
    spec = dg.AssetCheckSpec(
        PUT_ASIDE,
        asset=key(feed, "raw"),
        description="No file lies in the inbox's rejected/, and no post was set aside: fix or remove them.",
    )

    @check_step(spec)
    def check(platform: Platform) -> dg.AssetCheckResult:
        from aerocast.ingest.channels.inbox import Inbox, inbox_of
        from aerocast.ingest.channels.patience import delay_text
        from aerocast.ingest.channels.posted import PostStore

        inbox = Inbox(inbox_of(platform.root, platform.settings), platform.root, feed.name)
        rows = [{"what": reason.file, "why": reason.detail} for reason in inbox.rejection_reasons()]
        rows += [{"what": "put off", "why": delay_text([delay])} for delay in inbox.delays().values()]
        posts = PostStore(platform.root, feed.name).refusals()
        rows += [{"what": f"post {number}", "why": why} for number, why in posts]
        return dg.AssetCheckResult(
            passed=not rows,
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(f"{row['what']}: {row['why']}" for row in rows[:PREVIEWED]) or "nothing",
            metadata={"put_aside": len(rows), "newest": preview(rows[:PREVIEWED])},
        )

    return check


def _all_read(feed: Feed) -> dg.AssetChecksDefinition:
    """`all_read` of raw: blocks nothing, since readings that came in another way are as good as ever."""
    asset = key(feed, "raw")

    spec = dg.AssetCheckSpec(
        NAME,
        asset=asset,
        description="The source and every channel could be read. If not, the run fails, at its end.",
    )

    @check_step(spec, name=all_read_name(feed))
    def check(context: dg.AssetCheckExecutionContext, platform: Platform) -> Iterator[dg.AssetCheckResult]:
        from aerocast.ingest.channels import patience

        event = context.instance.get_latest_materialization_event(asset)
        materialization = event.asset_materialization if event else None
        unread = (
            str(materialization.metadata[UNREAD].value)
            if materialization and UNREAD in materialization.metadata
            else ""
        )
        # Of a way that is not tried for now the run that tried it last has told.
        put_off = patience.read_delays(platform.root, feed.name)
        delays = [f"{way}: {patience.delay_text([delay])}" for way, delay in put_off.items()]
        yield dg.AssetCheckResult(
            passed=not unread and not delays,
            asset_key=asset,
            check_name=NAME,
            severity=dg.AssetCheckSeverity.ERROR,
            description=unread or "; ".join(delays) or "everything was read",
            metadata={UNREAD: unread or "; ".join(delays) or "nothing"},
        )
        # Not `unread` of an older run: a check that is run alone only tells.
        if unread and event and event.run_id == context.run.run_id:
            raise dg.Failure(f"could not be read: {unread}", allow_retries=False)

    return check
