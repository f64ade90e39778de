"""The window: one code path, causal, the same from a tail as from the whole history."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.features.features import feature_names, features, select, together
from aerocast.features.grid import Grid, WindowSpec
from aerocast.features.local_time import local_hours
from aerocast.features.sequences import sequence_names, sequence_rows, shortest_rows
from aerocast.features.sky import sun_height
from aerocast.features.windows import sequence_grid, targets, valid_origins, windowed_csv_columns, windowed_rows
from aerocast.feed.declaration import Feed
from tests.factories.series import HOUR, SPEC, START, grid

NAMES = feature_names(SPEC)
FULL = grid()
OTHER = grid("BBB", seed=7)
NEAR = {"rtol": 1e-5, "atol": 1e-4}  # single precision, for sums over arrays of other lengths


def cut(series: Grid, start: int, end: int) -> Grid:
    return replace(series, time=series.time[start:end], values=series.values[start:end], age=series.age[start:end])


def test_feature_names_are_unique_and_match_columns() -> None:
    rows = features(SPEC, FULL, valid_origins(SPEC, FULL), [OTHER])
    assert len(set(NAMES)) == len(NAMES) == rows.shape[1]
    assert rows.dtype == np.float32


@given(origin=st.integers(0, 599), later=st.floats(-1e6, 1e6), seed=st.integers(0, 9))
def test_features_ignore_readings_after_origin(origin: int, later: float, seed: int) -> None:
    changed, neighbour = (replace(each, values=each.values.copy(), age=each.age.copy()) for each in (FULL, OTHER))
    made = np.random.default_rng(seed)
    for each in (changed, neighbour):
        each.values[origin + 1 :] = later * made.random(each.values[origin + 1 :].shape)
        each.age[origin + 1 :] = 3
    at = np.array([origin])
    np.testing.assert_allclose(features(SPEC, FULL, at, [OTHER]), features(SPEC, changed, at, [neighbour]), **NEAR)


@given(origin=st.integers(47, 599), behind=st.integers(0, 5))
def test_tail_gives_same_features_as_whole_history(origin: int, behind: int) -> None:
    """Also where the other station's newest reading is some hours behind."""
    tail = cut(FULL, origin - 47, origin + 1)
    late = cut(OTHER, origin - 47 - behind if origin - 47 >= behind else 0, origin + 1 - behind)
    known = cut(OTHER, 0, origin + 1 - behind)
    whole = features(SPEC, FULL, np.array([origin]), [known])
    np.testing.assert_allclose(whole, features(SPEC, tail, np.array([47]), [late]), **NEAR)


def test_features_depend_on_look_back_only() -> None:
    old = replace(FULL, values=FULL.values.copy())
    old.values[:552] += 100
    at = np.array([599])
    np.testing.assert_allclose(features(SPEC, FULL, at), features(SPEC, old, at), **NEAR)
    old.values[552] += 100
    assert not np.allclose(features(SPEC, FULL, at), features(SPEC, old, at), equal_nan=True, **NEAR)


def test_many_origins_equal_one_by_one_and_keep_their_grid() -> None:
    origins = valid_origins(SPEC, FULL)[:50]
    together = features(SPEC, FULL, origins, [FULL, OTHER])
    singly = [features(SPEC, FULL, np.array([origin]), [OTHER]) for origin in origins]
    np.testing.assert_allclose(together, np.concatenate(singly), **NEAR)


def test_station_sums_equal_computation_from_other_stations() -> None:
    """Stations that begin at other times, and miss readings of their own, have their share in the mean."""
    short, third = cut(OTHER, 100, 590), grid("CCC", seed=9, gaps=0.3)
    sums = together(SPEC, [FULL, short, third])
    for each, others in ((FULL, [short, third]), (short, [FULL, third])):
        at = np.arange(len(each.time))
        np.testing.assert_allclose(features(SPEC, each, at, sums), features(SPEC, each, at, others), atol=1e-5)


@given(names=st.lists(st.sampled_from(NAMES), min_size=1, unique=True), origin=st.integers(0, 599), other=st.booleans())
def test_selected_features_equal_columns_of_all_features(names: list[str], origin: int, other: bool) -> None:
    at, others = np.array([origin]), [OTHER] if other else []
    some = features(SPEC, FULL, at, others, select(SPEC, names))
    whole = features(SPEC, FULL, at, others)[:, [NAMES.index(name) for name in names]]
    np.testing.assert_allclose(some, whole, **NEAR)


