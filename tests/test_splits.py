"""No row's labels are seen by two roles, whatever the span, the horizons and the shares."""

from datetime import timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aerocast.errors import AeroCastError
from aerocast.feed import Split
from aerocast.grid import Times
from aerocast.splits import Role, cut
from tests.forecasters.series import HOUR, SPEC, START


def times(hours: int, first: np.datetime64 = START) -> Times:
    return first + np.arange(hours) * HOUR


@given(
    hours=st.integers(1200, 9000),
    horizon=st.integers(1, 36),
    test=st.floats(0.1, 0.35),
    validation=st.floats(0.05, 0.2),
    calibration=st.floats(0.05, 0.2),
    days=st.integers(2, 10),
)
@settings(max_examples=60, deadline=None)
def test_label_intervals_of_two_roles_never_overlap(
    hours: int, horizon: int, test: float, validation: float, calibration: float, days: int
) -> None:
    spec = msgspec.structs.replace(SPEC, horizons=(1, horizon + 1))
    split = Split(test=test, validation=validation, calibration=calibration, block=timedelta(days=days))
    at = times(hours)
    try:
        role = cut(split, spec, at[0], at[-1]).of(at)
    except AeroCastError:
        assume(False)
    owner: dict[int, str] = {}
    for origin in np.flatnonzero(role != Role.PURGED):
        for label in range(origin + 1, origin + horizon + 2):
            assert owner.setdefault(label, role[origin]) == role[origin]
    tested = np.flatnonzero(role == Role.TEST)
    assert tested[-1] == hours - 1
    assert len(tested) == pytest.approx(test * hours, abs=2)
    assert (role[tested[0] :] == Role.TEST).all()
    assert set(role) == {*Role}


def test_a_year_by_weeks_meets_every_season() -> None:
    at = times(8736)
    role = cut(Split(), SPEC, at[0], at[-1]).of(at)
    for each in (Role.VALIDATION, Role.CALIBRATION):
        months = np.unique(at[role == each].astype("datetime64[M]"))
        assert len(months) >= 6
    assert (role == Role.PURGED).mean() < 0.08


def test_rows_in_between_do_not_move_the_split() -> None:
    at = times(8736)
    whole = cut(Split(), SPEC, at[0], at[-1])
    some = np.random.default_rng(0).random(8736) < 0.5
    np.testing.assert_array_equal(whole.of(at)[some], whole.of(at[some]))
    assert (whole.of(times(24, START - 9000 * HOUR)) == Role.PURGED).all()


def test_a_short_span_is_refused_with_a_reason() -> None:
    at = times(300)
    with pytest.raises(AeroCastError, match="split"):
        cut(Split(), SPEC, at[0], at[-1])
