"""The long-horizon protocol on a tiny made recording: which windows count, and what is scored."""

import numpy as np
import pytest


@pytest.fixture
def protocol():
    from measuring.long import Parts, Protocol

    hour, rng = np.arange(1300), np.random.default_rng(0)
    day = np.sin(2 * np.pi * hour / 24)
    channels = [scale * day + rng.normal(0, 0.3 * scale, len(hour)) + 5 * scale for scale in (1.0, 10.0)]
    return Protocol.of(np.stack(channels, axis=1), 48, 3, Parts(800, 1000, 1200))


def test_parts_hold_every_window_whose_targets_lie_in_them(protocol) -> None:
    train, test = protocol.rows(0, 800), protocol.rows(1000, 1200)
    assert np.isfinite(train.y[:, 47]).sum() == 2 * (800 - 72 - 48 + 1)
    assert np.isfinite(test.y[:, 47]).sum() == 2 * (200 - 48 + 1)
    assert np.isfinite(test.y[:, 0]).sum() == 2 * 200
    np.testing.assert_array_equal(test.y[0], protocol.values[1000:1048, 0])
    np.testing.assert_array_equal(test.x[0, 0], protocol.values[999, 0])
    assert protocol.values[:800].mean() == pytest.approx(0, abs=1e-5)
    assert protocol.values[:800].std(axis=0) == pytest.approx(1, abs=1e-5)


def test_naive_forecasts_repeat_newest_step_and_newest_day(protocol) -> None:
    from measuring.long import naive

    levels = naive(protocol, protocol.rows(1000, 1200))
    assert (levels["persistence"][0] == protocol.values[999, 0]).all()
    expected = np.tile(protocol.values[976:1000, 0], 2)
    np.testing.assert_allclose(levels["seasonal naive"][0], expected, atol=1e-5)


def test_only_windows_with_all_targets_are_scored(protocol) -> None:
    rows = protocol.rows(1000, 1200)
    levels = np.where(np.isnan(rows.y), 1e9, rows.y + 2).astype(np.float32)
    levels[:, 24:] += 1
    assert protocol.errors(rows, levels, (24, 48)) == pytest.approx({24: 4, 48: (4 + 9) / 2}, rel=1e-5)


def test_long_linear_beats_naive_forecasts_and_never_sees_test_rows(protocol) -> None:
    from dataclasses import replace

    from measuring.long import measure

    errors = measure(protocol, (24, 48))
    for label in ("ours, train rows", "ours, refitted"):
        assert errors[label][48] < 0.8 * min(errors["persistence"][48], errors["seasonal naive"][48])
    other = protocol.values.copy()
    other[1000:] = 7
    validation = measure(replace(protocol, values=other), (24, 48))["ours, validation"]
    assert validation == pytest.approx(errors["ours, validation"])