def test_features_match_hand_computed_values() -> None:
    series = grid(gaps=0)
    row = dict(zip(NAMES, features(SPEC, series, np.array([100]), [grid("BBB", seed=7, gaps=0)])[0], strict=True))
    temperature = series.values[:, 0]
    assert row["temperature_lag0"] == temperature[100]
    assert row["temperature_lag11"] == temperature[89]
    assert row["temperature_season24_1"] == temperature[77]  # a season before the target one hour ahead
    assert row["temperature_change3"] == pytest.approx(temperature[100] - temperature[97], abs=1e-5)
    assert row["temperature_mean0to6"] == pytest.approx(temperature[95:101].mean() - temperature[100], abs=1e-4)
    assert row["temperature_max24"] == pytest.approx(temperature[77:101].max() - temperature[100], abs=1e-4)
    assert row["near_pressure_lag0"] == pytest.approx(
        grid("BBB", seed=7, gaps=0).values[100, 2] - series.values[100, 2], abs=1e-3
    )
    assert (row["temperature_age"], row["station_AAA"], row["station_BBB"]) == (0, 1, 0)
    # Row 100 is 04:00 UTC on 5 January: 23:00 the evening before in New York.
    assert np.arctan2(row["hour_sin_0"], row["hour_cos_0"]) % (2 * np.pi) == pytest.approx(2 * np.pi * 23 / 24)
    assert row["sun_0"] < 0


def test_profile_holds_newest_seasons_alone_and_older_ones_as_means() -> None:
    spec = msgspec.structs.replace(SPEC, look_back=120, profile=5)
    series = grid(gaps=0)
    temperature = series.values[:, 0]
    temperature[130 - 24 - 5] = np.nan
    temperature[150 - 120] = 1e6  # one step before the profile of row 150 begins
    names = [name for name in feature_names(spec) if "_profile" in name]
    assert len(names) == 5 * 24 - 1
    first, second = features(spec, series, np.array([130, 150]), only=select(spec, names))
    row, later = (dict(zip(names, values, strict=True)) for values in (first, second))
    assert row["temperature_profile0to1_7"] == pytest.approx(temperature[123] - temperature[130], abs=1e-5)
    assert np.isnan(row["temperature_profile1to2_5"])
    assert row["temperature_profile3to4_0"] == pytest.approx(temperature[130 - 72] - temperature[130], abs=1e-5)
    assert row["temperature_profile4to5_23"] == pytest.approx(temperature[130 - 119] - temperature[130], abs=1e-5)
    assert max(later.values()) < 1000

    wide = msgspec.structs.replace(SPEC, look_back=168, profile=7)
    (mean,) = features(wide, series, np.array([200]), only=select(wide, ["temperature_profile4to7_2"]))[0]
    days = temperature[[200 - 24 * day - 2 for day in (4, 5, 6)]]
    assert mean == pytest.approx(days.mean() - temperature[200], abs=1e-4)


def test_clock_features_follow_daylight_saving_and_sun_follows_seasons() -> None:
    nights = np.array(["2013-03-10T06:59:59", "2013-03-10T07:00:00", "NaT"], dtype="datetime64[s]")
    hours = local_hours(nights, "America/New_York")
    assert hours[:2] == pytest.approx([2 - 1 / 3600, 3])
    assert np.isnan(hours[2])
    noons = np.array(["2013-06-21T16:58", "2013-12-21T16:54"], dtype="datetime64[s]")
    height, declination = sun_height(noons, 40.64, -73.78)
    assert np.rad2deg(np.arcsin(height)) == pytest.approx([72.8, 25.9], abs=0.5)
    assert np.rad2deg(declination) == pytest.approx([23.44, -23.44], abs=0.3)


def test_targets_are_measured_values_only() -> None:
    filled = np.flatnonzero(FULL.age[:, 0] > 0)[0]
    assert np.isnan(targets(SPEC, FULL, np.array([filled - 1]))[0, 0])
    series = grid(gaps=0)
    np.testing.assert_array_equal(targets(SPEC, series, np.array([10]))[0], series.values[[11, 16, 34], 0])
    assert np.isnan(targets(SPEC, series, np.array([599]))).all()


def test_windows_never_span_gap() -> None:
    gap = np.flatnonzero(np.isnan(FULL.values[:, 0]))
    gap = gap[gap > 20]
    for origin in valid_origins(SPEC, FULL):
        assert not np.isin(np.arange(origin - SPEC.steps + 1, origin + 1), gap).any()
    assert len(valid_origins(SPEC, cut(FULL, 0, 4))) == 0


