"""The champion's page says how much each group of features moves its forecasts on test rows."""

from datetime import UTC, datetime

import numpy as np
import pytest

from aerocast.features.dataset import Rows
from aerocast.features.features import feature_names
from aerocast.models.candidates import Candidate
from aerocast.promotion.contributions import mean_contributions
from aerocast.promotion.decision import NO_CANDIDATE
from aerocast.promotion.trial import Trial
from aerocast.tables.training import Samples
from tests.factories import releases

SPEC = releases.spec()
NAMES = tuple(feature_names(SPEC))
TIME = datetime(2024, 1, 1, tzinfo=UTC)


def samples(newest: list[float]) -> Samples:
    """Rows whose newest temperature is given; all else is 1."""
    x = np.ones((len(newest), len(NAMES)), dtype=np.float32)
    x[:, NAMES.index("temperature_lag0")] = newest
    time = np.datetime64("2024-01-01T00:00:00", "s") + np.arange(len(newest)) * np.timedelta64(3600, "s")
    return Samples(np.full(len(newest), "JFK"), time, Rows(x, x[:, :3]), NAMES)


def trial(entry: Candidate | None, typical: Samples | None) -> Trial:
    return Trial(samples([30.0, 60.0] * 100), {}, [], {}, NO_CANDIDATE, "", entry=entry, typical=typical)


def persistence() -> Candidate:
    at = NAMES.index("temperature_lag0")
    return Candidate(
        feed="noaa", target="temperature", kind="persistence", graph=releases.graph(2.0, at=at), features=NAMES,
        intervals=releases.intervals(), start=TIME, end=TIME, rows=1, seconds=0.0, validation={},
    )  # fmt: skip


def test_mean_size_of_each_part_the_largest_first() -> None:
    sizes = mean_contributions(SPEC, trial(persistence(), samples([40.0, 60.0])))
    assert next(iter(sizes)) == "temperature, recent"
    assert 10 < sizes["temperature, recent"][0] < 20, "20 below the mean of the typical rows, or 10 above it"
    assert sizes["temperature, recent"] == pytest.approx(sizes["temperature, recent"][0])
    assert all((size == 0).all() for name, size in sizes.items() if name != "temperature, recent")


def test_nothing_is_shown_without_entry_or_earlier_rows() -> None:
    assert mean_contributions(SPEC, trial(None, samples([40.0]))) == {}
    assert mean_contributions(SPEC, trial(persistence(), None)) == {}
    assert mean_contributions(SPEC, trial(persistence(), samples([]))) == {}
