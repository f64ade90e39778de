"""What is known of a station that was left out: so many readings, and what stands in for the ones before."""

from dataclasses import replace

import numpy as np

from aerocast.features.features import feature_names
from tests.factories.series import SPEC, grid

ORIGINS = np.array([100, 137, 250])


def _newcomer(shift: float = 5.0):
    """A station whose one neighbour has the same temperature but for its level."""
    from measuring.newcomers import Newcomer

    own = grid("AAA", 300, gaps=0.05)
    other = replace(own, station="BBB", values=own.values + np.float32(shift))
    return Newcomer(SPEC, replace(own, station="NEW"), (other,), {}, ORIGINS)


def _measured(newcomer, origin: int, steps: int):
    own, at = newcomer.own, newcomer.target
    rows = slice(origin + 1 - steps, origin + 1)
    return np.where(own.age[rows, at] == 0, own.values[rows, at], np.nan)


def test_readings_are_the_newest_measured_ones() -> None:
    newcomer = _newcomer()
    for row, origin in zip(newcomer.readings(24), ORIGINS, strict=True):
        np.testing.assert_array_equal(row, _measured(newcomer, origin, 24))
    assert np.isnan(newcomer.readings(200)[0, :99]).all(), "before the series begins"


def test_neighbours_are_moved_to_the_level_of_what_is_known() -> None:
    newcomer = _newcomer()
    for row, origin in zip(newcomer.with_neighbours(6), ORIGINS, strict=True):
        np.testing.assert_allclose(row[-90:], _measured(newcomer, origin, 90), atol=1e-3)


def test_neighbours_alone_are_as_they_are_measured() -> None:
    newcomer = _newcomer()
    for row, origin in zip(newcomer.with_neighbours(0), ORIGINS, strict=True):
        np.testing.assert_allclose(row[-90:], _measured(newcomer, origin, 90) + 5, atol=1e-3)


def test_window_of_neighbours_is_that_of_the_station_but_for_their_distance() -> None:
    newcomer = replace(_newcomer(), others=(replace(_newcomer(0.0).others[0], station="BBB"),))
    names = feature_names(SPEC)
    same = [at for at, name in enumerate(names) if not name.endswith("_age")]
    filled, whole = newcomer.rows_with_neighbours(6), newcomer.rows(SPEC.look_back)
    np.testing.assert_allclose(filled[:, same], whole[:, same], atol=1e-3)


def test_baselines_know_no_more_than_is_said() -> None:
    newcomer, at = _newcomer(), list(ORIGINS)
    own = newcomer.own.values[:, newcomer.target]
    assert newcomer.has_neighbours
    none, few, whole = (newcomer.baselines(newcomer.rows(steps)) for steps in (0, 6, 48))
    np.testing.assert_allclose(none["persistence"][:, 0], own[at] + 5, atol=1e-3)
    np.testing.assert_array_equal(few["seasonal naive"], few["persistence"])
    np.testing.assert_array_equal(whole["persistence"][:, 0], own[at])
    day_before = [origin + 1 - 24 for origin in at]
    seasonal = np.where(np.isnan(own[day_before]), own[at], own[day_before])
    np.testing.assert_array_equal(whole["seasonal naive"][:, 0], seasonal)


def test_station_without_neighbours_at_its_time_has_no_stand_in() -> None:
    newcomer = _newcomer()
    late = tuple(replace(each, time=each.time + np.timedelta64(90, "D")) for each in newcomer.others)
    alone = replace(newcomer, others=late)
    assert not alone.has_neighbours
    assert np.isnan(alone.rows(0)).all()
    near = [name.startswith("near_") for name in feature_names(SPEC)]
    assert np.isnan(alone.rows(6)[:, near]).all()


def test_measured_span_ends_with_readings() -> None:
    from measuring.newcomers import measured_span

    own = grid("AAA", 300)
    empty = replace(own, values=own.values.copy(), age=own.age.copy())
    empty.values[:40], empty.age[:40], empty.age[250:] = np.nan, np.nan, np.nan
    span = measured_span(empty, "temperature")
    assert span.age[0, 0] == span.age[-1, 0] == 0
    assert 200 < len(span.time) <= 210
