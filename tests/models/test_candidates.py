"""Forecasts of a model without a graph: found again by station and origin, and never guessed."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.features.dataset import Rows
from aerocast.models.candidates import Candidate, StoredForecasts
from aerocast.promotion.trial import _forecasts
from aerocast.tables.training import Samples

STATION = np.array(["BBB", "AAA", "BBB", "AAA"])
TIME = np.datetime64("2024-05-01T00:00:00", "s") + np.array([0, 0, 1, 1]) * np.timedelta64(3600, "s")
LEVELS = np.arange(8, dtype=np.float32).reshape(4, 2)
STORED = StoredForecasts.of(STATION, TIME, LEVELS)


def test_stored_forecasts_are_matched_by_station_and_origin() -> None:
    order = [3, 0, 2]
    np.testing.assert_array_equal(STORED.levels_of(STATION[order], TIME[order]), LEVELS[order])


@pytest.mark.parametrize(("station", "hours"), [("CCC", 0), ("AAA", 2)])
def test_row_without_forecast_is_refused(station: str, hours: int) -> None:
    asked = TIME[:1] + hours * np.timedelta64(3600, "s")
    with pytest.raises(AeroCastError, match="1 of 2 rows did not exist when it was trained"):
        STORED.levels_of(np.array(["BBB", station]), np.concatenate([TIME[:1], asked]))


def test_trial_on_newer_rows_leaves_candidate_out_with_reason() -> None:
    rows = Rows(np.zeros((4, 1), dtype=np.float32), LEVELS)
    mute = cast("Candidate", SimpleNamespace(kind="mute", graph=b"", forecasts=STORED))
    forecasts, remarks = _forecasts([mute], Samples(STATION, TIME, rows, ("x",)))
    np.testing.assert_array_equal(forecasts["mute"], LEVELS)
    assert remarks == " mute was scored, and is never promoted: it has no ONNX graph, so it cannot serve."
    newer = Samples(STATION, TIME + np.timedelta64(3600, "s"), rows, ("x",))
    forecasts, remarks = _forecasts([mute], newer)
    assert not forecasts
    assert remarks == " mute was not scored: 2 of 4 rows did not exist when it was trained."
