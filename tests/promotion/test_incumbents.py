"""An incumbent of another declaration: judged on what it and the candidates both forecast, and on nothing else."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pytest

from aerocast.contracts.intervals import Intervals
from aerocast.contracts.manifest import FeedSnapshot, Graph, Graphs, Manifest, Metrics, Scores
from aerocast.features.features import feature_names
from aerocast.features.grid import Grid, WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.models.candidates import Candidate
from aerocast.promotion.incumbents import as_candidate, levels
from aerocast.promotion.trial import Trial, run_trial
from aerocast.releases.compatibility import incompatibilities, lacks
from aerocast.releases.release import Release
from aerocast.tables import training
from aerocast.tables.training import Samples
from tests.factories.feeds import declaration, small_feed
from tests.factories.releases import graph, manifest

SPLIT = {"test": 0.4, "validation": 0.12, "calibration": 0.12, "block": "P1D"}
HOURS, START = 240, np.datetime64("2024-04-01T00:00:00", "s")
PATH = Path("x.csv")


def of(feed: Feed) -> WindowSpec:
    return WindowSpec.of(feed, "temperature")


def declared(**changes: Any) -> Feed:
    return small_feed(PATH, split=SPLIT, **changes)


def intervals(spec: WindowSpec) -> Intervals:
    """As wide as 2 wherever recent variability has no say."""
    count = len(spec.horizons)
    driver = next(name for name in feature_names(spec) if name.startswith("temperature_std"))
    return Intervals(0.9, spec.horizons, (2.0,) * count, (driver,), (0.0,), (1.0,), ((0.0,),) * count, 100)


def released(feed: Feed, bias: float = 0.5, skill: float = 0.25, features: tuple[str, ...] = ()) -> Release:
    """A release as it was made of this declaration: persistence plus `bias` x horizon."""
    spec = of(feed)
    names = features or tuple(feature_names(spec))
    scores = Scores(rows=100, rmse=1.5, mae=1.1, mse=2.25, composite=0.2, skill=skill)
    made = manifest(
        feed="small",
        version="0001-aaaaaaaa",
        window=spec,
        horizons=spec.horizons,
        graphs=Graphs(Graph("model.onnx", names, intervals(spec))),
        metrics=Metrics(scores, dict.fromkeys(spec.horizons, scores)),
    )
    made = msgspec.structs.replace(made, feed=FeedSnapshot.of(feed))
    return Release(made, {"model.onnx": graph(bias, len(names), spec.horizons)})


def series(feed: Feed) -> dict[str, Grid]:
    rng = np.random.default_rng(3)
    columns = tuple(column.name for column in feed.columns)
    time = START + np.arange(HOURS) * np.timedelta64(int(feed.cadence.total_seconds()), "s")
    return {
        station: Grid(station, time, columns, rng.normal(50, 5, (HOURS, len(columns))).astype(np.float32),
                      np.zeros((HOURS, len(columns)), dtype=np.float32))
        for station in feed.station_ids
    }  # fmt: skip


def samples(feed: Feed, grids: Mapping[str, Grid]) -> Samples:
    with duckdb.connect() as con:
        con.register("windows", training.table(of(feed), grids, ["2024-04"]))
        return training.load(of(feed), con.table("windows"))


def forecast(before: Feed, now: Feed) -> tuple[np.ndarray, Samples, Mapping[str, Grid]]:
    """What a release of `before` says to the rows of `now`."""
    grids = series(now)
    test = samples(now, grids)

    def silver(window: WindowSpec, months: Sequence[str]) -> Mapping[str, Grid]:
        assert window == of(before)
        assert list(months) == ["2024-04"]
        return grids

    return levels(released(before), of(now), test, silver), test, grids


def newest(test: Samples, grids: Mapping[str, Grid]) -> np.ndarray:
    """The measured temperature at each row's origin."""
    at = {station: dict(zip(grid.time, grid.values[:, 0], strict=True)) for station, grid in grids.items()}
    return np.array([at[station][time] for station, time in zip(test.station, test.time, strict=True)])


BASE = declared()
CHANGES: dict[str, dict[str, Any]] = {
    "a horizon more": {"horizons": [1, 3, 6]},
    "a horizon less": {"horizons": [1]},
    "a station more": {"stations": [{"id": "AAA"}, {"id": "BBB"}, {"id": "CCC"}]},
    "a station less": {"stations": [{"id": "BBB"}]},
    "a look-back that is longer": {"window": {**declaration(PATH)["window"], "look_back": 48}},
    "a column less": {
        "columns": declaration(PATH)["columns"][:2],
        "window": {"columns": ["temperature", "windspeed"], "look_back": 24},
    },
}


@pytest.mark.parametrize("change", CHANGES)
def test_incumbent_is_asked_by_its_own_window(change: str) -> None:
    now = declared(**CHANGES[change])
    found, test, grids = forecast(BASE, now)
    assert found.shape == (len(test.time), len(now.horizons))
    known, last = np.isin(test.station, BASE.station_ids), newest(test, grids)
    assert known.any()
    for at, horizon in enumerate(now.horizons):
        if horizon in BASE.horizons:
            np.testing.assert_allclose(found[known, at], last[known] + 0.5 * horizon, rtol=1e-5)
            assert np.isnan(found[~known, at]).all()
        else:
            assert np.isnan(found[:, at]).all()


