"""What a model learns of silences: rows as a server has them in one, and a graph that answers them and no others."""

from collections.abc import Iterator

import duckdb
import msgspec
import numpy as np
import onnxruntime
import pytest

from aerocast.contracts.intervals import Intervals
from aerocast.contracts.manifest import Graph, Graphs, Manifest
from aerocast.contracts.outages import EXTENTS
from aerocast.features.features import features
from aerocast.features.grid import Grid, WindowSpec
from aerocast.features.outages import age_and_extent, bridged, silenced, with_column
from aerocast.features.windows import targets, valid_origins
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import silent
from aerocast.models import study, trainer
from aerocast.models.by_horizon import assemble
from aerocast.models.candidates import Candidate
from aerocast.models.inference import forecast
from aerocast.models.silence import Silence, silences
from aerocast.releases import issue
from aerocast.releases.release import Release
from aerocast.tables import training
from aerocast.tables.training import Samples
from tests.factories.releases import manifest
from tests.models.test_cold_start import feed, world

IDS = ("AAA", "BBB", "CCC")
FEED = feed(IDS)
SPEC = WindowSpec.of(FEED, "temperature")
GRIDS = {name: grid for name, grid in world(0).items() if name in IDS}
FILL = 3


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    months = {str(month) for grid in GRIDS.values() for month in np.unique(grid.time.astype("datetime64[M]"))}
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("windows", training.table(SPEC, GRIDS, months))
        yield con


@pytest.fixture(scope="module")
def samples(con: duckdb.DuckDBPyConnection) -> Samples:
    return training.load(SPEC, con.table("windows"))


@pytest.fixture(scope="module")
def classes(samples: Samples) -> list[Silence]:
    return silences(FEED, SPEC, samples)


@pytest.fixture(scope="module")
def candidate(con: duckdb.DuckDBPyConnection) -> Candidate:
    return trainer.train(FEED, "temperature", "linear", con.table("windows"), silent)


def in_silence(grid: Grid, at: int, steps: int, columns: tuple[str, ...], *, is_bridged: bool = True) -> Grid:
    """The grid up to a row, before which these columns were silent for so many steps."""
    own = Grid(grid.station, grid.time[: at + 1], grid.columns, grid.values[: at + 1], grid.age[: at + 1])
    is_silent = np.arange(at + 1) > at - steps
    for name in columns:
        place = own.columns.index(name)
        own = with_column(own, place, *silenced(own.values[:, place], own.age[:, place], is_silent, "last", FILL))
    across = bridged(SPEC, own) if steps > FILL and is_bridged else own
    assert across is not None
    return across


