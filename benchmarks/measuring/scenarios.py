"""The cases of every scenario: base series, what is done to them, and where a published fact settles the truth.

Injected ones stand on noaa (even seeds: station and season by the seed) and on made climates (odd seeds). Calibration
uses other seeds and other series (`benchmarks/calibration.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from aerocast.feed.declaration import Feed
from measuring import faults
from measuring.faults import Injected, Injection
from measuring.series import (
    Series,
    analyser,
    bikes,
    climate,
    declare,
    electricity,
    marylebone,
    noaa,
    processor,
    riders,
    stream,
)
from measuring.truth import Case

DAY = 24
WARM_UP = 12 * DAY  # rows served before anything happens
AIRPORTS = ("JFK", "LGA", "EWR")
NEW_YORK = {"latitude": 40.7, "longitude": -74.0, "timezone": "America/New_York"}
JUDGE = 20_251_120  # seeds of the judging series; calibration has its own
DEGREES = {"temperature": ("degF", -80.0, 150.0)}

# name -> (injection, rows after the onset, rows that judge)
WORLD: dict[str, tuple[Injection, int, int]] = {
    "calm": (faults.nothing, 45 * DAY, 18 * DAY),
    "level shift": (faults.level_shift, 45 * DAY, 18 * DAY),
    "trend": (faults.trend, 45 * DAY, 18 * DAY),
    "variance": (faults.variance, 45 * DAY, 18 * DAY),
    "dynamics": (faults.dynamics, 45 * DAY, 18 * DAY),
    "heatwave": (faults.heatwave, 45 * DAY, 18 * DAY),
    "station moved": (faults.moved, 45 * DAY, 18 * DAY),
}
SENSOR: dict[str, tuple[Injection, int, int]] = {
    "stuck sensor": (faults.stuck, 26 * DAY, 10 * DAY),
    "spikes": (faults.spikes, 26 * DAY, 10 * DAY),
    "unit change": (faults.unit_change, 26 * DAY, 10 * DAY),
    "drop-out": (faults.drop_out, 26 * DAY, 10 * DAY),
    "clock jump": (faults.clock_jump, 26 * DAY, 10 * DAY),
}
INJECTED = WORLD | SENSOR
SEASON, MADE = "season", "made"


def weather_feed(kind: str = "linear") -> Feed:
    """One hourly temperature, the feed of the injected scenarios."""
    return declare("weather", DEGREES, "temperature", place=NEW_YORK, kind=kind)


@cache
def airport(station: str) -> Series:
    return noaa(station)


@dataclass(frozen=True)
class Bases:
    """Where injected scenarios stand: real series for even seeds, made climates for odd ones, all drawn by `salt`."""

    salt: int
    names: tuple[str, ...]
    real: Callable[[str], Series]

    def draw(self, seed: int) -> tuple[Series, int, str]:
        """The seed's series, the row where serving begins, and the source's name."""
        rng = np.random.default_rng([self.salt, seed])
        if seed % 2 == 0:
            name = self.names[seed // 2 % len(self.names)]
            whole = self.real(name)
            live = int(rng.integers(160, 300)) * DAY + int(rng.integers(DAY))
            return Series(whole.time, whole.columns[:1], whole.values[:, :1]), live, name
        return climate(rng, 660), int(rng.integers(420, 470)) * DAY + int(rng.integers(DAY)), MADE


JUDGES = Bases(JUDGE, AIRPORTS, airport)


def injected(seed: int, names: Sequence[str], kind: str = "linear", bases: Bases = JUDGES) -> Iterator[Case]:
    """The cases of a seed: all on one base and one champion, each with a generator of its own."""
    series, live, source = bases.draw(seed)
    feed = weather_feed(kind)
    order = list(INJECTED)
    for name in (name for name in order if name in names):
        rng = np.random.default_rng([bases.salt, seed, order.index(name) + 1])
        change, rows, after = INJECTED[name]
        onset = live + WARM_UP + int(rng.integers(5 * DAY))
        end = min(onset + rows, len(series.time))
        made = change(series.cut(0, end), rng, onset)
        yield Case(name, seed, feed, made, live, after, source=source)
    if SEASON in names:
        yield season(seed, kind, bases)


def season(seed: int, kind: str, bases: Bases) -> Case:
    """Half a year, untouched: a made climate that knows last year's, or a real one that knows January to May, about."""
    rng = np.random.default_rng([bases.salt, seed, 0])
    series, live, source = bases.draw(seed)
    # The real ones have one year: only the day on which serving begins differs between seeds.
    live = int(rng.integers(130, 170) if source != MADE else rng.integers(400, 470)) * DAY
    calm = faults.nothing(series.cut(0, min(live + 180 * DAY, len(series.time))), rng, live + WARM_UP)
    return Case(SEASON, seed, weather_feed(kind), calm, live, 30 * DAY, source=source)


