"""First aid for a champion: the baselines, and what serves, reweighted, as candidates of a trial."""

from typing import TYPE_CHECKING

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import BASELINES, Feed
from aerocast_assets.keys import table
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aerocast.models.candidates import Candidate


def candidates(
    platform: Platform, feed: Feed, target: str, offers: "Sequence[Candidate]", since: str
) -> "list[Candidate]":
    """Of `offers` the baselines, and what serves, reweighted for the regime that began `since` (ISO 8601).

    Raises:
        AeroCastError: nothing serves that can be weighed, or the regime is too short.
    """
    from aerocast.features.grid import WindowSpec
    from aerocast.models.splits import parse_since
    from aerocast.promotion import first_aid, incumbents
    from aerocast.releases import release
    from aerocast.tables import training

    spec, promotion = WindowSpec.of(feed, target), feed.promotion
    serving = release.serving_release(platform.root, feed.name, target).release
    served = incumbents.as_candidate(serving, spec, promotion.coverage, promotion.quantiles) if serving else None
    begin = parse_since(since)
    if served is None or begin is None:
        raise AeroCastError("first aid: nothing serves that was trained by this declaration")
    with platform.sql() as con:
        samples = training.load(spec, platform.lake.relation(con, table(feed, target, "windows")))
    baselines = {each.kind: each for each in offers if each.kind in BASELINES}
    return [*baselines.values(), first_aid.candidate(served, baselines, spec, samples, begin)]
