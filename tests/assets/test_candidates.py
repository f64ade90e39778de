"""One step trains the candidates of a target; each is an asset of its own all the same."""

from pathlib import Path

import dagster as dg
import pytest

from aerocast.feed.declaration import Feed
from aerocast.models.candidates import candidate_path
from aerocast_assets.keys import key
from tests.harness.graph import metadata, refresh

pytestmark = pytest.mark.e2e  # trains models

STEP = "small__temperature__candidates"
TABLES = ("raw", "bronze", "silver", "windows")


@pytest.fixture
def learnable(feed: Feed, home: Path, instance: dg.DagsterInstance) -> Path:
    """A home with the training set of the feed, and no model."""
    layers = [key(feed, layer) for layer in TABLES] + [key(feed, "temperature", "training_set")]
    assert refresh(feed, home, instance, selection=layers).success
    return home


def train(feed: Feed, home: Path, instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
    return refresh(feed, home, instance, selection=[key(feed, "temperature", name) for name in names])


def made(result: dg.ExecuteInProcessResult) -> set[str]:
    """The last parts of the assets that were materialised."""
    return {event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key}


def test_kind_that_fails_loses_no_other(feed: Feed, learnable: Path, instance: dg.DagsterInstance) -> None:
    damaged = [candidate_path(learnable, "small", "temperature", kind) for kind in ("linear", "persistence")]
    for path in damaged:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no candidate")
    result = train(feed, learnable, instance, "linear", "persistence", "seasonal_naive", "sequence", "champion")
    assert not result.success
    assert made(result) == {"seasonal_naive", "sequence"}, "and no champion, which needs all of them"
    (failure,) = result.get_step_failure_events()
    assert failure.step_key == STEP
    error = failure.step_failure_data.error
    assert error is not None
    told = str(error.cause.message if error.cause else error.message)
    assert "linear: " in told
    assert "; persistence: " in told
    for path in damaged:
        path.unlink()
    again = train(feed, learnable, instance, "linear", "persistence", "seasonal_naive", "sequence")
    assert again.success
    statuses = {name: metadata(again, key(feed, "temperature", name))["status"] for name in made(again)}
    assert statuses == dict.fromkeys(("linear", "persistence"), "computed") | dict.fromkeys(
        ("seasonal_naive", "sequence"), "unchanged"
    )


def test_one_kind_is_trained_alone(feed: Feed, learnable: Path, instance: dg.DagsterInstance) -> None:
    assert made(train(feed, learnable, instance, "linear")) == {"linear"}
    assert not candidate_path(learnable, "small", "temperature", "sequence").exists()
