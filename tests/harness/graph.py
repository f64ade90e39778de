"""The graph of a feed on a Dagster instance: its definitions, a run of its job, and the results of the run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from aerocast.feed.declaration import Feed
from aerocast.releases import release
from aerocast.storage.home import Home
from aerocast_assets.graph import feed_definitions
from aerocast_assets.keys import job_name, months
from aerocast_assets.resources import Platform
from tests import PROJECT


@contextmanager
def dagster_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of the project's dagster.yaml, stored under `home`, which the environment names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEROCAST_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(PROJECT))
        with dg.DagsterInstance.get() as instance:
            yield instance


def definitions(home: Home, *feeds: Feed) -> dg.Definitions:
    """The definitions of feeds with the resources of one home."""
    shared = dg.Definitions(resources={"platform": Platform(home=str(home))}, executor=dg.in_process_executor)
    return dg.Definitions.merge(*map(feed_definitions, feeds), shared)


def refresh(
    feed: Feed,
    home: Home,
    instance: dg.DagsterInstance,
    partitions: Sequence[str] = (),
    selection: Sequence[dg.AssetKey] | None = None,
    config: dict[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run the job of the feed as `make run` does, over the partitions from the first to the last of `partitions`."""
    span = list(partitions) or months(feed).get_partition_keys()
    job = definitions(home, feed).resolve_job_def(job_name(feed))
    return job.execute_in_process(
        instance=instance,
        asset_selection=list(selection) if selection else None,
        run_config=config or {},
        raise_on_error=False,
        tags={"dagster/asset_partition_range_start": span[0], "dagster/asset_partition_range_end": span[-1]},
    )


def first_run(home: Path, feed: Feed, partitions: Sequence[str] = ()) -> dg.ExecuteInProcessResult:
    """Run the whole graph of the feed in a new home; it must succeed."""
    home.mkdir(exist_ok=True)
    with dagster_instance(home) as instance:
        result = refresh(feed, home, instance, partitions)
    assert result.success
    return result


def metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, Any]:
    """The metadata of the newest materialisation of `key` in this run."""
    events = [e for e in result.get_asset_materialization_events() if e.asset_key == key]
    found = events[-1].materialization.metadata
    return {name: value.value for name, value in found.items()}


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    """The evaluation of the check `name` in this run."""
    return next(e for e in result.get_asset_check_evaluations() if e.check_name == name)


def champion_version(home: Home, feed: str = "small", target: str = "temperature") -> str:
    """The version of the serving release."""
    pointer = release.current(home, feed, target)
    assert pointer is not None
    return pointer.version
