"""What the UI says of definitions: nothing is without a description, an owner or a place; what is declared is shown."""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Literal

import dagster as dg
import pytest
import yaml
from dagster.components.component_scaffolding import scaffold_object

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest, SourceKind
from aerocast.lake import Lake
from aerocast.tables.raw import Delivery
from aerocast_assets.definitions import defs
from aerocast_assets.liveness import COMMAND_TAG
from aerocast_assets.resources import Platform
from tests.conftest import PROJECT
from tests.factories.feeds import declaration, small_feed
from tests.harness.columns import shown_columns, stored_columns
from tests.harness.graph import definitions, metadata, refresh

TABLES = ("raw", "bronze", "silver", "sliding", "windows")
COMPONENT = "aerocast_assets.component.FeedComponent"


class Tide(SourceKind):
    """A source kind of a test's own, which nobody else knows."""

    kind: Literal["tide"] = "tide"
    watch = "whole"

    def read(self, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
        return iter(())


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return defs().get_repository_def()


@pytest.fixture(scope="module")
def own(repository: dg.RepositoryDefinition) -> dg.RepositoryDefinition:
    """A feed of a test's own kind, with everything that a declaration can ask for."""
    columns = declaration(Path("nowhere"))["columns"]
    angle = {"name": "direction", "field": "d", "source_unit": "degree", "unit": "degree", "range": [0, 360]}
    feed = small_feed(
        Path("nowhere"),
        source=Tide(),
        columns=[*columns, {**angle, "circular": True}],
        vectors=[{"name": "wind", "speed": "windspeed", "direction": "direction"}],
        targets=["temperature", "windspeed"],
        sliding={},
        end=None,
        owners=["me@site.example", "team:tides"],
        tags={"domain": "weather", "example.org/tier": "1"},
    )
    return definitions(Path("nowhere"), feed).get_repository_def()


@pytest.fixture(params=["repository", "own"])
def shown(request: pytest.FixtureRequest) -> dg.RepositoryDefinition:
    """The declared feeds with what they share, and the feed of a kind of its own."""
    found: dg.RepositoryDefinition = request.getfixturevalue(request.param)
    return found


def test_definitions_have_descriptions(shown: dg.RepositoryDefinition) -> None:
    graph = shown.asset_graph
    texts = {f"asset {each.key.to_user_string()}": each.description for each in graph.asset_nodes}
    texts |= {f"check {key.to_user_string()}": graph.get(key).description for key in graph.asset_check_keys}
    jobs = [job for job in shown.get_all_jobs() if not job.name.startswith("__")]
    texts |= {each.name: each.description for each in (*jobs, *shown.sensor_defs, *shown.schedule_defs)}
    texts.pop("default_automation_condition_sensor", None)  # Dagster's own, where nobody declares one
    texts |= {name: each.description for name, each in shown.get_top_level_resources().items()}
    assert len(texts) > 40
    assert [name for name, text in texts.items() if not text] == []


def test_config_fields_have_descriptions(shown: dg.RepositoryDefinition) -> None:
    fields = {f"platform.{name}": each for name, each in Platform.model_fields.items()}
    for node in shown.asset_graph.asset_nodes:
        schema = node.assets_def.node_def.config_schema if node.is_executable else None
        inner = getattr(schema.config_type if schema else None, "fields", {})
        fields |= {f"{node.key.to_user_string()}.{name}": each for name, each in inner.items()}
    assert len(fields) > 5
    assert [name for name, each in fields.items() if not each.description] == []


def test_assets_have_owners_tags_kind_group_and_code_references(shown: dg.RepositoryDefinition) -> None:
    for each in shown.asset_graph.asset_nodes:
        feed = each.key.path[0]
        own = {"domain": "weather", "example.org/tier": "1"} if feed == "small" else {}
        own |= {"aerocast/feed": feed} if feed != "platform" else {}
        assert {**each.tags, **own, "aerocast/layer": each.key.path[-1]} == each.tags
        assert each.tags.get("aerocast/target", "") == (each.key.path[1] if len(each.key.path) == 3 else "")
        assert each.owners == (["me@site.example", "team:tides"] if feed == "small" else ["team:aerocast"])
        assert each.kinds, each.key
        assert each.group_name == feed
        links = each.metadata["dagster/code_references"].code_references  # type: ignore[attr-defined]  # any value's
        *python, last = [Path(link.file_path) for link in links]
        assert all(path.is_file() for path in (*python, last))
        if feed not in ("small", "platform"):
            assert last == PROJECT / f"aerocast_assets/defs/{feed}/defs.yaml"
            assert python
        assert {path.suffix for path in python} <= {".py"}
        if (layer := each.key.path[-1]) not in ("source", "claims", "maintenance"):
            assert (python or [last])[0].stem.strip("_") == layer


def test_jobs_sensors_and_schedules_have_owners(shown: dg.RepositoryDefinition) -> None:
    own = [job for job in shown.get_all_jobs() if not job.name.startswith("__")]
    # A sensor of automation conditions takes none.
    own += [each for each in shown.sensor_defs if not isinstance(each, dg.AutomationConditionSensorDefinition)]
    for each in (*own, *shown.schedule_defs):
        expected = ["me@site.example", "team:tides"] if each.name.startswith("small_") else ["team:aerocast"]
        assert list(each.owners or ()) == expected, each.name


def test_assets_that_write_tables_or_train_have_a_pool(repository: dg.RepositoryDefinition) -> None:
    nodes = [each for each in repository.asset_graph.asset_nodes if each.is_materializable and each.pools]
    assert {each.key.path[-1] for each in nodes} == {
        *("raw", "bronze", "silver", "sliding", "windows"),
        *("xgboost", "linear", "persistence", "seasonal_naive", "sequence", "backtest", "tuning"),
    }


def test_tables_have_column_schema_and_lineage_of_columns_above(shown: dg.RepositoryDefinition) -> None:
    nodes = {each.key: each for each in shown.asset_graph.asset_nodes}
    schemas = {key: each.metadata.get("dagster/column_schema") for key, each in nodes.items()}
    names = {key: {each.name for each in value.columns} for key, value in schemas.items() if value}  # type: ignore[attr-defined]
    assert {key.path[-1] for key in names} == {*TABLES, "forecasts", "evaluation", "anomalies"}
    for key, own in names.items():
        assert all(column.description for column in schemas[key].columns)  # type: ignore[union-attr]
        if key.path[-1] == "raw":
            continue
        lineage = nodes[key].metadata["dagster/column_lineage"].deps_by_column  # type: ignore[attr-defined]
        assert lineage, key
        assert lineage.keys() <= own
        for dependency in [each for several in lineage.values() for each in several]:
            assert dependency.asset_key in nodes[key].parent_keys
            assert dependency.column_name in names[dependency.asset_key]


def test_column_schema_and_row_count_equal_those_of_the_tables(
    readings: Path, home: Path, instance: dg.DagsterInstance
) -> None:
    temperature, windspeed, _ = (dict(each) for each in declaration(readings)["columns"])
    angle = {"name": "direction", "field": "p", "source_unit": "degree", "unit": "degree", "range": [0, 360]}
    feed = small_feed(
        readings,
        # An alias has the name of one of raw's own columns.
        columns=[temperature | {"aliases": ["source"]}, windspeed, angle | {"circular": True}],
        vectors=[{"name": "wind", "speed": "windspeed", "direction": "direction"}],
        window={"steps": 5, "columns": ["temperature", "windspeed"], "look_back": 24},
        sliding={"size": "PT2H", "every": "PT1H"},
        end="2024-03-01T00:00:00Z",
    )
    wanted = [dg.AssetKey(["small", layer]) for layer in TABLES]
    result = refresh(feed, home, instance, selection=wanted)
    assert result.success
    for key in wanted:
        columns, name = shown_columns(feed, home, key), key.to_user_string()
        if key.path[-1] == "windows":
            name, csv = "small/temperature/windows", home / "exports/small/temperature/windows.csv"
            assert ",".join(columns) == csv.read_text().splitlines()[0]
        else:
            assert columns == stored_columns(home, name)
        assert metadata(result, key)["dagster/row_count"] == sum(Lake(home).rows(name).values()) > 0


@pytest.mark.parametrize(
    ("owner", "allowed"),
    [
        *(("me@site.example", True), ("first.last+tag@sub.site.co.uk", True), ("team:forecasting", True)),
        *(("team:", False), ("me", False), ("me@site", False), ("me@site.technologies", False), (" me@a.org", False)),
    ],
)
def test_owner_follows_the_rule_of_dagster(owner: str, allowed: bool) -> None:
    with nullcontext() if allowed else pytest.raises(dg.DagsterInvalidDefinitionError):
        dg.AssetSpec("any", owners=[owner])
    with (
        nullcontext()
        if allowed
        else pytest.raises(AeroCastError, match=rf"owners\[0\]: '{owner}' is not allowed: an owner")
    ):
        small_feed(Path("nowhere"), owners=[owner])


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        *(("tier", "gold", ""), ("example.org/tier", "", ""), ("a-b_c.d", "1.0", ""), ("k" * 63, "v" * 63, "")),
        *(("a b", "x", "a key is"), ("k" * 64, "x", "a key is"), ("a/b/c", "x", "a key is"), ("", "x", "a key is")),
        *(("tier", "a b", "a value is"), ("tier", "v" * 64, "a value is"), ("tier", "a/b", "a value is")),
    ],
)
def test_tag_follows_the_rule_of_dagster(key: str, value: str, rule: str) -> None:
    with pytest.raises(dg.DagsterInvalidDefinitionError) if rule else nullcontext():
        dg.AssetSpec("any", tags={key: value})
    with pytest.raises(AeroCastError, match=f"tags.*is not allowed: {rule}") if rule else nullcontext():
        small_feed(Path("nowhere"), tags={key: value})


def test_reserved_tags_are_refused_each_by_its_name() -> None:
    with pytest.raises(AeroCastError) as refused:
        small_feed(Path("nowhere"), tags={"dagster/kind/x": "", "aerocast/feed": "mine", "tier": "a b"})
    assert [line.split(":")[0] for line in str(refused.value).splitlines()[1:]] == [
        "  tags.dagster/kind/x",
        "  tags.aerocast/feed",
        "  tags.tier",
    ]
    with pytest.raises(AeroCastError, match=r"tags\.tier: 1 is not allowed: must be text"):
        small_feed(Path("nowhere"), tags={"tier": 1})


def test_columns_with_units_and_ranges_and_freshness_are_as_declared() -> None:
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


def test_champion_of_open_feed_has_freshness_policy_and_the_daemon_judges_it(
    own: dg.RepositoryDefinition, instance: dg.DagsterInstance
) -> None:
    policy = own.asset_graph.get(dg.AssetKey(["small", "temperature", "champion"])).freshness_policy
    assert isinstance(policy, dg.FreshnessPolicy)
    assert policy.fail_window.to_timedelta() == timedelta(days=31)  # type: ignore[attr-defined]
    assert "FRESHNESS_DAEMON" in instance.get_required_daemon_types()


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
