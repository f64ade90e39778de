"""A station that no model has learned: its rows look in training as they will when it is served, and are covered."""

import sys
from dataclasses import replace
from itertools import product

import duckdb
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from aerocast.contracts.cold_start import History, history, is_new, stand_in
from aerocast.features import sky
from aerocast.features.features import feature_names, features
from aerocast.features.grid import Grid, Place, WindowSpec
from aerocast.features.windows import targets, valid_origins
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import silent
from aerocast.models.candidates import Candidate
from aerocast.models.cold_start import as_new_station
from aerocast.models.inference import forecast
from aerocast.models.trainer import train
from aerocast.tables import training

HOUR = np.timedelta64(3600, "s")
START = np.datetime64("2024-01-01T00:00:00", "s")
HOURS = 24 * 100
IDS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
HISTORIES: tuple[History, ...] = ("none", "short", "whole")


def feed(stations: tuple[str, ...]) -> Feed:
    column = {"source_unit": "degC", "unit": "degC", "range": [-60, 60]}
    return Feed.parse(
        {
            "name": "small",
            "description": "Made days at several stations.",
            "source": {"kind": "csv", "path": "unused.csv", "station_field": "s", "time_field": "t"},
            "cadence": "PT1H",
            "seasons": ["P1D"],
            "start": "2024-01-01T00:00:00Z",
            "freshness": "PT6H",
            "stations": [{"id": each} for each in stations],
            "columns": [{"name": name, "field": name, **column} for name in ("temperature", "dew_point")],
            "targets": ["temperature"],
            "window": {"steps": 5, "columns": ["temperature"], "look_back": 24},
            "horizons": [1, 6],
            "gap_policy": {"max_steps": 3},
            "split": {"test": 0.2, "validation": 0.12, "calibration": 0.16, "block": "P4D"},
            "candidates": {"linear": {}, "persistence": {}, "seasonal_naive": {}},
        }
    )


def world(climate: int) -> dict[str, Grid]:
    """Stations of one climate: the same weather at all, with a level and a daily swing of their own."""
    return {name: grid(climate, number) for number, name in enumerate(IDS)}


def grid(climate: int, number: int) -> Grid:
    shared, own = np.random.default_rng(climate), np.random.default_rng((climate, number))
    weather = np.cumsum(shared.normal(0, 0.4, HOURS))
    swing, level = own.normal(5, 1.5), own.normal(10, 3)
    values = level + weather + swing * np.sin(2 * np.pi * np.arange(HOURS) / 24) + own.normal(0, 0.3, HOURS)
    table = np.stack([values, values - 5 + own.normal(0, 0.3, HOURS)], axis=1).astype(np.float32)
    time = START + np.arange(HOURS) * HOUR
    return Grid(IDS[number], time, ("temperature", "dew_point"), table, np.zeros_like(table))


GRIDS = world(1)


def trained(stations: tuple[str, ...]) -> tuple[WindowSpec, Candidate]:
    own = feed(stations)
    spec = WindowSpec.of(own, "temperature")
    months = sorted({str(month) for month in GRIDS["AAA"].time.astype("datetime64[M]")})
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("known", training.table(spec, {each: GRIDS[each] for each in stations}, months))
        return spec, train(own, "temperature", "linear", con.table("known"), silent)


def rows_of_new(spec: WindowSpec, station: str, known: History, origins: NDArray[np.int64]) -> NDArray[np.float32]:
    """Feature rows as a server makes them for a station that the model has not learned."""
    others = [GRIDS[place.id] for place in spec.places if place.id != station]
    whole, made = replace(GRIDS[station], station="NEW"), []
    for origin in origins:
        near = [replace(each, **cut(each, origin)) for each in others]
        own = stand_in(spec, "NEW", near) if known == "none" else replace(whole, **cut(whole, origin))
        assert own is not None
        if known == "short":
            own = own.tail(1)
        made.append(features(spec, own, np.array([len(own.time) - 1]), near))
    return np.concatenate(made)


def cut(each: Grid, origin: int) -> dict[str, NDArray[np.float32]]:
    rows = slice(origin - 23, origin + 1)
    return {"time": each.time[rows], "values": each.values[rows], "age": each.age[rows]}