def test_rows_are_what_a_server_has_in_a_silence(samples: Samples, classes: list[Silence]) -> None:
    names, age_at = samples.names, samples.names.index("temperature_age")
    own = [at for at, name in enumerate(names) if not name.startswith("near_")]
    compared = 0
    for each in classes:
        for row in range(0, len(each.index), max(1, len(each.index) // 40)):
            x, station = each.samples.rows.x[row], str(each.samples.station[row])
            grid, steps = GRIDS[station], int(x[age_at])
            at = int(np.flatnonzero(grid.time == each.samples.time[row])[0])
            is_whole = x[names.index("dew_point_age")] != 0
            columns = ("temperature", "dew_point") if is_whole else ("temperature",)
            others = [other for name, other in GRIDS.items() if name != station]
            expected = features(SPEC, in_silence(grid, at, steps, columns), np.array([at]), others)[0]
            np.testing.assert_allclose(x[own], expected[own], rtol=1e-5, atol=1e-4)
            np.testing.assert_array_equal(each.samples.rows.y[row], targets(SPEC, grid, np.array([at]))[0])
            assert steps <= each.oldest
            compared += 1
    assert compared > 100


def test_same_samples_give_same_rows(samples: Samples, classes: list[Silence]) -> None:
    for one, other in zip(classes, silences(FEED, SPEC, samples), strict=True):
        np.testing.assert_array_equal(one.index, other.index)
        np.testing.assert_array_equal(one.samples.rows.x, other.samples.rows.x)
    assert [each.oldest for each in classes] == [1, 3, 12, 24, 72, 192]


def test_two_trainings_give_the_same_bytes(con: duckdb.DuckDBPyConnection, candidate: Candidate) -> None:
    study._studies.clear()
    again = trainer.train(FEED, "temperature", "linear", con.table("windows"), silent)
    assert again.graph == candidate.graph
    assert again.intervals == candidate.intervals
    assert again.newest == candidate.newest
    assert again.intervals.outages is not None


def test_measured_rows_are_left_to_the_model(samples: Samples, classes: list[Silence], candidate: Candidate) -> None:
    plan = trainer.split_samples(FEED, SPEC, samples)
    own = study.Study.of(FEED, SPEC, samples, plan.of(samples.time), plan, "any")
    assert own.bridges is not None
    fit = trainer._choose_fit(FEED, "linear", SPEC, samples, plan.of(samples.time), silent)
    both = own.bridges[0].against(fit.model, own.silences).beside(fit.model)
    x = samples.rows.x[::7]
    measured = x[:, samples.names.index("temperature_age")] == 0
    assert measured.any()
    np.testing.assert_array_equal(both.predict(x)[measured], fit.model.predict(x)[measured])
    session = onnxruntime.InferenceSession(both.to_onnx().SerializeToString())
    for rows in (x, classes[0].samples.rows.x, classes[-1].samples.rows.x):
        np.testing.assert_allclose(session.run(None, {"features": rows})[0], both.predict(rows), atol=2e-3)
    assert np.abs(both.predict(classes[-1].samples.rows.x) - fit.model.predict(classes[-1].samples.rows.x)).max() > 1


def test_silent_station_is_forecast_and_covered(samples: Samples, candidate: Candidate) -> None:
    """On the rows that judge: better than the last measured season, and covered by wider intervals."""
    outages = candidate.intervals.outages
    assert outages is not None
    test = samples.time[trainer.roles(FEED, SPEC, samples) == "test"].min()
    for steps in (2, 30):
        rows, actual = [], []
        for station, grid in GRIDS.items():
            others = [other for name, other in GRIDS.items() if name != station]
            origins = np.flatnonzero(grid.time >= test)[: -SPEC.horizons[-1] : 11]
            for at in np.intersect1d(origins, valid_origins(SPEC, grid)):
                across = in_silence(grid, int(at), steps, ("temperature", "dew_point"))
                rows.append(features(SPEC, across, np.array([at]), others)[0])
                actual.append(targets(SPEC, grid, np.array([at]))[0])
        x, y = np.array(rows), np.array(actual)
        levels = forecast(candidate.graph, x, samples.names, candidate.features)
        seasonal = x[:, [samples.names.index(f"temperature_season24_{horizon}") for horizon in SPEC.horizons]]
        assert (np.nanmean(np.abs(levels - y), axis=0) < np.nanmean(np.abs(seasonal - y), axis=0)).all()
        wider = outages.wider(*age_and_extent(SPEC, samples.names, x))
        lower, upper = candidate.intervals.apply(levels, x, samples.names, wider)
        known = np.isfinite(y)
        assert 0.8 < ((lower <= y) & (y <= upper))[known].mean() <= 1


def test_columns_of_bridged_and_other_models_make_one_graph(
    con: duckdb.DuckDBPyConnection, samples: Samples, classes: list[Silence], candidate: Candidate
) -> None:
    plain = trainer.train(FEED, "temperature", "seasonal_naive", con.table("windows"), silent)
    parts = {1: msgspec.structs.replace(candidate, config_hash="a"), 6: msgspec.structs.replace(plain, config_hash="b")}
    whole = assemble(parts, samples.names)
    for x in (samples.rows.x[::50], *(each.samples.rows.x[::50] for each in classes)):
        levels = forecast(whole.graph, x, samples.names, whole.features)
        for at, each in enumerate(parts.values()):
            alone = forecast(each.graph, x, samples.names, each.features)
            np.testing.assert_allclose(levels[:, at], alone[:, at], rtol=1e-4, atol=1e-3)
    outages, own = whole.intervals.outages, [each.intervals.outages for each in parts.values()]
    assert outages is not None
    for k in range(len(outages.ages)):
        for extent in range(EXTENTS):
            expected = [each.factors[k][extent][at] for at, each in enumerate(own) if each]
            assert outages.factors[k][extent] == tuple(expected)
    old = msgspec.structs.replace(
        plain, config_hash="b", intervals=msgspec.structs.replace(plain.intervals, outages=None)
    )
    assert assemble({1: parts[1], 6: old}, samples.names).intervals.outages is None


def test_newest_forecasts_of_pipeline_bridge_a_silence(samples: Samples, candidate: Candidate) -> None:
    """Of a silent station as of another, by the graph and the factors of its class; an old release has none for it."""
    made = manifest(window=SPEC, horizons=SPEC.horizons)
    graph = Graph("model.onnx", candidate.features, candidate.intervals)
    newest = {name: grid.tail(250) for name, grid in GRIDS.items()}
    at = len(newest["AAA"].time) - 1
    newest["AAA"] = in_silence(newest["AAA"], at, 30, ("temperature", "dew_point"), is_bridged=False)
    batch = issue.forecast_newest(Release(replace_graph(made, graph), {"model.onnx": candidate.graph}), newest)
    assert [grid.station for grid in batch.grids] == list(IDS)
    assert candidate.intervals.outages is not None
    plain = replace_graph(made, msgspec.structs.replace(graph, intervals=without_outages(candidate)))
    old = issue.forecast_newest(Release(plain, {"model.onnx": candidate.graph}), newest)
    assert [grid.station for grid in old.grids] == list(IDS[1:])
    np.testing.assert_array_equal(old.values, batch.values[1:])
    widths = batch.upper - batch.lower
    assert (widths[0] > 1.5 * widths[1:].mean(axis=0)).all()


def replace_graph(made: Manifest, graph: Graph) -> Manifest:
    return msgspec.structs.replace(made, graphs=Graphs(graph))


def without_outages(candidate: Candidate) -> Intervals:
    return msgspec.structs.replace(candidate.intervals, outages=None)


def test_too_few_rows_teach_nothing(con: duckdb.DuckDBPyConnection) -> None:
    short = con.table("windows").filter("time < TIMESTAMPTZ '2024-01-30' AND station = 'AAA'")
    small: Feed = FEED.model_copy(update={"split": FEED.split.model_copy(update={"block": FEED.cadence * 24})})
    candidate = trainer.train(small, "temperature", "linear", short, silent)
    assert candidate.intervals.outages is None
