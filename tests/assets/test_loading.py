"""Loading the code location costs little more than `import dagster`, and shows all that Dagster's own loader shows."""

import subprocess
import sys

import dagster as dg

from aerocast_assets.definitions import defs
from aerocast_assets.tree import WholeTree
from tests import PROJECT

HEAVY = (
    "numpy pandas pyarrow duckdb deltalake scipy torch xgboost onnx mlflow great_expectations matplotlib pint tenacity "
    "pydantic_settings"
)


def test_loading_imports_no_heavy_library() -> None:
    code = (
        "import sys; from aerocast_assets.definitions import defs; defs().get_repository_def();"
        f"print(*sorted(set({HEAVY.split()}) & sys.modules.keys()))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""


def test_components_are_those_of_dagster_loader() -> None:
    tree = defs().component_tree
    assert isinstance(tree, WholeTree)
    assert tree.has_built_all_defs(), "nothing was left to the slow way, part by part"
    other = dg.ComponentTree.for_project(PROJECT)
    assert tree.to_string_representation() == other.to_string_representation()
    expected = {spec.key: spec for spec in other.build_defs(other.defs_module_path).resolve_all_asset_specs()}
    specs = {spec.key: spec for spec in defs().resolve_all_asset_specs()}
    assert specs.keys() == expected.keys()
    for key, spec in specs.items():
        for name in ("dagster/code_references", "dagster/column_schema"):
            assert spec.metadata.get(name) == expected[key].metadata.get(name), key
        feed, other_feed = (each.metadata.get("dagster/component_origin") for each in (spec, expected[key]))
        assert type(feed) is type(other_feed), key
    graph, other_graph = defs().resolve_asset_graph(), other.build_defs(other.defs_module_path).resolve_asset_graph()
    assert graph.asset_check_keys == other_graph.asset_check_keys
    for check in graph.asset_check_keys:
        own, expected_own = (each.get_check_spec(check).metadata for each in (graph, other_graph))
        assert own.keys() == expected_own.keys(), check
        assert own.get("dagster/code_references") == expected_own.get("dagster/code_references"), check
