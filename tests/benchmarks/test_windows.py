"""Rolling windows on a tiny made recording: where they lie, what is scored, and that nothing looks ahead."""

from dataclasses import replace

import numpy as np
import pytest

SEASONS = 3


@pytest.fixture(scope="module")
def recording():
    from measuring.windows import Recording

    hour, rng = np.arange(60 * 24), np.random.default_rng(0)
    day = np.sin(2 * np.pi * hour / 24)
    channels = [scale * day + rng.normal(0, 0.3 * scale, len(hour)) + 5 * scale for scale in (1.0, 10.0)]
    values = np.stack(channels, axis=1)
    values[700:705, 0] = np.nan
    values[7::24, 1] = np.nan  # an hour that is never measured
    return Recording(values, windows=2)


@pytest.fixture(scope="module")
def forecasts(recording):
    return _forecasts(recording)


def _forecasts(recording):
    from measuring.windows import long_linear, newest_day, persistence

    return {
        "persistence": persistence(recording),
        "newest day": newest_day(recording),
        "ours": long_linear(recording, SEASONS),
    }


def test_windows_lie_one_behind_the_other_and_end_with_the_recording(recording) -> None:
    assert recording.starts == [len(recording.values) - 336, len(recording.values) - 168]
    assert set(recording.starts) < set(recording.weeks)
    assert set(np.diff(recording.weeks)) == {168}
    assert {each - 1 for each in recording.weeks} <= set(recording.origins.tolist())


def test_naive_forecasts_repeat_the_newest_value_and_day(recording, forecasts) -> None:
    at = recording.origins[3]
    assert (forecasts["persistence"][3] == recording.filled[at][:, None]).all()
    expected = np.tile(recording.filled[at - 23 : at + 1], (7, 1)).T
    np.testing.assert_array_equal(forecasts["newest day"][3], expected)


def test_missing_values_are_filled_with_those_of_the_day_before(recording) -> None:
    np.testing.assert_array_equal(recording.filled[700:705, 0], recording.values[676:681, 0])
    measured = np.isfinite(recording.values)
    np.testing.assert_array_equal(recording.filled[measured], recording.values[measured])


def test_loss_is_the_scaled_quantile_loss_of_measured_steps(recording) -> None:
    from measuring.windows import QUANTILES

    start = recording.starts[0]
    quantiles = np.sort(np.random.default_rng(1).normal(5, 3, (2, 168, 9)), axis=2)
    channels = []
    for channel in range(2):
        past = recording.values[:start, channel]
        unit = np.nanmean([abs(past[at] - past[at - 24]) for at in range(24, start)])
        losses = []
        for step in range(168):
            actual = recording.values[start + step, channel]
            for level, value in zip(QUANTILES, quantiles[channel, step], strict=True):
                losses.append(2 * (level * (actual - value) if actual >= value else (1 - level) * (value - actual)))
        channels.append(np.nanmean(losses) / unit)
    assert recording.loss(start, quantiles) == pytest.approx(np.mean(channels))


def test_loss_of_points_is_the_mean_absolute_scaled_error(recording, forecasts) -> None:
    levels, start = forecasts["newest day"], recording.starts[-1]
    past, actual = recording.values[:start], recording.values[start:]
    errors = np.nanmean(np.abs(actual - levels[-1].T), axis=0)
    unit = np.nanmean(np.abs(past[24:] - past[:-24]), axis=0)
    assert recording.losses_of_points(levels)[-1] == pytest.approx(np.mean(errors / unit))


def test_forecast_that_is_missing_is_never_left_out_of_the_loss(recording) -> None:
    quantiles = np.full((2, 168, 9), 5.0)
    quantiles[0, 3] = np.nan
    assert np.isnan(recording.loss(recording.starts[0], quantiles))


@pytest.mark.parametrize("later", [0, 1, 100, 168, 250])
def test_nothing_at_or_after_the_origin_of_a_window_changes_its_forecasts(recording, forecasts, later: int) -> None:
    """Rows from `later` steps after the first window's start on are others."""
    rng, start = np.random.default_rng(later), recording.starts[0] + later
    values = recording.values.copy()
    values[start:] = rng.normal(50, 200, values[start:].shape)
    values[start:][rng.random(values[start:].shape) < 0.2] = np.nan
    other = replace(recording, values=values)
    changed = _forecasts(other)
    for label, levels in forecasts.items():
        for window in recording.starts:
            before, after = recording.quantiles(levels, window), other.quantiles(changed[label], window)
            if window <= start:
                np.testing.assert_allclose(after, before, rtol=1e-6, err_msg=label)
            else:
                assert not np.allclose(after, before), label


def test_quantiles_are_in_order_and_cover_as_they_say(recording, forecasts) -> None:
    inside = []
    for start in recording.starts:
        quantiles = recording.quantiles(forecasts["ours"], start)
        assert (np.diff(quantiles, axis=2) >= 0).all()
        actual = recording.values[start : start + 168].T
        inside.append(
            (quantiles[:, :, 0] <= actual)[np.isfinite(actual)] & (actual <= quantiles[:, :, 8])[np.isfinite(actual)]
        )
    assert 0.7 < np.concatenate(inside).mean() < 0.9


def test_kind_beats_naive_forecasts(recording, forecasts) -> None:
    losses = {label: np.mean(recording.losses(levels)) for label, levels in forecasts.items()}
    assert losses["ours"] < 0.9 * min(losses["persistence"], losses["newest day"])
