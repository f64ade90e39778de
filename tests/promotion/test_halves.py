"""The test against the incumbent sees stand-ins that other rows chose."""

import numpy as np

from aerocast.features.dataset import Rows
from aerocast.promotion.gate import pass_columns
from aerocast.promotion.halves import levels
from aerocast.promotion.scoring import score
from aerocast.tables.training import Samples

HORIZONS, COUNT = (1, 24), 200
CHALLENGER = dict.fromkeys(HORIZONS, "linear")
TIME = np.datetime64("2024-04-01T00:00:00", "s") + np.arange(COUNT) * np.timedelta64(3600, "s")


def test_each_half_is_forecast_by_what_the_other_half_asks_for() -> None:
    """A day ahead the challenger is good early and bad late: what is right for one half is wrong for the other."""
    rng, early = np.random.default_rng(0), np.arange(COUNT) < COUNT // 2
    actual = rng.normal(0, 1, (COUNT, 2)).astype(np.float32)
    test = Samples(np.full(COUNT, "A"), TIME, Rows(actual[:, :1], actual), ("x",))

    def forecast(near: float, far: float, far_late: float) -> np.ndarray:
        size = np.stack([np.full(COUNT, near), np.where(early, far, far_late)], axis=1)
        return (actual + size * rng.normal(0, 1, actual.shape)).astype(np.float32)

    forecasts = {"linear": forecast(0.5, 0.5, 3.0), "persistence": forecast(1.0, 1.0, 1.0)}
    forecasts["seasonal_naive"] = forecast(2.0, 2.0, 2.0)
    columns = pass_columns(score(forecasts, actual, test.station, HORIZONS), CHALLENGER, None, 0.0)
    assert [column.model for column in columns.values()] == ["linear", "persistence"]
    crossed = levels(test, HORIZONS, forecasts, CHALLENGER, columns, None, 0.0)
    np.testing.assert_array_equal(crossed[:, 0], forecasts["linear"][:, 0])
    np.testing.assert_array_equal(crossed[early, 1], forecasts["persistence"][early, 1])
    np.testing.assert_array_equal(crossed[~early, 1], forecasts["linear"][~early, 1])


def test_half_without_outcomes_uses_what_all_rows_ask_for() -> None:
    actual = np.random.default_rng(1).normal(0, 1, (COUNT, 2)).astype(np.float32)
    noise = np.random.default_rng(2).normal(0, 1, actual.shape).astype(np.float32)
    actual[COUNT // 2 :, 1] = np.nan
    test = Samples(np.full(COUNT, "A"), TIME, Rows(actual[:, :1], actual), ("x",))
    sizes = {"linear": 0.5, "persistence": 1.0, "seasonal_naive": 2.0}
    forecasts = {name: (np.nan_to_num(actual) + size * noise).astype(np.float32) for name, size in sizes.items()}
    columns = pass_columns(score(forecasts, actual, test.station, HORIZONS), CHALLENGER, None, 0.0)
    crossed = levels(test, HORIZONS, forecasts, CHALLENGER, columns, None, 0.0)
    np.testing.assert_array_equal(crossed, forecasts["linear"])
