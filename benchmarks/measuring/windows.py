"""The form of the public fev-bench tasks: a week ahead, hourly, from the newest windows, by scaled quantile loss.

Windows of 168 steps lie one behind the other, as in the public tasks, and the last one ends with the recording. A
channel's loss in a window is twice the pinball loss, mean over the quantiles 0.1 to 0.9 and the steps that were
measured, in units of the mean absolute difference of two days before the window; channels and windows count alike.

Every forecast of a window depends on rows before it alone. The kind `long_linear` is fitted again before each week,
with the penalties and levels that it chose on rows before the first window. Quantiles are those of its errors on
earlier days at the same hour, those of the steps beside each with them, in units of the square root of how far two days
lay apart in the fortnight before a forecast.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aerocast.features.dataset import Dataset, Rows
from aerocast.features.grid import Ints, WindowSpec
from aerocast.feed.model_kind import model
from measuring.long import KIND, SEASON, channel_rows, etth1, long_feed, names
from measuring.series import DATA, regular

STEPS, WINDOWS = 168, 20
QUANTILES = np.arange(1, 10) / 10
YEAR = 52  # weeks of errors, at most
FORTNIGHT = 14 * SEASON
POLLUTANTS = ("CO_GT", "C6H6_GT", "NOx_GT", "NO2_GT")
Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recording:
    """Hourly channels `values` (T, C), NaN for what was not measured, and how many of its newest weeks are windows."""

    values: Reals
    windows: int = WINDOWS

    @cached_property
    def filled(self) -> Reals:
        """What is missing is as it was a day before, so that a forecast may start anywhere."""
        filled = self.values.copy()
        for at in range(1, len(filled)):
            missing = np.isnan(filled[at])
            filled[at, missing] = filled[max(at - SEASON, 0), missing]
        return filled

    @property
    def starts(self) -> list[int]:
        """The first row of each window."""
        return [len(self.values) - STEPS * before for before in range(self.windows, 0, -1)]

    @property
    def weeks(self) -> list[int]:
        """The first row of each week that is forecast: windows, and the newer half of what lies before them."""
        first = self.starts[0]
        return list(range(first - STEPS * min(YEAR, first // 2 // STEPS), len(self.values), STEPS))

    @property
    def origins(self) -> Ints:
        """(D,) the row before each week, and the same hour of all other days."""
        return np.arange(self.weeks[0] - 1, self.starts[-1], SEASON)

    def outcomes(self, origins: Ints) -> Reals:
        """(n, C, STEPS) what was measured after each origin; NaN beyond the end."""
        padded = np.concatenate([self.values, np.full((STEPS, self.values.shape[1]), np.nan)])
        outcomes: Reals = padded[origins[:, None] + np.arange(1, STEPS + 1)].transpose(0, 2, 1)
        return outcomes

    def unrest(self, origins: Ints) -> Reals:
        """(n, C) how far two days lay apart in the fortnight before each origin."""
        change = np.abs(self.filled[SEASON:] - self.filled[:-SEASON])
        sums = np.cumsum(np.concatenate([np.zeros((1, change.shape[1])), np.nan_to_num(change)]), axis=0)
        end = origins + 1 - SEASON
        unrest: Reals = np.maximum((sums[end] - sums[np.maximum(end - FORTNIGHT, 0)]) / FORTNIGHT, 1e-9)
        return unrest

    def quantiles(self, levels: Reals, start: int) -> Reals:
        """(C, STEPS, Q) of the window that begins at `start`, from forecasts `levels` (D, C, STEPS) at the origins."""
        at = int(np.searchsorted(self.origins, start - 1))
        past = self.origins[:at]
        is_known = (past[:, None] + np.arange(1, STEPS + 1) < start)[:, None]
        errors = np.where(is_known, self.outcomes(past) - levels[:at], np.nan)
        spread = np.sqrt(self.unrest(self.origins[: at + 1]))[:, :, None]
        padded = np.pad(errors / spread[:at], ((0, 0), (0, 0), (1, 1)), constant_values=np.nan)
        beside = np.concatenate([padded[:, :, shift : shift + STEPS] for shift in range(3)])
        return np.moveaxis(levels[at] + spread[at] * np.nanquantile(beside, QUANTILES, axis=0), 0, -1)

    def loss(self, start: int, quantiles: Reals) -> float:
        """Of quantiles (C, STEPS, Q), or of points (C, STEPS, 1), in the window that begins at `start`."""
        past, actual = self.values[:start], self.outcomes(np.array([start - 1]))[0]
        error = actual[:, :, None] - quantiles
        pinball = 2 * np.maximum(QUANTILES * error, (QUANTILES - 1) * error).mean(axis=-1)
        unit = np.nanmean(np.abs(past[SEASON:] - past[:-SEASON]), axis=0)
        channels = zip(pinball, np.isfinite(actual), unit, strict=True)
        return float(np.mean([own[known].mean() / each for own, known, each in channels if known.any()]))

    def losses(self, levels: Reals) -> list[float]:
        """Of each window, with quantiles from the errors of earlier days."""
        return [self.loss(start, self.quantiles(levels, start)) for start in self.starts]

    def losses_of_points(self, levels: Reals) -> list[float]:
        """Of each window, with the forecast itself for every quantile: mean absolute scaled errors."""
        at = np.searchsorted(self.origins, np.array(self.starts) - 1)
        return [self.loss(start, levels[each][:, :, None]) for start, each in zip(self.starts, at, strict=True)]


def persistence(recording: Recording) -> Reals:
    """(D, C, STEPS) the newest value, again and again."""
    return np.repeat(recording.filled[recording.origins][:, :, None], STEPS, axis=2)


def newest_day(recording: Recording) -> Reals:
    """(D, C, STEPS) the newest day, again and again."""
    day = recording.filled[recording.origins[:, None] + np.arange(1 - SEASON, 1)].transpose(0, 2, 1)
    return np.tile(day, STEPS // SEASON)


def long_linear(recording: Recording, seasons: int) -> Reals:
    """(D, C, STEPS) of the project's kind, fitted before each week on all rows whose outcomes are known then."""
    feed, channels = long_feed(recording.values.shape[1], STEPS, seasons), recording.values.shape[1]
    spec, begin, first = WindowSpec.of(feed, "y"), recording.weeks[0], recording.starts[0]
    scale = np.nanstd(recording.values[:first], axis=0)
    origins = np.arange(spec.look_back - 1, recording.starts[-1])
    age = np.isnan(recording.values).astype(np.float32)
    rows = channel_rows(spec, (recording.filled / scale).astype(np.float32), age, origins)

    def part(keep: NDArray[np.bool_]) -> Rows:
        return rows.take(np.tile(keep, channels))

    known = {start: origins + STEPS < start for start in recording.weeks}
    data = Dataset(spec, names(spec), part(known[begin]), part(known[first] & (origins >= begin - 1)))
    chosen = model(KIND).learn(data, feed.candidates[KIND])
    levels = []
    for week in recording.weeks:
        days = recording.origins[(recording.origins >= week - 1) & (recording.origins < week - 1 + STEPS)]
        level = chosen.refit(data, part(known[week])).predict(part(np.isin(origins, days)).x)
        levels.append(level.reshape(channels, -1, STEPS).swapaxes(0, 1) * scale[:, None])
    return np.concatenate(levels)


def measure_windows(recording: Recording, seasons: int) -> dict[str, list[float]]:
    """The loss in each window: of naive forecasts as points and with quantiles of their errors, and of the kind."""
    naive = {"persistence": persistence(recording), "the newest day repeated": newest_day(recording)}
    points = {f"{label}, as points": recording.losses_of_points(levels) for label, levels in naive.items()}
    return points | {
        label: recording.losses(levels) for label, levels in {**naive, "ours": long_linear(recording, seasons)}.items()
    }


def transformer() -> Recording:
    """The seven channels of ETTh1."""
    return Recording(etth1())


def air_quality() -> Recording:
    """Four pollutants of an Italian street."""
    frame = pd.read_parquet(DATA / "uci_air_quality_sensor_drift" / "AirQualityUCI.parquet")
    fields = {name: name for name in POLLUTANTS}
    return Recording(regular(frame, "time_local", fields, timedelta(hours=1), missing=-200).values)
