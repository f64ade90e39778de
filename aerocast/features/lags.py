"""Which steps before its origin a window's features look at: the newest ones, and as many hours of a finer cadence.

A lag or a span is counted in steps, and again in hours where a step is shorter than one; where it is longer, in steps
alone. The server imports this module: numpy, msgspec and the standard library only.
"""

from aerocast.features import seasons
from aerocast.features.grid import WindowSpec

NEAR = 12
FAR = (14, 17, 20, 23, 29, 35, 41, 47)
HOURS = (1, 2, 3, 4, 6, 8, 10, 12)  # further lags, where a step is shorter than an hour
CHANGES = (1, 3, 6, 12, 24)
SPANS = ((0, 3), (0, 6), (0, 12), (0, 24), (24, 48))
OTHERS = (0, 1, 3)


def hour_of(spec: WindowSpec) -> int:
    """Steps of an hour; 1 where a step is longer, or no part of one."""
    return 3600 // spec.cadence if spec.cadence < 3600 and 3600 % spec.cadence == 0 else 1


def near_lags(spec: WindowSpec) -> list[int]:
    """The lags of every input: the newest ones, without a gap (a recurrent model's sequence)."""
    return list(range(min(NEAR, spec.look_back)))


def far_lags(spec: WindowSpec) -> list[tuple[str, int]]:
    """Older lags of the window's columns, with those one season before each target; of the target see `seasons`."""
    hour = hour_of(spec)
    hours = [lag * hour for lag in (*HOURS, *FAR)] if hour > 1 else []
    lags = {*FAR, *hours, *((spec.season - horizon) % spec.season for horizon in spec.horizons)}
    far, seasonal = sorted(lag for lag in lags if NEAR <= lag < spec.look_back), {*seasons.nominal_lags(spec).values()}
    return [(column, lag) for column in spec.columns for lag in far if column != spec.target or lag not in seasonal]


def lag_names(spec: WindowSpec) -> list[str]:
    near = [f"{column}_lag{lag}" for column in spec.inputs for lag in near_lags(spec)]
    return near + [f"{column}_lag{lag}" for column, lag in far_lags(spec)]


def change_lags(spec: WindowSpec) -> list[int]:
    return sorted({lag * unit for lag in CHANGES for unit in (1, hour_of(spec)) if lag * unit < spec.look_back})


def change_names(spec: WindowSpec) -> list[str]:
    return [f"{column}_change{lag}" for column in spec.inputs for lag in change_lags(spec)]


def spans_of(spec: WindowSpec) -> list[tuple[int, int]]:
    """The spans of steps before the origin over which features take means and extremes."""
    spans = {(start * unit, end * unit) for start, end in SPANS for unit in (1, hour_of(spec))}
    return sorted((span for span in spans if span[1] <= spec.look_back), key=lambda span: (span[1], span[0]))


def span_ends(spec: WindowSpec) -> list[int]:
    """Where `spans_of` end, each once: the target's spread and extremes are taken from the origin back to there."""
    return sorted({end for _, end in spans_of(spec)})


def others_lags(spec: WindowSpec) -> list[int]:
    return [lag for lag in OTHERS if lag < spec.look_back]