def test_trial_compares_with_what_was_judged() -> None:
    """What serves has learned the rows that judged, and would look better on them than it is."""
    own = released(BASE)
    graphs = msgspec.structs.replace(
        own.manifest.graphs, trial=msgspec.structs.replace(own.manifest.graphs.station, file="trial.onnx")
    )
    lineage = msgspec.structs.replace(own.manifest.lineage, trial_end=datetime(2024, 1, 2, tzinfo=UTC))
    names = feature_names(of(BASE))
    files = own.files | {"trial.onnx": graph(7.0, len(names), BASE.horizons)}
    both = Release(msgspec.structs.replace(own.manifest, graphs=graphs, lineage=lineage), files)
    grids = series(BASE)
    test = samples(BASE, grids)
    found = levels(both, of(BASE), test, lambda *_: grids)
    np.testing.assert_allclose(found, newest(test, grids)[:, None] + 7.0 * np.array(BASE.horizons), rtol=1e-5)
    made = as_candidate(both, of(BASE), 0.9, (0.05, 0.95))
    assert made is not None
    assert (made.graph, made.serving.graph) == (files["trial.onnx"], files["model.onnx"])
    assert (made.end, made.serving.end) == (lineage.trial_end, lineage.training_end)


def test_missing_horizons_and_targets_are_listed() -> None:
    more = {"horizons": [1, 3, 6], "stations": [{"id": "AAA"}, {"id": "CCC"}]}
    assert lacks(released(BASE).manifest, declared(**more)) == "forecast 3 steps ahead or know CCC"
    assert lacks(released(BASE).manifest, BASE) == ""
    assert incompatibilities(released(BASE).manifest, BASE) == []


def test_other_unit_or_cadence_makes_incumbent_unusable() -> None:
    columns = declaration(PATH)["columns"]
    metric = {**columns[0], "unit": "degC", "range": [-50, 55]}
    before: Manifest = released(BASE).manifest
    assert incompatibilities(before, declared(columns=[metric, *columns[1:]])) == [
        "temperature is in degC, and was in degF when it was trained"
    ]
    assert incompatibilities(before, declared(cadence="PT30M", seasons=["PT12H"])) == [
        "a step is 30 minutes long, and was 1 hour when it was trained"
    ]
    window = {"columns": ["pressure"], "look_back": 24}
    gone = declared(columns=columns[2:], targets=["pressure"], window=window)
    assert incompatibilities(before, gone) == ["temperature is no longer a column"]


# The trial ------------------------------------------------------------------------------------------------------------


def trial(now: Feed, incumbent: Release | None = None, bias: float = 0.5) -> Trial:
    """The trial of the declaration `now`, whose only candidate forecasts persistence + `bias` x horizon, too."""
    grids, spec = series(now), of(now)
    names = tuple(feature_names(spec))

    def entrant(kind: str, drift: float) -> Candidate:
        made = graph(drift, len(names), spec.horizons)
        end = datetime(2024, 3, 1, tzinfo=UTC)
        return Candidate(
            feed="small", target=spec.target, kind=kind, graph=made, features=names, intervals=intervals(spec),
            start=end, end=end, rows=1, seconds=0.0, validation={},
        )  # fmt: skip

    entrants = [entrant("linear", bias), entrant("persistence", 9.0), entrant("seasonal_naive", 9.0)]
    return run_trial(now, spec, samples(now, grids), entrants, incumbent or released(BASE), None, lambda *_: grids)


def test_incomplete_incumbent_yields_to_equal_candidate() -> None:
    held = trial(declared(horizons=[1, 3, 6]))
    assert held.decision.promoted
    assert "the incumbent does not forecast 3 steps ahead" in held.decision.reason
    assert {score.horizon for score in held.scores} == {0, 1, 3, 6}


def test_incomplete_incumbent_stays_against_worse_candidate() -> None:
    held = trial(declared(horizons=[1, 3, 6]), bias=2.5)
    assert not held.decision.promoted
    assert "it is worse on what both forecast" in held.decision.reason


@pytest.mark.parametrize("change", ["a station less", "a horizon less", "a column less", "a look-back that is longer"])
def test_complete_incumbent_must_be_beaten(change: str) -> None:
    held = trial(declared(**CHANGES[change]))
    assert not held.decision.promoted, "it is no better, so it is not proven"
    assert "is not above min_gain" in held.decision.reason
    assert not held.note


def test_unusable_incumbent_does_not_count() -> None:
    columns = declaration(PATH)["columns"]
    now = declared(columns=[{**columns[0], "unit": "degC", "range": [-50, 55]}, *columns[1:]])
    held = trial(now)
    assert held.decision.promoted
    assert "does not count: temperature is in degC, and was in degF when it was trained" in held.note


def test_incumbent_with_other_horizons_is_not_compared() -> None:
    held = trial(declared(horizons=[3]))
    assert held.decision.promoted
    assert "it forecasts none of the declared horizons" in held.note


@pytest.mark.parametrize(("skill", "promoted"), [(0.99, False), (0.01, True)])
def test_unscorable_incumbent_yields_to_no_lower_skill(skill: float, promoted: bool) -> None:
    """It wants a feature that the code of now does not make."""
    names = (*feature_names(of(BASE)), "wind_chill")
    held = trial(BASE, released(BASE, skill=skill, features=names))
    assert held.decision.promoted is promoted
    assert "could not be scored" in held.note
    assert "wind_chill" in held.note
    assert ("is below the 0.9900 that the incumbent had" in held.decision.reason) is not promoted