def test_sequence_is_grid_with_older_steps_missing() -> None:
    series = grid(gaps=0)
    sequence = series.values[94:101, :3]
    row = dict(
        zip(NAMES, features(SPEC, sequence_grid(SPEC, sequence, series.time[100]), np.array([47]))[0], strict=True)
    )
    whole = dict(zip(NAMES, features(SPEC, series, np.array([100]))[0], strict=True))
    for name in ("temperature_lag0", "pressure_lag6", "windspeed_change3", "hour_sin_6"):
        assert row[name] == whole[name]
    assert all(
        np.isnan(row[name]) for name in ("temperature_lag7", "humidity_lag0", "station_AAA", "near_pressure_lag0")
    )
    untimed = features(SPEC, sequence_grid(SPEC, sequence), np.array([47]))[0]
    assert all(np.isnan(untimed[NAMES.index(name)]) for name in ("hour_sin_0", "sun_6", "season"))


@pytest.mark.parametrize(
    "sequence",
    [[[1, 2, 3]] * 4, [[1, 2, 3]] * 49, [[1, 2]] * 5, [1, 2, 3], [[1, 2, float("nan")]] * 5, [[1], [1, 2]], "text"],
)
def test_wrong_sequence_is_named(sequence: object) -> None:
    with pytest.raises(AeroCastError, match="sequence"):
        sequence_grid(SPEC, sequence)


@pytest.mark.parametrize("length", [5, 12, 48])
@pytest.mark.parametrize("timed", [True, False])
def test_training_sequences_equal_request_sequences(length: int, timed: bool) -> None:
    from aerocast.features import sequences

    series = grid(gaps=0)
    x = features(SPEC, series, np.array([100]))
    kept, rows = sequences.cut(SPEC, NAMES, x, np.array([length]), np.array([timed]))
    request = sequence_grid(SPEC, series.values[101 - length : 101, :3], series.time[100] if timed else None)
    served = features(SPEC, request, np.array([47]))[:, [NAMES.index(name) for name in sequence_names(SPEC)]]
    assert kept.tolist() == [0]
    # A request's sun stands over the stations' middle, not over the station itself.
    np.testing.assert_allclose(rows, served, atol=0.02)


def test_training_sequences_are_cut_at_gaps_and_repeat_by_seed() -> None:
    origins = valid_origins(SPEC, FULL)
    x = features(SPEC, FULL, origins)
    kept, rows = sequence_rows(SPEC, NAMES, x, seed=1)
    again = sequence_rows(SPEC, NAMES, x, seed=1)
    np.testing.assert_array_equal(kept, again[0])
    np.testing.assert_allclose(rows, again[1], **NEAR)
    newest = [sequence_names(SPEC).index(f"{column}_lag{lag}") for column in SPEC.columns for lag in range(5)]
    assert not np.isnan(rows[:, newest]).any()
    assert 0 < len(kept) <= len(x)
    _, short = shortest_rows(SPEC, NAMES, x)
    assert np.isnan(short[:, sequence_names(SPEC).index("temperature_lag5")]).all()


def test_windowed_csv_has_agreed_columns_and_rows() -> None:
    header = windowed_csv_columns(SPEC)
    assert ",".join(header) == (
        "t0_temp,t0_wind,t0_pressure,t1_temp,t1_wind,t1_pressure,t2_temp,t2_wind,t2_pressure,"
        "t3_temp,t3_wind,t3_pressure,t4_temp,t4_wind,t4_pressure,target"
    )
    one = msgspec.structs.replace(SPEC, columns=("temperature",), labels=("temp",))
    assert windowed_csv_columns(one) == ["t0_temp", "t1_temp", "t2_temp", "t3_temp", "t4_temp", "target"]
    origins, rows = windowed_rows(SPEC, FULL)
    assert rows.shape == (len(origins), len(header))
    assert not np.isnan(rows).any()
    for origin, row in zip(origins[::50], rows[::50], strict=True):
        np.testing.assert_array_equal(row[:-1], FULL.values[origin - 4 : origin + 1, :3].ravel())
        assert (FULL.age[origin - 4 : origin + 1, :3] == 0).all()
        assert row[-1] == FULL.values[origin + 1, 0]
    assert len(windowed_rows(SPEC, cut(FULL, 0, 3))[0]) == 0


def test_spec_survives_json_and_follows_feed(noaa: Feed) -> None:
    spec = WindowSpec.of(noaa, "temperature")
    assert msgspec.json.decode(msgspec.json.encode(spec), type=WindowSpec) == spec
    assert spec.inputs[:5] == ("temperature", "windspeed", "pressure", "wind_u", "wind_v")
    assert "wind_direction" not in spec.inputs
    assert spec.labels == ("temp", "wind", "pressure")


def test_features_support_other_cadence() -> None:
    spec = msgspec.structs.replace(SPEC, cadence=1800, season=48, seasons=(48,), horizons=(1, 48), look_back=50)
    series = replace(FULL, time=START + np.arange(600) * (HOUR // 2))
    rows = features(spec, series, valid_origins(spec, series))
    assert rows.shape[1] == len(feature_names(spec))
    assert "temperature_season48_1" in feature_names(spec)
