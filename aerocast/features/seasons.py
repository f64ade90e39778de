"""The steps at which the same was seen before: seasons ago, at the same local hour as each target.

A season of whole days follows the local clock: where clocks are changed in between, the same hour of the day before
lies 23 or 25 hours back. A step that is later than the origin does not count; the season before it takes its place.
The server imports this module: numpy, msgspec and the standard library only.
"""

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np

from aerocast.features.grid import Ints, Place, WindowSpec
from aerocast.features.local_time import DAY, offsets

REPEATS = 2  # of each season, the newest first
HISTORY = 7, 3  # at most so many seasons have a mean, and no fewer than so many


def names(spec: WindowSpec) -> list[str]:
    """`<target>_season<steps>_<horizon>`, then `..._2` for a season earlier; in the order of `lags`."""
    return [
        f"{spec.target}_season{season}_{horizon}{'' if back == 1 else f'_{back}'}"
        for season, horizon, back in _columns(spec)
    ]


def nominal_lags(spec: WindowSpec) -> dict[str, int]:
    """Each name's steps before the origin, where no clock is changed in between."""
    return dict(zip(names(spec), [_lag(*each) for each in _columns(spec)], strict=True))


def history_names(spec: WindowSpec) -> list[str]:
    """`<target>_season<steps>_mean_<step>` for the origin (0) and each horizon; empty where the look-back is short."""
    return [f"{spec.target}_season{season}_mean_{step}" for season, step in _means(spec)]


def history_lags(spec: WindowSpec, place: Place, start: np.datetime64, at: Ints) -> Ints:
    """(F * repeats, n): as `lags`, of each repeat that a mean of `history_names` is taken of, one mean after the other.

    What lies before the look-back is missing, and does not count.
    """
    columns = [(season, step, back) for season, step in _means(spec) for back in range(1, HISTORY[0] + 1)]
    return _lags(spec, place, start, at, columns)


def lags(spec: WindowSpec, place: Place, start: np.datetime64, at: Ints) -> Ints:
    """(F, n) steps before the origins `at` (n,), which lie so many steps after `start` (NaT: no clock counts)."""
    return _lags(spec, place, start, at, _columns(spec))


def _lags(
    spec: WindowSpec, place: Place, start: np.datetime64, at: Ints, columns: Sequence[tuple[int, int, int]]
) -> Ints:
    """As `lags`, for each (season, horizon, how many seasons back) of `columns`."""
    first, reach = int(at.min()), int(at.max()) - int(at.min()) + spec.horizons[-1] + 1

    @cache
    def ahead(shift: int) -> Ints:
        """Seconds that clocks are ahead of UTC at the steps from `first` on, `shift` steps before."""
        steps = start + (first - shift + np.arange(reach)) * np.timedelta64(spec.cadence, "s")
        return np.nan_to_num(offsets(steps, place.timezone)).astype(np.int64)

    @cache
    def same_hour(season: int, horizon: int, back: int) -> Ints:
        lag, target = _lag(season, horizon, back), at - first + horizon
        if season * spec.cadence % DAY:
            return np.full(len(at), lag)
        change = (ahead(lag + horizon) - ahead(0))[target]
        return lag + np.where(change % spec.cadence == 0, change // spec.cadence, 0)

    rows = np.empty((len(columns), len(at)), dtype=np.int64)
    for row, (season, horizon, back) in enumerate(columns):
        later = same_hour(season, horizon, 1) < 0
        own = same_hour(season, horizon, back)
        rows[row] = np.where(later, same_hour(season, horizon, back + 1), own) if later.any() else own
    return rows


@lru_cache(maxsize=64)
def _columns(spec: WindowSpec) -> tuple[tuple[int, int, int], ...]:
    """(season, horizon, how many seasons back) of each column; only what the look-back covers."""
    return tuple(
        (season, horizon, back)
        for season in spec.seasons
        for back in range(1, REPEATS + 1)
        for horizon in spec.horizons
        if _lag(season, horizon, back) < spec.look_back
    )


@lru_cache(maxsize=64)
def _means(spec: WindowSpec) -> tuple[tuple[int, int], ...]:
    """(season, steps after the origin) of each mean; the look-back must cover enough seasons before the last target."""
    return tuple(
        (season, step)
        for season in spec.seasons
        if _lag(season, 0, HISTORY[1]) < spec.look_back
        for step in (0, *spec.horizons)
    )


def _lag(season: int, horizon: int, back: int) -> int:
    return (-(-max(horizon, 1) // season) + back - 1) * season - horizon
