"""Prophet beside the other kinds: a curve by time alone that is never late, never leaks, and never serves."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import duckdb
import numpy as np
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.features import origin
from aerocast.features.dataset import Dataset, Rows, rmse
from aerocast.features.features import feature_names, features
from aerocast.features.grid import Floats, Grid, WindowSpec
from aerocast.features.windows import targets, valid_origins
from aerocast.feed import model_kind
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import silent
from aerocast.lake import Lake
from aerocast.models import candidates, trainer
from aerocast.models.candidates import Candidate
from aerocast.models.kinds.prophet import Prophet
from aerocast.models.splits import Role
from aerocast.models.tracking import NOTE, Tracker
from aerocast.releases import release
from aerocast.tables import training
from aerocast_assets.keys import key
from cli import summary
from cli.failures import Standing
from tests import PROJECT
from tests.factories.feeds import declaration, small_feed
from tests.factories.series import HOUR, SPEC, START
from tests.harness.graph import metadata, refresh

NAMES = (*feature_names(SPEC), *origin.NAMES)
HOURS = 24 * 60
CANDIDATES = {"prophet": {}, "persistence": {}, "seasonal_naive": {}}


def curve(station: str, noise: float = 0.0, hours: int = HOURS) -> Grid:
    """A trend and a day by New York's clock, which is changed on 10 March; nothing is missing."""
    hour = np.arange(hours)
    local = hour - 5 + (hour >= 24 * 69 + 7)
    level = 50 + 0.01 * hour + 8 * np.sin(2 * np.pi * local / 24) + (5 if station == "BBB" else 0)
    level += np.random.default_rng(0).normal(0, noise, hours) if noise else 0
    values = np.repeat(level[:, None], len(SPEC.inputs), axis=1).astype(np.float32)
    return Grid(station, START + hour * HOUR, SPEC.inputs, values, np.zeros_like(values))


def rows(hours: slice, noise: float = 0.0) -> Rows:
    """Rows of both stations whose origins lie between two hours."""
    grids = [curve(station, noise, HOURS + 24 * 30) for station in ("AAA", "BBB")]
    parts = []
    for each in grids:
        own = valid_origins(SPEC, each)
        own = own[(own >= hours.start) & (own < hours.stop)]
        x = np.hstack([features(SPEC, each, own, grids), origin.columns(each.time[own])])
        parts.append((x, targets(SPEC, each, own)))
    return Rows(np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts]))


@pytest.fixture(scope="module")
def fitted() -> Prophet:
    pytest.importorskip("prophet", reason="prophet is not installed: pip install 'aerocast[prophet]'")
    data = Dataset(SPEC, NAMES, rows(slice(48, HOURS - 96), noise=0.5), rows(slice(HOURS - 72, HOURS), noise=0.5))
    return Prophet.learn(data)


def test_curve_follows_trend_and_local_clock(fitted: Prophet) -> None:
    """Later than all that was learned, and on both sides of the change of the clock."""
    later = rows(slice(HOURS + 24, HOURS + 24 * 20))
    errors = rmse(fitted.predict(later.x), later.y)
    persistence = rmse(later.x[:, [fitted.last]].repeat(3, axis=1), later.y)
    assert (errors < 1.0).all()
    assert (errors[:2] < 0.6 * persistence[:2]).all()


def test_training_says_nothing_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """In a process of its own, since the libraries set their loggers up once."""
    pytest.importorskip("prophet", reason="prophet is not installed: pip install 'aerocast[prophet]'")
    code = (
        "from tests.models.test_prophet import NAMES, SPEC, Dataset, Prophet, rows\n"
        "part = rows(slice(48, 24 * 10))\n"
        "Prophet.learn(Dataset(SPEC, NAMES, part, part))"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=PROJECT)
    assert capfd.readouterr() == ("", "")


def test_share_is_small_where_errors_do_not_last(fitted: Prophet) -> None:
    """Noise says nothing about the next reading."""
    assert ((fitted.shares >= 0) & (fitted.shares < 0.5)).all()


def test_station_without_curve_gets_its_last_value(fitted: Prophet) -> None:
    x = rows(slice(HOURS, HOURS + 24)).x
    x[:, [NAMES.index(f"station_{place.id}") for place in SPEC.places]] = np.nan
    np.testing.assert_allclose(fitted.predict(x), x[:, [fitted.last]].repeat(3, axis=1))


