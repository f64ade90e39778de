"""Loading the code location costs little more than `import dagster`."""

import subprocess
import sys

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
