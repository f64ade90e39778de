"""A person's choice of the release that serves: a rollback, which holds until it is lifted, and the end of such a hold.

The loop chooses, too: a challenger that has proven itself on live requests. Its choice yields to a person's.
"""

from typing import TYPE_CHECKING

import dagster as dg

from aerocast.common.errors import AeroCastError
from aerocast.common.lineage import config_hash
from aerocast.common.times import to_minute
from aerocast.contracts.pointer import HoldError
from aerocast.feed.model import Feed
from aerocast.promotion import table
from aerocast.storage.home import Home
from aerocast_assets.assets import champion, tracked, verdicts
from aerocast_assets.assets.describe import status
from aerocast_assets.resources import Platform, ReleaseChoice

if TYPE_CHECKING:
    from aerocast.contracts.manifest import Manifest
    from aerocast.contracts.pointer import Current

LIFTED = "lifted"  # the verdict of a hold that was ended


def choose(
    context: dg.AssetExecutionContext, platform: Platform, feed: Feed, target: str, config: ReleaseChoice, verdict: str
) -> dg.MaterializeResult[None]:
    """Lets a release serve from now on, and holds it unless the loop chose it; history keeps both.

    Raises:
        Failure: there is no such release, it is damaged, or a person holds another one; the one that serves goes on.
            Nothing of this changes by itself, so that the run is not repeated.
    """
    from aerocast.contracts import clock
    from aerocast.lake import Lake
    from aerocast.models.tracking import model_name
    from aerocast.promotion import choice
    from aerocast.releases import release

    root, lake, tag = platform.root, Lake(platform.root), context.run.tags.get(champion.RETRAIN_TAG)
    pointer = _promoted(root, feed, target, config, tag or "")
    chosen = release.load(root, feed.name, target, pointer.version).manifest
    newest = table.newest(lake, feed.name, target)
    # A run that was killed in between left the pointer moved and no row.
    moved = newest is None or newest["version"] != pointer.version
    changed = moved or newest is None or newest.get("hold") != choice.text_of(pointer)
    reason = tag if config.automatic and tag else choice.reason_for(pointer, tag or "", moved=moved)
    tags = {"verdict": "promoted", "reason": reason} if moved else {}
    name, run_id = model_name(feed.name, target), chosen.lineage.mlflow_run_id
    if tracked.noted(context, root, lambda tracker: tracker.follow(name, run_id, tags)) is False:
        context.log.warning(f"MLflow does not know the training of {chosen.version}, so its alias stays where it is")
    if changed:
        about = table.Context(
            run_id=context.run.run_id,
            feed_time=clock.now(root, feed.name, feed.end),
            retrain_reason=tag,
            since=chosen.lineage.since,
            version=chosen.version,
            challenger=chosen.version,
            incumbent=pointer.previous,
            hold=choice.text_of(pointer),
        )
        segment = f"{verdict}@{chosen.version}@{pointer.promoted_at.isoformat()}"
        segment += f"@{pointer.hold.since.isoformat()}" if pointer.hold else ""
        table.record_choice(lake, feed, target, chosen, about, reason, verdict, segment)
    context.log.info(reason if changed else f"unchanged: {chosen.version} serves already")
    return _shown(platform, feed, target, chosen, pointer, computed=changed)


def lift(context: dg.AssetExecutionContext, platform: Platform, feed: Feed, target: str) -> dg.MaterializeResult[None]:
    """Ends a person's hold: from now on the loop may replace what serves.

    Raises:
        Failure: nothing serves.
    """
    from aerocast.contracts import clock
    from aerocast.lake import Lake
    from aerocast.releases import release

    root, lake = platform.root, Lake(platform.root)
    lifted, pointer = release.lift(root, feed.name, target), release.current(root, feed.name, target)
    if pointer is None:
        raise dg.Failure(f"{feed.name}/{target}: no release serves, so none is held", allow_retries=False)
    serves = release.load(root, feed.name, target, pointer.version).manifest
    if lifted:
        reason = f"the hold on {pointer.version} since {to_minute(lifted.since)} was lifted"
        about = table.Context(
            run_id=context.run.run_id,
            feed_time=clock.now(root, feed.name, feed.end),
            retrain_reason=context.run.tags.get(champion.RETRAIN_TAG),
            since=serves.lineage.since,
            version=serves.version,
            incumbent=serves.version,
        )
        segment = f"{LIFTED}@{lifted.since.isoformat()}"
        table.record_choice(lake, feed, target, serves, about, reason, LIFTED, segment, promoted=False)
    context.log.info(reason if lifted else f"unchanged: nobody holds {pointer.version}")
    return _shown(platform, feed, target, serves, pointer, computed=bool(lifted))


def _promoted(root: Home, feed: Feed, target: str, config: ReleaseChoice, reason: str) -> "Current":
    from aerocast.promotion import choice
    from aerocast.releases import release

    try:
        length = choice.length_of(config.hold_for, "hold_for")
        hold = None if config.automatic else choice.hold_for(length, reason)
        return choice.promote(root, feed, target, config.release, hold)
    except HoldError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except AeroCastError as error:
        known = ", ".join(release.versions(root, feed.name, target)) or "none"
        text = f"{error}; the releases of {feed.name}/{target}: {known}"
        raise dg.Failure(text, allow_retries=False) from error


def _shown(
    platform: Platform, feed: Feed, target: str, serves: "Manifest", pointer: "Current", *, computed: bool
) -> dg.MaterializeResult[None]:
    from aerocast.lake import Lake

    shown = verdicts.shown(platform, Lake(platform.root), feed, target)
    state = config_hash(
        release=serves.version,
        promoted_at=pointer.promoted_at.isoformat(),
        hold=pointer.hold.since.isoformat() if pointer.hold else None,
    )
    return champion.result(platform, serves, status(computed or None) | shown, state)