def test_reading_that_was_filled_is_not_learned(fitted: Prophet) -> None:
    data = Dataset(SPEC, NAMES, rows(slice(48, 24 * 20)), rows(slice(24 * 20, 24 * 25)))
    wrong = data.train.x.copy()
    filled = np.arange(len(wrong)) % 3 == 0
    wrong[filled, NAMES.index("temperature_lag0")] += 40
    wrong[filled, NAMES.index("temperature_age")] = 2
    kept, other = (
        Prophet.learn(Dataset(SPEC, NAMES, each, data.validation))
        for each in (data.train.take(~filled), Rows(wrong, data.train.y))
    )
    np.testing.assert_allclose(kept.curves.at(data.validation.x), other.curves.at(data.validation.x), rtol=1e-3)


def train(spec: WindowSpec, feed: Feed, grids: dict[str, Grid]) -> tuple[Candidate, training.Samples]:
    months = {str(month) for each in grids.values() for month in np.unique(each.time.astype("datetime64[M]"))}
    with duckdb.connect() as con:
        con.register("windows", training.table(spec, grids, months))
        samples = training.load(spec, con.table("windows"))
        return trainer.train(feed, spec.target, "prophet", con.table("windows"), silent), samples


def test_forecast_knows_nothing_later_than_its_origin() -> None:
    """Of two pasts that differ from an instant in the test span on, forecasts from before it are the same."""
    pytest.importorskip("prophet", reason="prophet is not installed: pip install 'aerocast[prophet]'")
    feed = Feed.parse(declaration(Path("x.csv"), candidates=CANDIDATES))
    spec = WindowSpec.of(feed, "temperature")
    hours, change = 24 * 100, 24 * 95
    made = np.random.default_rng(3)
    plain: Floats = (50 + np.cumsum(made.normal(0, 0.5, (hours, 3)), axis=0)).astype(np.float32)
    other = plain.copy()
    other[change:] += 30
    levels = []
    for values in (plain, other):
        grids = {
            name: Grid(name, START + np.arange(hours) * HOUR, spec.inputs, values + at, np.zeros_like(values))
            for at, name in enumerate(("AAA", "BBB"))
        }
        candidate, samples = train(spec, feed, grids)
        assert not candidate.graph
        assert candidate.forecasts
        judged = (trainer.roles(feed, spec, samples) == Role.TEST) & (samples.time < START + change * HOUR)
        assert judged.sum() > 100
        levels.append(candidate.forecasts.levels_of(samples.station[judged], samples.time[judged]))
    np.testing.assert_allclose(levels[0], levels[1], rtol=1e-4)


@pytest.mark.e2e
def test_prophet_is_reported_beside_the_others_and_never_serves(
    readings: Path, home: Path, instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("prophet", reason="prophet is not installed: pip install 'aerocast[prophet]'")
    feed = small_feed(readings, candidates={"linear": {}, **CANDIDATES})
    result = refresh(feed, home, instance)
    assert result.success, [event.step_key for event in result.get_step_failure_events()]
    with duckdb.connect() as con:
        scores = Lake(home).relation(con, "small/temperature/scores").filter("station = 'all' AND horizon = 0")
        count = dict(scores.select("model, n").fetchall())
    assert count.keys() == {"linear", *CANDIDATES}
    assert len(set(count.values())) == 1, "all on the same rows"
    pointer = release.current(home, "small", "temperature")
    assert pointer
    assert "prophet" not in release.load(home, "small", "temperature", pointer.version).manifest.kinds.values()
    champion = metadata(result, key(feed, "temperature", "champion"))
    assert (
        "prophet was scored, and is never promoted: it has no ONNX graph, so it cannot serve." in champion["decision"]
    )
    assert "prophet" in str(champion["scores"])
    trained = candidates.read_candidate(home, "small", "temperature", "prophet")
    assert trained
    run = Tracker(home).client.get_run(trained.mlflow_run_id)
    assert run.data.tags["serves"] == "false"
    assert "cannot serve" in run.data.tags[NOTE]
    assert run.data.metrics.keys() >= {"test_rmse_1", "test_skill_6", "share_1"}
    summary.print_target(home, feed, Standing("temperature", "serves", ""))
    (line,) = (each for each in capsys.readouterr().out.splitlines() if each.startswith("  prophet "))
    assert line.endswith("(cannot serve)")


def test_declaration_without_package_is_refused_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_kind, "find_spec", lambda name: None)
    with pytest.raises(AeroCastError, match=r"candidates\.prophet: 'prophet' needs the module prophet, which is not"):
        Feed.parse(declaration(Path("x.csv"), candidates=CANDIDATES))
    assert Prophet.lacking()[0].endswith("pip install 'aerocast[prophet]'")


def test_kind_that_takes_origins_cannot_serve() -> None:
    with pytest.raises(TypeError, match="takes origins"):
        type("Dated", (Prophet,), {"serves": True, "to_onnx": lambda self: None})