@pytest.mark.parametrize("known", HISTORIES)
def test_calibration_rows_look_like_those_of_new_station(known: History) -> None:
    spec = WindowSpec.of(feed(IDS), "temperature")
    origins = np.array([40, 100, 333])
    x = features(spec, GRIDS["BBB"], origins, list(GRIDS.values()))
    made = as_new_station(spec, feature_names(spec), x, known)
    np.testing.assert_allclose(made, rows_of_new(spec, "BBB", known, origins), rtol=1e-4, atol=1e-4)


def test_new_station_has_the_clock_and_sun_of_its_declared_place() -> None:
    spec = WindowSpec.of(feed(IDS), "temperature")
    tokyo = Place("NEW", "Asia/Tokyo", 35.7, 139.7)
    there = msgspec.structs.replace(spec, places=(msgspec.structs.replace(tokyo, id="BBB"), *spec.places[2:]))
    names, clock = feature_names(spec), sky.names(spec)
    at = [names.index(name) for name in clock]
    own = replace(GRIDS["BBB"], station="NEW")
    made, centre = (features(spec, each, np.array([40]))[:, at] for each in (replace(own, place=tokyo), own))
    wanted = features(there, GRIDS["BBB"], np.array([40]))[:, [feature_names(there).index(name) for name in clock]]
    np.testing.assert_array_equal(made, wanted)
    assert not np.array_equal(made, centre, equal_nan=True)


def test_history_says_how_much_is_known() -> None:
    spec = WindowSpec.of(feed(IDS), "temperature")
    whole = GRIDS["AAA"].tail(24)
    assert history(spec, whole, 23) == "whole"
    assert history(spec, whole, 22) == history(spec, whole.tail(3), 2) == "short"
    broken = replace(whole, values=whole.values.copy())
    broken.values[0] = np.nan
    assert history(spec, broken, 23) == "short"
    np.testing.assert_array_equal(valid_origins(spec, broken.tail(3), 1), [0, 1, 2])
    assert not len(valid_origins(spec, broken.tail(3)))


def test_mean_of_others_stands_in_for_station_without_readings() -> None:
    spec = WindowSpec.of(feed(IDS), "temperature")
    one, two, late = GRIDS["AAA"], GRIDS["BBB"], replace(GRIDS["CCC"], **cut(GRIDS["CCC"], 100))
    own = stand_in(spec, "NEW", [one, two, late])
    assert own is not None
    assert (own.station, own.time.tolist()) == ("NEW", [one.time[-1]])
    np.testing.assert_allclose(own.values[0], (one.values[-1] + two.values[-1]) / 2)
    assert stand_in(spec, "NEW", []) is None
    assert stand_in(spec, "AAA", [one]) is None, "a station does not stand in for itself"


def test_feed_of_one_station_says_nothing_of_others() -> None:
    spec, made = trained(("AAA",))
    assert made.intervals.cold_start is None
    assert is_new(spec, None, "BBB")
    assert not is_new(spec, None, "AAA")


@pytest.mark.e2e
def test_intervals_of_new_stations_hold_what_they_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each station in turn is left out of training and forecast as one that the feed has just got, in six climates."""
    origins = np.arange(HOURS - 400, HOURS - 10, 13)
    inside: dict[str, list[bool]] = {known: [] for known in HISTORIES}
    plain: list[bool] = []
    for climate, station in product(range(1, 7), IDS):
        monkeypatch.setattr(sys.modules[__name__], "GRIDS", world(climate))
        spec, made = trained(tuple(each for each in IDS if each != station))
        cold = made.intervals.cold_start
        assert cold is not None
        assert is_new(spec, cold, station)
        assert not any(is_new(spec, cold, place.id) for place in spec.places)
        actual = targets(spec, GRIDS[station], origins)
        for known in HISTORIES:
            x = rows_of_new(spec, station, known, origins)
            levels = forecast(made.graph, x, feature_names(spec), made.features)
            lower, upper = made.intervals.apply(levels, x, feature_names(spec), cold.factors(known))
            inside[known] += ((lower <= actual) & (actual <= upper)).ravel().tolist()
            assert (cold.factors(known) >= 1).all()
            if known == "none":
                lower, upper = made.intervals.apply(levels, x, feature_names(spec))
                plain += ((lower <= actual) & (actual <= upper)).ravel().tolist()
    shares = {known: np.mean(own) for known, own in inside.items()}
    assert all(share > 0.85 for share in shares.values()), shares
    assert np.mean(plain) < 0.7, "without being wider they would not"