def _row(series: Series, time: str) -> int:
    return int(np.searchsorted(series.time, np.datetime64(time, "s")))


def natural(
    name: str, seed: int, feed: Feed, series: Series, live: int, onset: int, after: int, every: int, cause: faults.Cause
) -> Case:
    low, high = (np.array([column.range[at] for column in feed.columns]) for at in (0, 1))
    credible = (series.values >= low) & (series.values <= high)
    kept = series.put(np.where(credible, series.values, np.nan))
    return Case(
        name, seed, feed, Injected(kept, kept, cause, onset, len(kept.time)), live, after, every, source=feed.name
    )


def new_york(seed: int, kind: str) -> Case:
    """Real weather with its real faults; four columns; June to December after a January to May."""
    units = {"humidity": ("percent", 0.0, 100.0), "windspeed": ("mph", 0.0, 150.0), "pressure": ("hPa", 870.0, 1085.0)}
    feed = declare("noaa", DEGREES | units, "temperature", place=NEW_YORK, kind=kind)
    series = airport(AIRPORTS[seed])
    live = 150 * DAY
    return natural("noaa, natural", seed, feed, series, live, live + WARM_UP, 30 * DAY, 24, "none")


def air_quality(seed: int, kind: str) -> Case:
    """2018 after 2015-2017: no regime change, by its publishers and by quarterly PSI (REFERENCE.md)."""
    columns = {
        "no2": ("ug/m^3", -20.0, 1000.0),
        "o3": ("ug/m^3", -20.0, 500.0),
        "ws": ("m/s", 0.0, 60.0),
        "air_temp": ("degC", -30.0, 45.0),
    }
    feed = declare("marylebone", columns, "no2", place={"latitude": 51.52, "longitude": -0.15}, kind=kind)
    series = marylebone()
    live = _row(series, "2018-01-01")
    return natural("MY1 air quality", seed, feed, series, live, live + WARM_UP, 30 * DAY, 24, "none")


def bike_growth(seed: int, kind: str) -> Case:
    """2012 after 2011: 65 % more rentals, by its publishers; a gradual drift from the first day on."""
    columns = {"rentals": ("dimensionless", 0.0, 5000.0), "temperature": ("degC", -40.0, 60.0)}
    place = {"latitude": 38.9, "longitude": -77.03}  # the recording keeps local time
    feed = declare(
        "bikes", columns, "rentals", seasons=["P7D"], look_back=168, horizons=(1, 24), place=place, kind=kind
    )
    series = bikes()
    live = _row(series, "2012-01-01")
    return replace(natural("bike growth", seed, feed, series, live, live, 60 * DAY, 24, "world"), expected="shift")


