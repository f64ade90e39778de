"""First aid: what serves is reweighted on a new regime's outcomes, and judged on later ones."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.contracts.intervals import Intervals, coverage
from aerocast.features.dataset import Rows
from aerocast.features.features import feature_names, features
from aerocast.features.grid import Floats
from aerocast.features.windows import targets, valid_origins
from aerocast.feed.model_kind import model
from aerocast.models.candidates import Candidate
from aerocast.models.inference import forecast
from aerocast.promotion import first_aid
from aerocast.promotion.trial import label_end
from aerocast.tables.training import Samples
from tests.factories.series import HOUR, SPEC, START, grid, training

NAMES = tuple(feature_names(SPEC))
HOURS = 900
SINCE = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=700)
BASELINES = ("persistence", "seasonal_naive")


def candidate(kind: str) -> Candidate:
    """Trained on another weather's rows, which end long before the regime."""
    drivers = ("forecast",)
    intervals = Intervals(
        0.9, SPEC.horizons, (3.0,) * 3, drivers, (0.0,), (1.0,), ((0.0,),) * 3, 500, lowest=-60, highest=150
    )
    end = datetime(2024, 1, 20, tzinfo=UTC)
    graph = model(kind).learn(training(seed=7)).to_onnx().SerializeToString()
    return Candidate("small", SPEC.target, kind, graph, NAMES, intervals, end - timedelta(days=9), end, 500, 1.0, {})


@pytest.fixture(scope="module")
def served() -> Candidate:
    return candidate("linear")


@pytest.fixture(scope="module")
def baselines() -> dict[str, Candidate]:
    return {kind: candidate(kind) for kind in BASELINES}


def samples(served: Candidate, regime: Callable[[Floats], Floats]) -> Samples:
    """Rows of two stations in time order; since the regime outcomes are `regime` of what serves says, and noise."""
    grids = [grid(name, HOURS, seed) for name, seed in (("AAA", 3), ("BBB", 4))]
    origins = [valid_origins(SPEC, each) for each in grids]
    x = np.concatenate([features(SPEC, each, at, grids) for each, at in zip(grids, origins, strict=True)])
    y = np.concatenate([targets(SPEC, each, at) for each, at in zip(grids, origins, strict=True)])
    time = START + np.concatenate(origins) * HOUR
    station = np.repeat([each.station for each in grids], [len(at) for at in origins])
    levels = forecast(served.graph, x, NAMES)
    new = regime(levels) + np.random.default_rng(0).normal(0, 0.3, y.shape).astype(np.float32)
    y = np.where((time >= np.datetime64(SINCE.replace(tzinfo=None)))[:, None] & np.isfinite(y), new, y)
    order = np.lexsort((station, time))
    return Samples(station[order], time[order], Rows(x[order], y[order].astype(np.float32)), NAMES)


def test_constant_error_is_taken_back_and_intervals_fit(served: Candidate, baselines: dict[str, Candidate]) -> None:
    rows = samples(served, lambda levels: levels + 6)
    aid = first_aid.candidate(served, baselines, SPEC, rows, SINCE)
    judging = rows.take(rows.time > label_end(aid.end, SPEC))
    assert len(judging.time) > 50
    before, after = (
        np.sqrt(np.nanmean((forecast(each.graph, judging.rows.x, NAMES, each.features) - judging.rows.y) ** 2, axis=0))
        for each in (served, aid)
    )
    assert (after < 0.3 * before).all()
    levels = forecast(aid.graph, judging.rows.x, NAMES, aid.features)
    assert min(coverage(aid.intervals, judging.rows.x, NAMES, levels, judging.rows.y)) > 0.7
    assert aid.newest is not None
    assert aid.newest.rows > aid.rows
    assert aid.newest.end > aid.end
    assert aid.kind == first_aid.KIND
    assert aid.config_hash != served.config_hash


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.1, 10.0, 1e4]))
def test_what_judges_changes_nothing_of_what_is_judged(
    served: Candidate, baselines: dict[str, Candidate], seed: int, scale: float
) -> None:
    rows = samples(served, lambda levels: 1.2 * levels)
    aid = first_aid.candidate(served, baselines, SPEC, rows, SINCE)
    judging = label_end(aid.end, SPEC)
    later = rows.time[:, None] + np.array(SPEC.horizons) * HOUR > judging
    noise = np.random.default_rng(seed).normal(0, scale, later.shape).astype(np.float32)
    other = Samples(rows.station, rows.time, Rows(rows.rows.x, np.where(later, noise, rows.rows.y)), NAMES)
    again = first_aid.candidate(served, baselines, SPEC, other, SINCE)
    assert again.graph == aid.graph
    assert again.intervals == aid.intervals
    assert again.newest != aid.newest, "what serves learns from all outcomes"


def test_forecasts_that_are_right_stay_as_they_are(served: Candidate, baselines: dict[str, Candidate]) -> None:
    rows = samples(served, lambda levels: levels)
    aid = first_aid.candidate(served, baselines, SPEC, rows, SINCE)
    own, levels = (forecast(each.graph, rows.rows.x, NAMES, each.features) for each in (served, aid))
    assert np.nanmean(np.abs(levels - own)) < 0.5


def test_short_regime_or_missing_baseline_is_refused(served: Candidate, baselines: dict[str, Candidate]) -> None:
    rows = samples(served, lambda levels: levels)
    short = SINCE + timedelta(hours=160)
    with pytest.raises(
        AeroCastError, match=r"first aid: .* of the new regime are too short to judge forecasts 1 day ahead"
    ):
        first_aid.candidate(served, baselines, SPEC, rows, short)
    with pytest.raises(AeroCastError, match="too short"):
        first_aid.candidate(served, baselines, SPEC, rows, SINCE + timedelta(days=99))
    with pytest.raises(AeroCastError, match="persistence was not trained"):
        first_aid.candidate(served, {"seasonal_naive": baselines["seasonal_naive"]}, SPEC, rows, SINCE)
