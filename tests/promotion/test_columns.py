"""One release serves each horizon by what is best there: chosen on calibration rows, judged, merged, and released."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest

from aerocast.contracts.intervals import Intervals, levels_of
from aerocast.contracts.manifest import Manifest
from aerocast.contracts.pointer import Current
from aerocast.features.features import feature_names
from aerocast.features.grid import Grid, WindowSpec
from aerocast.models.by_horizon import KIND
from aerocast.models.candidates import Candidate
from aerocast.models.kinds._onnx import GraphBuilder
from aerocast.promotion import bundle, rollout
from aerocast.promotion.scoring import ALL
from aerocast.promotion.trial import Trial, run_trial
from aerocast.releases import release
from aerocast.releases.release import Release, ServingRelease
from aerocast.tables import training
from aerocast.tables.training import Samples
from tests.factories.feeds import small_feed

FEED = small_feed(
    Path("x.csv"),
    split={"test": 0.4, "validation": 0.12, "calibration": 0.12, "block": "P1D"},
    promotion={"max_p": 0.5},
)
SPEC = WindowSpec.of(FEED, "temperature")
NAMES = tuple(feature_names(SPEC))
HOURS, START = 480, np.datetime64("2024-04-01T00:00:00", "s")
NEAR, FAR = SPEC.horizons
# White noise around a mean: the mean of a day errs less than the last value; half a degree off, it still does.
GOOD, FAIR, BAD = 0.0, 1.0, 30.0


@pytest.fixture(scope="module")
def samples() -> Samples:
    rng = np.random.default_rng(3)
    columns = tuple(column.name for column in FEED.columns)
    time = START + np.arange(HOURS) * np.timedelta64(3600, "s")
    values = {station: rng.normal(50, 5, (HOURS, 3)).astype(np.float32) for station in FEED.station_ids}
    grids = {
        station: Grid(station, time, columns, table, np.zeros((HOURS, 3), dtype=np.float32))
        for station, table in values.items()
    }
    with duckdb.connect() as con:
        con.register("windows", training.table(SPEC, grids, ["2024-04"]))
        return training.load(SPEC, con.table("windows"))


def graph(near: float, far: float, feature: str = "temperature_mean0to24") -> bytes:
    """A feature at every horizon, so much off at each."""
    builder = GraphBuilder()
    level = builder.columns("features", [NAMES.index(feature)] * 2)
    if feature.startswith("temperature_mean"):  # means are differences from the newest value
        level = builder.op("Add", level, builder.columns("features", [NAMES.index("temperature_lag0")]))
    builder.op("Add", level, builder.constant(np.array([near, far], dtype=np.float32)), output="forecast")
    return bytes(builder.model(len(NAMES), 2).SerializeToString())


def candidate(kind: str, data: bytes, errors: tuple[float, float], half: float = 9.0) -> Candidate:
    """A candidate with what its errors on calibration rows were."""
    quantiles = levels_of(0.9, FEED.promotion.quantiles)
    offsets = tuple(tuple((2 * each - 1) / 0.9 * own for each in quantiles) for own in (half, half + 1))
    widths = Intervals(
        0.9, SPEC.horizons, (), (), (), (), ((), ()), 100, quantiles=quantiles, offsets=offsets
    )  # fmt: skip
    validation = {
        f"calibration_{name}_{at}": error
        for name in ("rmse", "mae")
        for at, error in zip(SPEC.horizons, errors, strict=True)
    }
    number = sum(kind.encode()) + int(sum(errors))
    return Candidate(
        feed="small", target="temperature", kind=kind, graph=data, features=NAMES, intervals=widths,
        start=datetime(2024, 2, 1, tzinfo=UTC), end=datetime(2024, 3, 1, tzinfo=UTC), rows=9, seconds=0.1,
        validation=validation, config_hash=f"{number:064x}",
    )  # fmt: skip


def entrants(
    linear: tuple[float, float], xgboost: tuple[float, float], believed: Mapping[str, tuple[float, float]]
) -> list[Candidate]:
    """Two candidates that are so much off, what calibration rows said of them, and the baselines."""
    return [
        candidate("linear", graph(*linear), believed["linear"], half=9.0),
        candidate("xgboost", graph(*xgboost), believed["xgboost"], half=19.0),
        candidate("persistence", graph(0, 0, "temperature_lag0"), (7.0, 7.0), half=29.0),
        candidate("seasonal_naive", graph(3, 3, "temperature_lag0"), (7.0, 7.0), half=39.0),
    ]


BELIEVED = {"linear": (1.0, 3.0), "xgboost": (2.0, 2.0)}


def served(trial: Trial) -> Release:
    """The release of a trial, read from the bytes that it is written as."""
    assert trial.entry is not None
    made = bundle.manifest(FEED, SPEC, (trial.entry, None), trial, "run", "test")
    again = msgspec.json.decode(msgspec.json.encode(made), type=Manifest)
    return Release(msgspec.structs.replace(again, version="0001-aaaaaaaa"), bundle.files(trial.entry, None))


def halves(manifest: Manifest) -> list[float]:
    """(H,) half widths of the intervals."""
    return [-float(each[0]) for each in manifest.graphs.station.intervals.usual()]


def test_each_horizon_is_served_by_its_own_candidate(samples: Samples) -> None:
    trial = run_trial(FEED, SPEC, samples, entrants((GOOD, BAD), (BAD, GOOD), BELIEVED), None)
    assert trial.decision.promoted, trial.decision.reason
    assert trial.decision.reason.startswith(
        f"Promoted: {KIND} (linear at {NEAR}; xgboost at {FAR} steps ahead) has composite"
    )
    manifest = served(trial).manifest
    assert (manifest.kind, manifest.kinds, manifest.served_by) == (KIND, {NEAR: "linear", FAR: "xgboost"}, {})
    assert halves(manifest) == pytest.approx([9.0, 20.0])
    own = {each.horizon: each for each in trial.scores if each.model == KIND and each.station == ALL}
    for kind, horizon in (("linear", NEAR), ("xgboost", FAR)):
        (alone,) = (each for each in trial.scores if (each.model, each.station, each.horizon) == (kind, ALL, horizon))
        assert own[horizon].rmse == pytest.approx(alone.rmse)
        assert manifest.metrics.horizons[horizon].rmse == pytest.approx(alone.rmse)
        at = SPEC.horizons.index(horizon)
        assert trial.coverage[KIND][at] == pytest.approx(trial.coverage[kind][at])


def test_calibration_rows_choose_and_judging_rows_do_not(samples: Samples) -> None:
    """`xgboost` would be the better one on the rows that judge; it was not on those that choose."""
    believed = {"linear": (1.0, 1.0), "xgboost": (2.0, 2.0)}
    trial = run_trial(FEED, SPEC, samples, entrants((FAIR, FAIR), (GOOD, GOOD), believed), None)
    assert (trial.decision.promoted, trial.decision.winner) == (True, "linear")
    assert served(trial).manifest.kinds == {NEAR: "linear", FAR: "linear"}
    assert KIND not in trial.forecasts


def test_better_baseline_serves_where_challenger_is_no_better(samples: Samples) -> None:
    trial = run_trial(FEED, SPEC, samples, entrants((GOOD, BAD), (BAD, BAD), BELIEVED), None)
    assert trial.decision.promoted
    assert f"at {FAR} steps persistence serves: xgboost has skill -" in trial.decision.reason
    manifest = served(trial).manifest
    assert (manifest.kinds, manifest.served_by) == ({NEAR: "linear", FAR: "persistence"}, {FAR: "persistence"})
    assert halves(manifest) == pytest.approx([9.0, 30.0]), "its own interval"
    assert manifest.metrics.horizons[FAR].skill == pytest.approx(0.0)


def test_nothing_is_promoted_where_no_horizon_beats_the_baselines(samples: Samples) -> None:
    trial = run_trial(FEED, SPEC, samples, entrants((BAD, BAD), (BAD, BAD), BELIEVED), None)
    assert not trial.decision.promoted
    assert "no horizon is above min_skill 0 over both baselines" in trial.decision.reason
    assert trial.decision.reason.startswith(f"Refused: {KIND} (linear at {NEAR}; xgboost at {FAR} steps ahead) has")
    assert trial.entry is None
    assert trial.decision.kinds == {}


def test_column_of_incumbent_serves_on_where_it_alone_is_good(samples: Samples) -> None:
    old = served(
        run_trial(FEED, SPEC, samples, entrants((FAIR + 1, GOOD), (BAD, BAD), BELIEVED | {"linear": (1.0, 1.0)}), None)
    )
    assert old.manifest.kinds == {NEAR: "linear", FAR: "linear"}
    trial = run_trial(FEED, SPEC, samples, entrants((GOOD, BAD), (BAD, BAD), BELIEVED), old)
    assert trial.decision.promoted, trial.decision.reason
    assert f"at {FAR} steps the incumbent serves: xgboost has skill -" in trial.decision.reason
    new = served(trial)
    assert new.manifest.kinds == {NEAR: "linear", FAR: "linear"}
    assert new.manifest.served_by == {FAR: "linear of 0001-aaaaaaaa"}
    assert new.manifest.kind == KIND
    scores = {(each.model, each.horizon): each.rmse for each in trial.scores if each.station == ALL}
    assert scores[KIND, FAR] == pytest.approx(scores["incumbent", FAR])
    assert trial.decision.gain == pytest.approx(1 - trial.decision.composite / trial.decision.incumbent_composite)


@pytest.mark.parametrize("change", ["window", "level", "quantiles"])
def test_incumbent_of_other_window_or_quantiles_gives_no_column(samples: Samples, change: str) -> None:
    old = served(
        run_trial(FEED, SPEC, samples, entrants((FAIR + 1, GOOD), (BAD, BAD), BELIEVED | {"linear": (1.0, 1.0)}), None)
    )
    feed = FEED
    if change != "window":
        other = {"level": {"coverage": 0.8}, "quantiles": {"quantiles": (0.01, 0.05, 0.5)}}[change]
        feed = FEED.model_copy(update={"promotion": FEED.promotion.model_copy(update=other)})
    else:
        window = msgspec.structs.replace(SPEC, places=(*SPEC.places, msgspec.structs.replace(SPEC.places[0], id="CCC")))
        old = Release(msgspec.structs.replace(old.manifest, window=window), old.files)
    trial = run_trial(feed, SPEC, samples, entrants((GOOD, BAD), (BAD, BAD), BELIEVED), old, None, lambda *_: {})
    assert trial.decision.served_by == {FAR: "persistence"}


def test_models_that_cannot_be_one_graph_are_refused_by_reason(
    samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    linear, xgboost, *baselines = entrants((GOOD, BAD), (BAD, GOOD), BELIEVED)
    monkeypatch.setattr("aerocast.models.one_graph.INPUT", "nothing")
    trial = run_trial(FEED, SPEC, samples, [linear, xgboost, *baselines], None)
    assert not trial.decision.promoted
    assert "the models cannot be one graph" in trial.decision.reason


def test_release_is_written_and_promoted(samples: Samples, tmp_path: Path) -> None:
    trial = run_trial(FEED, SPEC, samples, entrants((GOOD, BAD), (BAD, BAD), BELIEVED), None)
    before = ServingRelease(None, None, "")
    outcome = rollout.apply_decision(tmp_path, FEED, trial, (trial.entry, None), before, "run", None)
    pointer = release.current(tmp_path, "small", "temperature")
    assert isinstance(pointer, Current)
    assert outcome.serves is not None
    assert outcome.serves.version == pointer.version
    loaded = release.load(tmp_path, "small", "temperature", pointer.version)
    assert loaded.manifest.served_by == {FAR: "persistence"}
    assert loaded.files["model.onnx"] == trial.entry.graph


def test_release_without_the_new_fields_is_read_and_a_newer_one_too() -> None:
    from tests.factories.releases import manifest

    plain = msgspec.to_builtins(manifest(), str_keys=True)
    old = {name: value for name, value in plain.items() if name not in ("kinds", "served_by")}
    read = msgspec.json.decode(msgspec.json.encode(old), type=Manifest)
    assert (read.kinds, read.served_by) == ({}, {})
    assert {read.kind_at(horizon) for horizon in read.horizons} == {"linear"}
    newer = msgspec.json.encode(plain | {"kinds": {"1": "linear"}, "colour": "red"})
    assert msgspec.json.decode(newer, type=Manifest).kinds == {1: "linear"}
