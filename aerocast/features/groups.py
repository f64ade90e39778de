"""Groups a model's features into what a person understands: a column, its seasons, the calendar, the other stations.

The server imports this module: numpy, msgspec and the standard library only.
"""

from collections.abc import Sequence

import numpy as np

from aerocast.features import calendar, profile, seasons, sky
from aerocast.features.grid import Ints, WindowSpec
from aerocast.features.lags import others_lags

CALENDAR, STATION, OTHERS = "calendar and sun", "station", "other stations"


def feature_groups(spec: WindowSpec, names: Sequence[str]) -> tuple[tuple[str, ...], Ints]:
    """The groups of features called `names` (F), in order of appearance, and the group of each by its place (F,).

    The target's own recent values are one group and its earlier seasons another; every other column is one, and so is
    each covariate, the calendar with the sun, the station, and what the other stations measured.
    """
    special = _special(spec)
    owners = [special.get(name) or _column(spec, name) for name in names]
    groups = tuple(dict.fromkeys(owners))
    return groups, np.array([groups.index(owner) for owner in owners], dtype=np.int64)


def _column(spec: WindowSpec, name: str) -> str:
    """The group of a column's lags, changes, means, extremes and ages, whose last word is what is computed."""
    column = name.rpartition("_")[0]
    return f"{column}, recent" if column == spec.target else column


def _special(spec: WindowSpec) -> dict[str, str]:
    """The group of each feature that is not a column's own."""
    earlier = f"{spec.target}, earlier seasons"
    groups = dict.fromkeys((*seasons.names(spec), *seasons.history_names(spec), *profile.names(spec)), earlier)
    groups |= dict.fromkeys((*sky.names(spec), *calendar.names(spec)), CALENDAR)
    groups |= {f"station_{place.id}": STATION for place in spec.places}
    groups |= {f"near_{column}_lag{lag}": OTHERS for column in spec.inputs for lag in others_lags(spec)}
    for each in spec.ahead:
        own = (*(f"{each.name}_ahead_{horizon}" for horizon in spec.horizons), f"{each.name}_ahead_age")
        groups |= dict.fromkeys(own, f"{each.name}, known ahead")
    return groups
