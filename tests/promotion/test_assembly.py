"""The challenger of each horizon is chosen on calibration rows, among candidates that were calibrated on the same."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aerocast.contracts.intervals import Intervals
from aerocast.models.candidates import Candidate
from aerocast.promotion.assembly import choose

HORIZONS = (1, 24)
END = datetime(2024, 3, 1, tzinfo=UTC)
YARDSTICKS = {"persistence", "seasonal_naive"}


def candidate(
    kind: str, rmse: tuple[float, float], mae: tuple[float, float] | None = None, **changes: Any
) -> Candidate:
    errors = {f"calibration_rmse_{at}": error for at, error in zip(HORIZONS, rmse, strict=True)}
    errors |= {f"calibration_mae_{at}": error for at, error in zip(HORIZONS, mae or (), strict=bool(mae))}
    widths = Intervals(0.9, HORIZONS, (1.0, 1.0), (), (), (), ((), ()), 100)
    made: dict[str, Any] = {"graph": b"x", "features": (), "intervals": widths, "start": END, "end": END}
    made |= {"rows": 1, "seconds": 0.0, "validation": errors, "data_version": "d"}
    return Candidate(feed="f", target="t", kind=kind, **made | changes)


PERSISTENCE = candidate("persistence", (2.0, 4.0), (1.5, 3.0))


def test_each_horizon_gets_the_candidate_of_least_error() -> None:
    near, far = candidate("linear", (1.0, 3.0), (0.8, 2.5)), candidate("xgboost", (1.1, 2.0), (0.9, 1.5))
    assert choose([near, far, PERSISTENCE], HORIZONS, YARDSTICKS) == ({1: "linear", 24: "xgboost"}, "")
    assert choose([PERSISTENCE], HORIZONS, YARDSTICKS) == ({}, "")


def test_mean_absolute_error_counts_where_all_have_it() -> None:
    even, heavy = candidate("linear", (1.0, 1.0), (0.9, 0.9)), candidate("xgboost", (1.01, 1.01), (0.3, 0.3))
    assert choose([even, heavy, PERSISTENCE], HORIZONS, YARDSTICKS)[0] == {1: "xgboost", 24: "xgboost"}
    old = candidate("linear", (1.0, 1.0))
    assert choose([old, heavy, PERSISTENCE], HORIZONS, YARDSTICKS)[0] == {1: "linear", 24: "linear"}


def test_candidate_without_calibration_errors_never_leads() -> None:
    blank = candidate("gru", (1.0, 1.0), validation={})
    assert choose([blank, candidate("linear", (9.0, 9.0))], HORIZONS, YARDSTICKS)[0] == {1: "linear", 24: "linear"}
    unknown = candidate("gru", (float("nan"), 0.5))
    assert choose([unknown, candidate("linear", (9.0, 9.0))], HORIZONS, YARDSTICKS)[0] == {1: "linear", 24: "gru"}


@pytest.mark.parametrize("change", [{"data_version": "e"}, {"since": END}])
def test_candidates_of_other_rows_do_not_compete(change: dict[str, Any]) -> None:
    """Their errors are of other weeks: the larger group stands, and of equal ones the one trained last."""
    two = [candidate("linear", (5.0, 5.0)), candidate("xgboost", (6.0, 6.0))]
    odd = candidate("gru", (1.0, 1.0), **change)
    kinds, note = choose([*two, odd, PERSISTENCE], HORIZONS, YARDSTICKS)
    assert kinds == {1: "linear", 24: "linear"}
    assert note == " gru did not compete: trained on other rows than linear, xgboost."
    late = candidate("gru", (9.0, 9.0), end=datetime(2024, 4, 1, tzinfo=UTC), **change)
    assert choose([two[0], late], HORIZONS, YARDSTICKS)[0] == {1: "gru", 24: "gru"}
