"""Live evidence on what a release has learned last: both of its graphs on rows that neither has seen."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts.adaptation import Adaptation
from aerocast.contracts.drift_state import DriftState, Shadow
from aerocast.contracts.manifest import FeedSnapshot, Graphs
from aerocast.features.features import feature_names
from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.feed.policies import Promotion
from aerocast.lake import Lake
from aerocast.monitoring.evaluation.newest_fit import EVERY, Look, look
from aerocast.promotion.withdrawal import write_as_judged
from aerocast.releases import release
from aerocast.retraining.policy import has_proof
from aerocast.tables import silver
from tests.factories.feeds import START, small_feed, write_readings
from tests.factories.layers import make_layers
from tests.factories.releases import graph, intervals, manifest

HOURS = 24 * 60
LEARNED = START + timedelta(days=30)
NOW = START + timedelta(hours=HOURS)
KEY = ("small", "temperature")


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return small_feed(write_readings(tmp_path / "readings.csv", hours=HOURS), end=None)


@pytest.fixture
def lake(con: duckdb.DuckDBPyConnection, home: Path, feed: Feed) -> Lake:
    lake = Lake(home)
    make_layers(con, lake, feed, NOW)
    return lake


def serve(home: Path, feed: Feed, serving: float, judged: float, number: int = 1) -> str:
    """A release that serves persistence and so much an hour, after a trial of the same with `judged`; its version."""
    spec = WindowSpec.of(feed, "temperature")
    own = manifest(number, feed="small")
    names = tuple(feature_names(spec))
    at = names.index("temperature_lag0")
    files = {
        name: graph(bias, len(names), spec.horizons, at)
        for name, bias in (("model.onnx", serving), ("trial.onnx", judged))
    }
    widths = msgspec.structs.replace(intervals(), horizons=spec.horizons, half=(2.0,) * 2, exponents=((0.0,),) * 2)
    model, trial = (
        msgspec.structs.replace(own.graphs.station, file=name, features=names, intervals=widths, typical=b"")
        for name in files
    )
    lineage = msgspec.structs.replace(own.lineage, training_end=LEARNED, trial_end=LEARNED - timedelta(days=9))
    whole = msgspec.structs.replace(
        own,
        feed=FeedSnapshot.of(feed),
        window=spec,
        horizons=spec.horizons,
        graphs=Graphs(model, None, trial),
        lineage=lineage,
    )
    version = release.write(home, whole, files)
    release.promote(home, *KEY, version)
    return version


def evidence(con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed) -> Shadow:
    shadow = look(con, lake, home, feed, NOW, None)["temperature"].shadow
    assert shadow is not None
    return shadow


def test_worse_newest_fit_is_proven_on_rows_after_it(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    version = serve(home, feed, serving=2.0, judged=0.0)
    found = evidence(con, lake, home, feed)
    assert (found.target, found.champion, found.challenger) == ("temperature", version, version)
    assert found.as_judged
    assert found.gain > 0.3
    assert has_proof(Promotion(), found)
    grids = silver.grids(con, feed, lake.relation(con, "small/silver"))
    newest = sum(
        int((grid.time > np.datetime64(LEARNED.replace(tzinfo=None)) + 6 * np.timedelta64(3600, "s")).sum())
        for grid in grids.values()
    )
    assert 0.8 * 2 * newest < found.pairs <= 2 * newest, "two horizons, and no row that was learned"


def test_better_newest_fit_stays(con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed) -> None:
    serve(home, feed, serving=0.0, judged=2.0)
    found = evidence(con, lake, home, feed)
    assert found.gain < 0
    assert not has_proof(Promotion(), found)


def test_a_look_is_repeated_within_hours_for_the_same_release(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    version = serve(home, feed, serving=2.0, judged=0.0)
    known = Shadow("temperature", version, version, 77, 0.5, 0.04, as_judged=True)
    own = {"AAA": Adaptation(version, (1.5, 1.0), (0.0, 0.2), 77)}
    before = DriftState("small", NOW, datetime.now(UTC), shadows=(known,), adaptations={"temperature": own})
    again = look(con, lake, home, feed, NOW + timedelta(minutes=5), before)
    assert again == {"temperature": Look(known, own)}
    later = look(con, lake, home, feed, NOW + timedelta(seconds=EVERY), before)["temperature"]
    assert later.shadow is not None
    assert later.shadow.pairs > 77
    serve(home, feed, serving=0.0, judged=1.0, number=2)
    other = look(con, lake, home, feed, NOW, before)["temperature"]
    assert other.shadow is not None
    assert other.shadow.gain < 0


def test_intervals_adapt_by_station_and_horizon(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    version = serve(home, feed, serving=1.5, judged=0.0)
    adaptations = look(con, lake, home, feed, NOW, None)["temperature"].adaptations
    assert set(adaptations) == {"AAA", "BBB"}
    for own in adaptations.values():
        assert own.version == version
        assert own.outcomes > 600
        near, far = own.shift
        assert far < near < 0, "forecasts that lie too high, by 1.5 an hour"
        assert all(factor > 1 for factor in own.factor), "of half a degree they cover too little"


def test_release_as_judged_is_written_once_and_has_no_evidence(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    version = serve(home, feed, serving=2.0, judged=0.0)
    other = write_as_judged(home, *KEY, version, "run", "proven")
    assert write_as_judged(home, *KEY, version, "run", "proven") == other != version
    release.promote(home, *KEY, other)
    seen = look(con, lake, home, feed, NOW, None)["temperature"]
    assert seen.shadow is None
    assert set(seen.adaptations) == {"AAA", "BBB"}
    with pytest.raises(AeroCastError, match=f"release {other} of small/temperature serves what its trial judged"):
        write_as_judged(home, *KEY, other, "run", "again")


def test_nothing_new_says_nothing(con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed) -> None:
    assert look(con, lake, home, feed, NOW, None) == {}, "nothing serves"
    version = serve(home, feed, serving=2.0, judged=0.0)
    own = release.load(home, *KEY, version)
    late = msgspec.structs.replace(own.manifest.lineage, training_end=NOW, config_hash="d" * 64)
    release.promote(home, *KEY, release.write(home, msgspec.structs.replace(own.manifest, lineage=late), own.files))
    found = evidence(con, lake, home, feed)
    assert (found.pairs, found.p_value) == (0, None)
