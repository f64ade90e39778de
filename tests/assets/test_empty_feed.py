"""A feed that begins empty: what waits for enough rows, without failing, and is made once there are."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from aerocast_assets.assets import bronze, raw, silver, sliding, training_set, windows
from aerocast_assets.feeds import find_feed
from aerocast_assets.keys import ONCE, WHEN_ENOUGH, key, months
from aerocast_assets.resources import Platform
from tests.harness.graph import metadata
from tests.harness.weather_service import Reply, Service, collection, observation

pytestmark = pytest.mark.e2e  # whole runs of the asset graph

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_waiting_assets_are_retried_hourly_and_downstream_follows() -> None:
    enough = False

    @dg.asset
    def windows() -> None: ...

    @dg.asset(deps=[windows], automation_condition=WHEN_ENOUGH, output_required=False)
    def rows() -> Iterator[dg.MaterializeResult[None]]:
        if enough:
            yield dg.MaterializeResult()

    @dg.asset(deps=[rows], automation_condition=ONCE)
    def model() -> None: ...

    defs, asked = dg.Definitions([windows, rows, model]), list[tuple[int, list[str]]]()
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = None
        for minute in range(0, 200, 10):
            now = NOON + minute * MINUTE
            enough = minute > 130
            if minute % 30 == 10:  # a live run makes windows and tries the rows no more than this
                job.execute_in_process(instance=instance, asset_selection=[windows.key])
            found = dg.evaluate_automation_conditions(defs, instance, cursor=cursor, evaluation_time=now)
            cursor = found.cursor
            wanted = [name for name in ("rows", "model") if found.get_num_requested(dg.AssetKey(name))]
            if wanted:
                asked.append((minute, wanted))
                done = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey(name) for name in wanted])
                assert done.success, "too few rows are no failure"
    both = ["rows", "model"]  # one run: without rows the model is skipped
    assert asked[:4] == [(10, both), (50, both), (110, both), (170, both)], "when there are windows, and each hour"
    assert asked[4:] == [(190, ["rows"])], "from then on with each change, and the model not again"


def test_empty_live_feed_fills_without_failure(
    home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, service = find_feed("midwest"), Service()
    monkeypatch.setenv("AEROCAST_NWS_URL", service.url)
    layers = [raw.raw, bronze.bronze, sliding.sliding, silver.silver, windows.windows]
    assets = [*(make(feed) for make in layers), training_set.training_set(feed, "temperature")]
    job = dg.define_asset_job("tables", dg.AssetSelection.all())
    defs = dg.Definitions(assets, jobs=[job], resources={"platform": Platform(home=str(home))})
    newest, now = months(feed).get_partition_keys()[-2:], datetime.now(UTC)
    tags = {f"dagster/asset_partition_range_{end}": month for end, month in zip(("start", "end"), newest, strict=True)}

    def run() -> tuple[set[str], dg.ExecuteInProcessResult]:
        result = defs.resolve_job_def("tables").execute_in_process(instance=instance, tags=tags)
        return {event.asset_key.path[-1] for event in result.get_asset_materialization_events()}, result

    service.script = {f"/stations/{station}/observations": [Reply(collection())] for station in feed.station_ids}
    assert run()[0] == {"raw"}, "the service has nothing, and nothing below fails"
    for station in feed.station_ids:
        reports = [observation(now - n * 5 * MINUTE, station, temperature=10 + n / 10) for n in range(36)]
        service.script[f"/stations/{station}/observations"] = [Reply(collection(*reports))]
    service.script["/stations/KMKE/observations"] = [Reply(status=404)]
    made, result = run()
    assert made == {"raw", "bronze", "sliding", "silver", "windows"}, "and three hours are no training set"
    told = metadata(result, key(feed, "raw"))
    assert (told["rows_new"], told["notes"].split(":")[0]) == (36 * 4, "station KMKE failed")
    assert metadata(result, key(feed, "sliding"))["rows"] > 30 * 4
    assert metadata(run()[1], key(feed, "raw"))["rows_new"] == 0, "the same answers are no news"
    service.server.shutdown()
