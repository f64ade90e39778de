"""What a simulated station measures: calm days, then a heatwave.

Every reading is a function of the seed, the station and its instant, so any span can be had alone and again.

Calm: a daily cycle around a level that slow weather moves. In the heatwave the level rises, the weather moves it more,
and days swing further and are warmest hours later. So a model of the calm errs in how a day goes, not only in how warm
it is, and there is something to learn.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic_settings import BaseSettings, SettingsConfigDict

from aerocast.common.months import month_of, month_span
from aerocast.common.times import EPOCH
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.feed.station import Station
from aerocast.ingest.sources.simulated import SimulatedSource
from aerocast.tables.raw import Delivery, delivery, raw_names, segment_of

Series = NDArray[np.float64]

PERIODS = (2.3, 3.7, 5.9, 9.1, 13.7)  # days of the slow weather's waves
PEAK, HOT_PEAK = 15.0, 19.0  # hours of solar time at which a calm and a hot day are warmest
NOISE_LIMIT = 3.0  # standard deviations at which a reading's noise is cut, so that the calm keeps within its bounds


class SimulatedSettings(BaseSettings):
    """`CALM_ONLY=1` leaves the heatwave out."""

    model_config = SettingsConfigDict(env_ignore_empty=True)

    calm_only: bool = False


def read_series(source: SimulatedSource, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
    """See `SourceKind.read`: of each month what was measured later than `after` and not later than `now`."""
    first, last = _step(feed, feed.start - timedelta(microseconds=1)) + 1, _newest(feed, request.now)
    for month in _months(feed, first, last) if request.months is None else sorted(set(request.months)):
        start, end = (_step(feed, edge - timedelta(microseconds=1)) + 1 for edge in month_span(month))
        next_step = _step(feed, request.after[month]) + 1 if month in request.after else start
        steps = range(max(first, start, next_step), min(last + 1, end))
        if steps:
            yield _delivery(source, feed, month, steps)


def fingerprint(source: SimulatedSource, feed: Feed, now: datetime | None = None) -> str:
    """See `SourceKind.fingerprint`: another one with each reading."""
    parts = [source.model_dump(mode="json"), feed.station_ids, SimulatedSettings().calm_only, _newest(feed, now)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def temperatures(
    source: SimulatedSource, station: Station, steps: range, cadence: timedelta, *, calm_only: bool = False
) -> Series:
    """What the station measures at these steps (n,), counted in `cadence` from 1970, in the column's source unit.

    A step has one value, whatever else is asked for beside it.
    """
    seconds: Series = np.arange(steps.start, steps.stop, dtype=np.float64) * cadence.total_seconds()
    hour = (seconds / 3600 + (station.longitude or 0.0) / 15) % 24
    heat = np.zeros(len(steps)) if calm_only else _heat(source, seconds)
    day = (1 - heat) * source.swing * _day(hour, PEAK) + heat * source.hot_swing * _day(hour, HOT_PEAK)
    weather_size = (1 - heat) * source.weather + heat * source.hot_weather
    level = source.level + heat * source.rise + weather_size * _weather(source, station, seconds)
    noise = (1 - heat) * source.noise + heat * source.hot_noise
    return level + day + noise * _noise(source, station, steps)


def _delivery(source: SimulatedSource, feed: Feed, month: str, steps: range) -> Delivery:
    """One month's readings of all stations, in order of time, as text."""
    calm = SimulatedSettings().calm_only
    values = [temperatures(source, station, steps, feed.cadence, calm_only=calm) for station in feed.stations]
    text = np.char.mod("%.1f", np.stack(values, axis=1).ravel())
    times = [EPOCH + step * feed.cadence for step in steps for _ in feed.stations]
    columns = {
        "station": pa.array(list(feed.station_ids) * len(steps), pa.string()),
        "time_text": pa.array([f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in times], pa.string()),
        **dict.fromkeys(raw_names(feed).values(), pa.array(text, pa.string())),
    }
    return delivery(feed, month, segment_of(pa.table(columns)), times, columns)


def _months(feed: Feed, first: int, last: int) -> list[str]:
    """Every month between two steps, oldest first."""
    if last < first:
        return []
    times = (EPOCH + step * feed.cadence for step in range(first, last + 1, max(1, timedelta(days=1) // feed.cadence)))
    return sorted({*map(month_of, times), month_of(EPOCH + last * feed.cadence)})


def _newest(feed: Feed, now: datetime | None) -> int:
    """The step that is measured last at the feed's present; its end, if it has one, is the first that is not."""
    last = _step(feed, feed.clock(now))
    return min(last, _step(feed, feed.end - timedelta(microseconds=1))) if feed.end else last


def _step(feed: Feed, time: datetime) -> int:
    """The newest step at or before an instant."""
    return (time - EPOCH) // feed.cadence


def _heat(source: SimulatedSource, seconds: Series) -> Series:
    """0 up to the onset, 1 at the heatwave's height, and smooth in between."""
    since = seconds - source.onset.timestamp()
    share = np.clip(since / max(1.0, source.ramp.total_seconds()), 0, 1)
    return share**2 * (3 - 2 * share)


def _day(hour: Series, peak: float) -> Series:
    return np.cos(2 * np.pi * (hour - peak) / 24)


def _weather(source: SimulatedSource, station: Station, seconds: Series) -> Series:
    """Slow swings within -1 .. 1."""
    phases = np.random.default_rng([source.seed, _number(station)]).uniform(0, 2 * np.pi, len(PERIODS))
    waves = [np.sin(2 * np.pi * seconds / (86_400 * days) + at) for days, at in zip(PERIODS, phases, strict=True)]
    weather: Series = np.mean(waves, axis=0)
    return weather


def _noise(source: SimulatedSource, station: Station, steps: range) -> Series:
    """Standard normal draws cut at CUT, one a step: Philox is a function of its counter, which here is the step.

    Salmon et al. 2011 for the generator, Box and Muller 1958 for the normal draws.
    """
    counter = np.random.Philox(key=[source.seed, _number(station)]).advance(steps.start)
    draws = np.random.Generator(counter).random((len(steps), 4))  # a counter gives four
    normal: Series = np.sqrt(-2 * np.log1p(-draws[:, 0])) * np.cos(2 * np.pi * draws[:, 1])
    return np.clip(normal, -NOISE_LIMIT, NOISE_LIMIT)


def _number(station: Station) -> int:
    """A station's own stream of randomness."""
    return int.from_bytes(hashlib.sha256(station.id.encode()).digest()[:8], "big")
