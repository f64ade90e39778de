"""Bytes of what a home holds, by what it is for."""

import os
from contextlib import suppress
from pathlib import Path

LOGS = "_delta_log"
# Path of a home -> what it is; the first that fits.
KINDS = {
    "log/": "prediction log, waiting",
    "exports/": "history export",
    "dagster/history/": "Dagster runs and events",
    "dagster/schedules/": "Dagster ticks and evaluations",
    "dagster/": "Dagster's run folders and logs",
    "mlflow": "MLflow",
    "releases/": "releases",
    "candidates/": "candidates",
    "reports/": "reports",
}


def size_of(folder: Path) -> int:
    """Bytes of all files under a folder."""
    return sum(sizes(folder).values())


def sizes(home: Path) -> dict[str, int]:
    """Bytes of a home by kind; of tables raw's log, the logs of the others, and the rows of each layer."""
    found: dict[str, int] = {}
    for folder, _, names in os.walk(home):
        for name in names:
            path = Path(folder, name)
            with suppress(FileNotFoundError):
                kind = _kind(path.relative_to(home).as_posix())
                found[kind] = found.get(kind, 0) + path.stat().st_size
    return found


def _kind(path: str) -> str:
    if path.startswith("lake/"):
        layer = path.split("/_delta_log")[0].split("/month=")[0].split("/")[-1]
        if LOGS in path:
            return "raw's log" if layer == "raw" else "other tables' logs"
        return f"table {layer}" if layer in ("raw", "answers", "predictions", "outcomes") else "other tables"
    return next((kind for start, kind in KINDS.items() if path.startswith(start)), "other")
