"""The date of a row as features."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aerocast.features import origin


@given(st.lists(st.integers(min_value=0, max_value=4_102_444_800), min_size=1, max_size=20))
def test_times_come_back_from_their_columns(seconds: list[int]) -> None:
    times = np.array(seconds, dtype="datetime64[s]")
    x = np.concatenate([np.zeros((len(times), 1), dtype=np.float32), origin.columns(times)], axis=1)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(origin.times(x, ("temperature_lag0", *origin.NAMES)), times)
