"""The check of the ways in: what could not be read fails the run, but only after all that could be read was made."""

from collections.abc import Iterator

import dagster as dg

from aerocast.feed import Feed
from aerocast_assets.assets.raw import UNREAD
from aerocast_assets.keys import key

NAME = "all_read"


def intake_check(feed: Feed) -> dg.AssetChecksDefinition:
    """`all_read` of raw: blocks nothing, since readings that came in another way are as good as ever."""
    asset = key(feed, "raw")

    @dg.multi_asset_check(
        name=f"{feed.name}_{NAME}",
        specs=[
            dg.AssetCheckSpec(
                NAME,
                asset=asset,
                description="The source and every door could be read. If not, the run fails, at its end.",
            )
        ],
    )
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        event = context.instance.get_latest_materialization_event(asset)
        made = event.asset_materialization if event else None
        unread = str(made.metadata[UNREAD].value) if made and UNREAD in made.metadata else ""
        yield dg.AssetCheckResult(
            passed=not unread,
            asset_key=asset,
            check_name=NAME,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={UNREAD: unread or "nothing"},
        )
        # Not `unread` of an older run: a check that is run alone only tells.
        if unread and event and event.run_id == context.run.run_id:
            raise dg.Failure(f"could not be read: {unread}", allow_retries=False)

    return check