def market(seed: int, kind: str) -> Case:
    """Elec2: Victoria joins the market on 1997-05-02; its price, its demand and the transfer were constant before."""
    names = ("nswdemand", "nswprice", "vicprice", "vicdemand", "transfer")
    columns = dict.fromkeys(names, ("dimensionless", -1.0, 2.0))
    feed = declare("elec2", columns, "nswprice", cadence="PT30M", look_back=48, horizons=(1, 12, 48), kind=kind)
    series = electricity()
    onset = 17_424
    series = series.cut(0, onset + 120 * 48)
    return natural("Elec2", seed, feed, series, onset - 30 * 48, onset, 40 * 48, 48, "world")


def midwest(seed: int, kind: str) -> Case:
    """degF becomes degC at 2026-01-27 23:15 in a recorded stream, and nothing in it says so."""
    station = ("KMSN", "KMKE", "KMDW")[seed]
    step = {"cadence": "PT5M", "look_back": 288, "horizons": (1, 12), "block": "P2D"}
    feed = declare("midwest", DEGREES, "temperature", kind=kind, **step)
    series, live = stream(station)
    onset = _row(series, "2026-01-27T23:15")
    made = natural("degF to degC, Midwest", seed, feed, series, live, onset, 288, 24, "sensor")
    repaired = series.values.copy()
    repaired[onset:, 0] = repaired[onset:, 0] * 1.8 + 32
    return replace(made, injected=replace(made.injected, world=series.put(repaired), kind="unit"))


def beside_analyser(seed: int, kind: str) -> Case:
    """Metal-oxide sensors that age beside a reference analyser: September to April after March to August."""
    columns = {
        "no2": ("ug/m^3", 0.0, 1000.0),
        "sensor_no2": ("dimensionless", 0.0, 5000.0),
        "sensor_o3": ("dimensionless", 0.0, 5000.0),
        "temperature": ("degC", -30.0, 60.0),
    }
    feed = declare("analyser", columns, "no2", horizons=(1, 6), kind=kind)
    series = analyser()
    live = _row(series, "2004-09-01")
    return natural("sensors beside an analyser", seed, feed, series, live, live, 30 * DAY, 24, "world")


def idle_processor(seed: int, kind: str) -> Case:
    """NAB's series without an anomaly window."""
    feed = declare(
        "processor",
        {"load": ("percent", 0.0, 100.0)},
        "load",
        cadence="PT5M",
        look_back=288,
        horizons=(1, 12),
        block="PT12H",
        kind=kind,
    )
    series = processor()
    live = 9 * 288
    return natural("NAB c6585a", seed, feed, series, live, live + 288, 288, 24, "none")


def shut_service(seed: int, kind: str) -> Case:
    """Madrid's bikes by the day: shut from 2020-03-16 (exact zeros), open again in April, another demand afterwards.

    Exact zeros look like a stuck counter to any test, so both diagnoses are right.
    """
    feed = declare(
        "riders",
        {"users": ("dimensionless", 0.0, 100_000.0)},
        "users",
        cadence="P1D",
        seasons=["P7D"],
        look_back=14,
        horizons=(1, 7),
        block="P28D",
        kind=kind,
        drift={"recent": 28},
        retraining={"max_age": "P365D", "cool_down": "P14D", "min_span": "P60D", "settle": "P14D"},
    )
    series = riders()
    live, onset = _row(series, "2019-07-01"), _row(series, "2020-03-14")
    made = natural("bikes shut, COVID", seed, feed, series, live, onset, 60, 7, "world")
    return replace(made, expected="drift", accepted=frozenset({"sensor_fault"}))


# name -> (its cases' maker, how many)
NATURAL: dict[str, tuple[Callable[[int, str], Case], int]] = {
    "noaa, natural": (new_york, 3),
    "MY1 air quality": (air_quality, 1),
    "bike growth": (bike_growth, 1),
    "Elec2": (market, 1),
    "degF to degC, Midwest": (midwest, 3),
    "sensors beside an analyser": (beside_analyser, 1),
    "NAB c6585a": (idle_processor, 1),
    "bikes shut, COVID": (shut_service, 1),
}
