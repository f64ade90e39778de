"""Factors of intervals while the target is silent, by age and extent; a release from before has none."""

import msgspec
import numpy as np

from aerocast.contracts.intervals import Intervals
from aerocast.contracts.outages import EXTENTS, Outages
from tests.factories.releases import intervals

TABLE = tuple(tuple((1.0 + k, 2.0 + extent) for extent in range(EXTENTS)) for k in range(3))
OUTAGES = Outages((6, 24, 192), TABLE)


def test_factors_are_of_class_of_age_and_of_extent() -> None:
    ages = np.array([1, 6, 7, 24, 25, 192, 500], dtype=np.float32)
    extents = np.array([0, 1, 2, 3, 0, 1, 2])
    expected = [(1, 2), (1, 3), (2, 4), (2, 5), (3, 2), (3, 3), (3, 4)]
    np.testing.assert_array_equal(OUTAGES.wider(ages, extents), np.float32(expected))


def test_nothing_is_wider_where_target_was_measured_or_is_unknown() -> None:
    ages = np.array([0, np.nan], dtype=np.float32)
    np.testing.assert_array_equal(OUTAGES.wider(ages, np.array([0, 3])), np.ones((2, 2), dtype=np.float32))


def test_intervals_of_release_from_before_still_load() -> None:
    known = msgspec.to_builtins(msgspec.structs.replace(intervals(), outages=OUTAGES))
    assert msgspec.convert(known, Intervals).outages == OUTAGES
    del known["outages"]
    assert msgspec.convert(known, Intervals) == intervals()
