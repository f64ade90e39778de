"""Checks of what models are trained on: every station among it, and the place that features of the sun need."""

from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from aerocast.common.words import count, duration
from aerocast.feed.declaration import Feed
from aerocast_assets.batch import Check
from aerocast_assets.keys import key, table
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from collections.abc import Iterable

SEASONS = timedelta(days=2 * 365)  # from here on models may learn what the season of the year does
NAMED = 10  # stations that a sentence names


def stations_learned(feed: Feed, target: str) -> dg.AssetCheckSpec:
    """The check on a training set, which the asset makes with it: both read the same rows."""
    return dg.AssetCheckSpec(
        "stations_learned",
        asset=key(feed, target, "training_set"),
        description="Every station has rows to train on: the split is by time, so one that was recorded late has none.",
    )


def judge_stations(feed: Feed, target: str, platform: Platform) -> dg.AssetCheckResult:
    """The result of `stations_learned`."""
    from aerocast.features.grid import WindowSpec
    from aerocast.models.enough import RoleRows

    spec, lake = WindowSpec.of(feed, target), platform.lake
    with platform.sql() as con:
        rows = RoleRows.read(feed, spec, lake.relation(con, table(feed, target, "windows")))
    unlearned = rows.unlearned(feed)
    parts = [f"{station} has no row to train on; {why}" for station, why in [*unlearned.items()][:NAMED]]
    text = "; ".join(parts) + _more(unlearned) + ". Its forecasts are those of a station that no model has learned: "
    own = stations_learned(feed, target)
    return dg.AssetCheckResult(
        asset_key=own.asset_key,
        check_name=own.name,
        passed=not unlearned,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{text}leave it out, or bring readings of the same span as the others'"
        if unlearned
        else "every station has rows to train on",
        metadata={"stations": ", ".join(unlearned)},
    )


def places_declared(feed: Feed) -> Check:
    """The check on silver of the stations behind the training sets."""
    spec = dg.AssetCheckSpec(
        "places_declared",
        asset=key(feed, "silver"),
        description=f"With readings of {duration(SEASONS)} or more, every station has a latitude and a longitude: the "
        "features of the sun and of the season are made from them.",
    )

    def check(_: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        span = platform.lake.span(table(feed, "silver"))
        length = span[1] - span[0] if span else timedelta(0)
        unplaced = [each.id for each in feed.stations if each.latitude is None or each.longitude is None]
        suffices = length < SEASONS or not unplaced
        names = ", ".join(unplaced[:NAMED]) + _more(unplaced)
        return dg.AssetCheckResult(
            passed=suffices,
            severity=dg.AssetCheckSeverity.WARN,
            description="nothing is missing"
            if suffices
            else f"{names}: without latitude and longitude features of the sun are missing, so no model knows the "
            f"season of the year, and the readings span {duration(length)}; declare both in `stations`",
            metadata={"stations": names},
        )

    return Check(spec, check)


def _more(stations: "Iterable[str]") -> str:
    rest = len([*stations]) - NAMED
    return f" and {count(rest, 'station')} more" if rest > 0 else ""
