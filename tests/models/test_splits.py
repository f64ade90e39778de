"""No row's labels are seen by two roles, whatever the span, the horizons and the shares."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.features.grid import Times, WindowSpec
from aerocast.feed.policies import Split
from aerocast.models.splits import BLOCK_MARGIN, Cut, Role, parse_since, split_regime, split_span
from tests.factories.series import HOUR, SPEC, START


def times(hours: int, first: np.datetime64 = START) -> Times:
    return first + np.arange(hours) * HOUR


def apart(role: NDArray[np.str_], reach: int) -> None:
    """No label of one role's rows is a label of another's; hourly rows, none missing."""
    owner: dict[int, str] = {}
    for origin in np.flatnonzero(role != Role.PURGED):
        for label in range(origin + 1, origin + reach + 1):
            assert owner.setdefault(label, role[origin]) == role[origin]


@given(
    hours=st.integers(1200, 9000),
    horizon=st.integers(1, 36),
    test=st.floats(0.1, 0.35),
    validation=st.floats(0.05, 0.2),
    calibration=st.floats(0.05, 0.2),
    days=st.integers(2, 10),
)
def test_label_intervals_of_two_roles_never_overlap(
    hours: int, horizon: int, test: float, validation: float, calibration: float, days: int
) -> None:
    assume(test + validation + calibration <= 0.7)  # or too little is left to train on, and the declaration is refused
    spec = msgspec.structs.replace(SPEC, horizons=(1, horizon + 1))
    split = Split(test=test, validation=validation, calibration=calibration, block=timedelta(days=days))
    at = times(hours)
    try:
        role = split_span(split, spec, at[0], at[-1]).of(at)
    except AeroCastError:
        assume(False)
    apart(role, horizon + 1)
    tested = np.flatnonzero(role == Role.TEST)
    assert tested[-1] == hours - 1
    assert len(tested) == pytest.approx(test * hours, abs=2)
    assert (role[tested[0] :] == Role.TEST).all()
    assert set(role) == {*Role} - {Role.EARLIER}


def test_year_in_weekly_blocks_covers_every_season_per_role() -> None:
    at = times(8736)
    role = split_span(Split(), SPEC, at[0], at[-1]).of(at)
    for each in (Role.VALIDATION, Role.CALIBRATION):
        months = np.unique(at[role == each].astype("datetime64[M]"))
        assert len(months) >= 6
    assert (role == Role.PURGED).mean() < 0.08


def test_added_rows_do_not_move_split() -> None:
    at = times(8736)
    whole = split_span(Split(), SPEC, at[0], at[-1])
    some = np.random.default_rng(0).random(8736) < 0.5
    np.testing.assert_array_equal(whole.of(at)[some], whole.of(at[some]))
    assert (whole.of(times(24, START - 9000 * HOUR)) == Role.PURGED).all()


def test_short_span_is_refused_with_reason() -> None:
    at = times(300)
    with pytest.raises(AeroCastError, match="split"):
        split_span(Split(), SPEC, at[0], at[-1])


def new(hours: int, before: int, reach: int, split: Split | None = None) -> tuple[Times, WindowSpec, Cut]:
    """`hours` of a regime of its own after `before` hours of another, with forecasts `reach` hours ahead."""
    spec = msgspec.structs.replace(SPEC, horizons=(1, reach) if reach > 1 else (1,))
    at = times(before + hours)
    since = at[before].item().replace(tzinfo=UTC)
    return at, spec, split_regime(split or Split(), spec, at[0], at[-1], since)


@given(
    hours=st.integers(30, 6000),
    before=st.integers(0, 4000),
    reach=st.integers(1, 36),
    days=st.integers(1, 14),
    validation=st.floats(0.05, 0.2),
    calibration=st.floats(0.05, 0.2),
)
def test_roles_after_regime_change_use_new_regime_only(
    hours: int, before: int, reach: int, days: int, validation: float, calibration: float
) -> None:
    split = Split(validation=validation, calibration=calibration, block=timedelta(days=days))
    needed = 4 * BLOCK_MARGIN * reach / 0.7
    try:
        at, _, found = new(hours, before, reach, split)
    except AeroCastError:
        assert hours < needed + 5
        return
    assert hours >= needed - 5
    role = found.of(at)
    apart(role, reach)
    earlier = np.flatnonzero(role == Role.EARLIER)
    assert (role[earlier] == role[: len(earlier)]).all()
    assert len(earlier) == max(0, before - reach), "what lies before may be learned from, and nothing else"
    assert {*role[before:]} - {Role.PURGED.value} == {Role.TRAIN, Role.VALIDATION, Role.CALIBRATION, Role.TEST}
    tested = np.flatnonzero(role == Role.TEST)
    assert len(tested) == pytest.approx(0.3 * hours, abs=2)
    assert (role[tested[0] :] == Role.TEST).all()
    assert found.block > found.reach


def test_ten_day_regime_leaves_a_day_for_validation_and_calibration() -> None:
    at, _, found = new(240, 3000, 24)
    role = found.of(at)
    counts = {each: int((role == each).sum()) for each in Role}
    assert counts[Role.VALIDATION] >= 17
    assert counts[Role.CALIBRATION] >= 17
    assert counts[Role.TRAIN] >= 55
    assert counts[Role.TEST] >= 71


def test_long_regime_is_split_like_any_span() -> None:
    at, _, found = new(6000, 1000, 24)
    assert found.block <= np.timedelta64(7, "D")
    role = found.of(at)
    days = np.unique(at[role == Role.VALIDATION].astype("datetime64[D]"))
    assert np.ptp(days) > np.timedelta64(60, "D"), "scattered over the span"


def test_short_regime_is_refused_with_minimum_length() -> None:
    with pytest.raises(AeroCastError, match="24 steps ahead: 7 days, 4:00:00 are needed"):
        new(160, 1000, 24)
    new(175, 1000, 24)
    at = times(100)
    with pytest.raises(AeroCastError, match="too short a regime"):
        split_regime(Split(), SPEC, at[0], at[-1], datetime(2030, 1, 1, tzinfo=UTC))


def test_regime_before_first_row_is_whole_span() -> None:
    at = times(2000)
    found = split_regime(Split(), SPEC, at[0], at[-1], datetime(2020, 1, 1, tzinfo=UTC))
    assert found.start == at[0]
    assert Role.EARLIER not in set(found.of(at))


def test_regime_start_is_utc_instant() -> None:
    assert parse_since("") is None
    wanted = datetime(2024, 4, 10, 12, tzinfo=UTC)
    for text in ("2024-04-10T12:00:00", "2024-04-10T12:00:00Z", "2024-04-10T14:00:00+02:00", "2024-04-10 12:00"):
        assert parse_since(text) == wanted
    with pytest.raises(AeroCastError, match="since: 'yesterday' is not a time"):
        parse_since("yesterday")
