"""Says whether a release may still answer for a feed whose declaration has changed, and what it cannot do."""

from aerocast.common.unit_names import spelling
from aerocast.common.units import conversion, obstacle_to
from aerocast.common.words import duration
from aerocast.contracts.manifest import Manifest
from aerocast.feed.declaration import Feed
from aerocast.releases import release
from aerocast.storage.home import Home


def incompatibilities(manifest: Manifest, feed: Feed) -> list[str]:
    """Why a release must not answer for the feed as it is declared now; empty if it may."""
    window, target = manifest.window, manifest.target
    if target not in [column.name for column in feed.columns]:
        return [f"{target} is no longer a column"]
    reasons = [
        f"{name} is in {now}, and was in {then} when it was trained"
        for name, (then, now) in _units(manifest, feed).items()
    ]
    if window.cadence != feed.cadence.total_seconds():
        steps = (duration(feed.cadence), duration(feed.cadence * (window.cadence / feed.cadence.total_seconds())))
        reasons.append("a step is {} long, and was {} when it was trained".format(*steps))
    return reasons


def lacks(manifest: Manifest, feed: Feed) -> str:
    """The declared horizons and stations that a release does not know, as a phrase; empty if it knows all."""
    horizons = [str(each) for each in feed.horizons if each not in manifest.horizons]
    stations = sorted(set(feed.station_ids) - {place.id for place in manifest.window.places})
    parts = [f"forecast {', '.join(horizons)} steps ahead"] if horizons else []
    parts += [f"know {', '.join(stations)}"] if stations else []
    return " or ".join(parts)


def conversions(home: Home, feed: Feed) -> list[tuple[str, str, float | None, float | None]]:
    """(target, version, factor, offset) of the releases whose forecasts are in another unit than the feed's today.

    Both numbers are None where the two units measure different things.
    """
    changes: list[tuple[str, str, float | None, float | None]] = []
    for target in feed.targets:
        column = feed.column(target)
        for each in release.history(home, feed.name, target):
            if each.manifest and each.manifest.unit != column.unit:
                units = (each.manifest.unit, column.unit, column.density)
                factor, offset = (None, None) if obstacle_to(*units) else conversion(*units)
                changes.append((target, each.version, factor, offset))
    return changes


def _units(manifest: Manifest, feed: Feed) -> dict[str, tuple[str, str]]:
    """(then, now) of the columns whose unit differs between the release and the feed."""
    now = {column.name: column.unit for column in feed.columns}
    return {
        column.name: (column.unit, now[column.name])
        for column in manifest.feed.columns
        if column.name in {*manifest.window.columns, *manifest.window.covariates}
        and column.name in now
        and spelling(column.unit) != spelling(now[column.name])
    }
