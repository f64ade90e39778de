"""What the UI says of definitions: nothing is without a description, an owner or a place; what is declared is shown."""

from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster.components.component_scaffolding import scaffold_object
from dagster_shared.yaml_utils.sample_yaml import generate_sample_yaml

from aerocast.common.errors import AeroCastError
from aerocast.feed.model import Feed
from aerocast_assets.definitions import defs
from aerocast_assets.liveness import COMMAND_TAG
from tests.factories.feeds import small_feed
from tests.harness.graph import definitions

COMPONENT = "aerocast_assets.component.FeedComponent"


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return defs().get_repository_def()


def test_definitions_have_descriptions(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    shown = {f"asset {each.key.to_user_string()}": each.description for each in graph.asset_nodes}
    shown |= {f"check {key.to_user_string()}": graph.get(key).description for key in graph.asset_check_keys}
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    instigators = [*repository.sensor_defs, *repository.schedule_defs]
    shown |= {each.name: each.description for each in (*jobs, *instigators)}
    assert len(shown) > 100
    assert [name for name, text in shown.items() if not text] == []


def test_assets_have_owner_tags_and_code_reference(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    assets = [each for each in graph.asset_nodes if each.key.path[0] in ("noaa", "midwest", "heatwave")]
    for each in assets:
        assert each.tags["aerocast/feed"] == each.key.path[0]
        assert each.tags["aerocast/layer"] == each.key.path[-1]
        assert each.kinds, each.key
        if each.is_materializable:
            assert each.owners == ["team:aerocast"]
            links = each.metadata["dagster/code_references"].code_references  # type: ignore[attr-defined]  # any value's
            assert [Path(link.file_path).suffix for link in links] == [".py", ".yaml"], each.key
    with_pools = {each.key.path[-1] for each in assets if each.is_materializable and each.pools}
    assert with_pools == {
        *("raw", "bronze", "silver", "sliding", "windows"),
        *("gru", "xgboost", "linear", "persistence", "seasonal_naive", "sequence"),
    }


def test_columns_and_freshness_follow_declaration() -> None:
    column = {"name": "wet", "field": "h", "source_unit": "percent", "unit": "percent", "range": [0, 100]}
    base = small_feed(Path("nowhere")).model_dump(mode="json")
    live = Feed.parse(base | {"columns": [*base["columns"], column], "end": None, "owners": ["me@site.example"]})
    graph = definitions(Path(), live).resolve_asset_graph()
    bronze, silver = (graph.get(dg.AssetKey(["small", layer])) for layer in ("bronze", "silver"))
    schemas = [each.metadata["dagster/column_schema"] for each in (bronze, silver)]
    wet = [next(each for each in schema.columns if each.name == "wet") for schema in schemas]
    assert [each.constraints.other for each in wet] == [["0 to 100 percent"]] * 2
    assert {"wet_age", "wet_mean", "wet_count"} <= {each.name for each in schemas[1].columns}
    assert bronze.owners == ["me@site.example"]
    policy = silver.freshness_policy
    assert isinstance(policy, dg.FreshnessPolicy)
    assert policy.fail_window.to_timedelta() == live.freshness + live.readings_wait  # type: ignore[attr-defined]
    recorded = definitions(Path(), small_feed(Path("nowhere"))).resolve_asset_graph()
    assert recorded.get(silver.key).freshness_policy is None, "nothing of it will ever be newer"


def test_routine_schedule_follows_declaration() -> None:
    feed = small_feed(Path("nowhere"), retraining={"schedule": "0 3 * * 1-5"})
    schedule = definitions(Path(), feed).resolve_schedule_def("small_temperature_routine")
    assert schedule.cron_schedule == "0 3 * * 1-5"
    for wrong in ("0 3 * *", "60 * * * *", "* * 0 * *", "* * * 5-3 *", "hourly", "* * * * 1,"):
        with pytest.raises(AeroCastError, match="is not a schedule"):
            small_feed(Path("nowhere"), retraining={"schedule": wrong})


def test_scaffolded_feed_is_valid(tmp_path: Path) -> None:
    scaffold_object(tmp_path / "garden", COMPONENT, None, "yaml", None)
    text = (tmp_path / "garden" / "defs.yaml").read_text()
    written = yaml.safe_load(text)
    assert written["type"] == COMPONENT
    assert (
        definitions(Path(), Feed.parse(written["attributes"])).resolve_asset_graph().has(dg.AssetKey(["garden", "raw"]))
    )
    assert text.count("#") > 20, "it explains itself"
    assert "range:" in generate_sample_yaml(COMPONENT, Feed.model_json_schema()), "as the page of components asks for"


def test_home_is_shown_as_its_variable(repository: dg.RepositoryDefinition) -> None:
    assert repository.get_env_vars_by_top_level_resource()["AEROCAST_HOME"] == {"platform"}


def test_run_of_command_belongs_to_its_job_and_is_not_retried(instance: dg.DagsterInstance) -> None:
    @dg.job
    def noaa_refresh() -> None: ...

    own = instance.create_run_for_job(noaa_refresh, tags={COMMAND_TAG: "aerocast"})
    other = instance.create_run_for_job(noaa_refresh)
    # What the page of the job asks for.
    filters = dg.RunsFilter(job_name="noaa_refresh", tags={".dagster/repository": "__repository__@aerocast"})
    assert [run.run_id for run in instance.get_runs(filters)] == [own.run_id]
    assert own.tags["dagster/max_retries"] == "0"
    assert other.remote_job_origin is None


def test_range_run_has_one_result_per_check(instance: dg.DagsterInstance) -> None:
    months = dg.MonthlyPartitionsDefinition("2024-01", end_date="2024-07", fmt="%Y-%m")

    @dg.asset(partitions_def=months, backfill_policy=dg.BackfillPolicy.single_run())
    def zeta() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult()

    @dg.asset_check(asset=zeta)
    def good() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    job = dg.Definitions(
        assets=[zeta], asset_checks=[good], jobs=[dg.define_asset_job("all_of_it")], executor=dg.in_process_executor
    ).resolve_job_def("all_of_it")
    span = {f"dagster/asset_partition_range_{end}": month for end, month in (("start", "2024-01"), ("end", "2024-06"))}
    assert job.execute_in_process(instance=instance, tags=span).success
    assert len(instance.get_materialized_partitions(zeta.key)) == 6
    (execution,) = instance.event_log_storage.get_asset_check_execution_history(good.check_key, limit=20)
    assert execution.status.value == "SUCCEEDED"
