"""A person's choice of the release that serves: a rollback, which holds until it is lifted, and the end of such a hold.

The loop chooses, too: a challenger that has proven itself on live requests. Its choice yields to a person's.
"""

from typing import TYPE_CHECKING

import dagster as dg

from aerocast.common.errors import AeroCastError
from aerocast.common.lineage import config_hash
from aerocast.feed.declaration import Feed
from aerocast_assets.assets import champion, tracked, verdicts
from aerocast_assets.assets.describe import status
from aerocast_assets.resources import Platform, ReleaseChoice

if TYPE_CHECKING:
    from aerocast.promotion.choice import Choice


def choose(
    context: dg.AssetExecutionContext, platform: Platform, feed: Feed, target: str, config: ReleaseChoice, offered: str
) -> dg.MaterializeResult[None]:
    """Lets a release serve from now on, and holds it unless the loop chose it; or ends such a hold. History keeps all.

    Raises:
        Failure: there is no such release, it is damaged, or a person holds another one; the one that serves goes on.
            Nothing of this changes by itself, so that the run is not repeated.
    """
    from aerocast.promotion import choice

    root, lake, tag = platform.root, platform.lake, context.run.tags.get(champion.RETRAIN_TAG)
    try:
        if config.lift:
            outcome = choice.lift(root, feed, target)
        else:
            length = choice.parse_length(config.hold_for, "hold_for")
            hold = None if config.automatic else choice.hold_for(length, tag or "")
            outcome = choice.choose(lake, root, feed, target, config.release, hold, tag or "", offered)
            _follow(context, platform, feed, target, outcome)
    except AeroCastError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    if outcome.segment:
        choice.record(lake, root, feed, target, outcome, context.run.run_id, tag)
    context.log.info(outcome.reason if outcome.segment else f"unchanged: {outcome.reason}")
    described = verdicts.describe(platform, feed, target)
    hold = outcome.pointer.hold
    state = config_hash(
        release=outcome.serves.version,
        promoted_at=outcome.pointer.promoted_at.isoformat(),
        hold=hold.since.isoformat() if hold else None,
    )
    return champion.result(platform, outcome.serves, status(outcome.segment) | described, state)


def _follow(context: dg.AssetExecutionContext, platform: Platform, feed: Feed, target: str, outcome: "Choice") -> None:
    """MLflow's alias follows what serves."""
    from aerocast.models.tracking import model_name

    name, run_id = model_name(feed.name, target), outcome.serves.lineage.mlflow_run_id
    tags = {"verdict": "promoted", "reason": outcome.reason} if outcome.is_switch else {}
    if tracked.noted(context, platform.root, lambda tracker: tracker.follow(name, run_id, tags)) is False:
        version = outcome.serves.version
        context.log.warning(f"MLflow does not know the training of {version}, so its alias stays where it is")
