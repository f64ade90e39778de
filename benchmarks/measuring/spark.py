"""An environment with PySpark beside the project's own: made once in a cache folder, or why there is none."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("by_spark.py")
PACKAGE = "pyspark>=4.0"


class Missing(Exception):
    """PySpark cannot be had here; the message says why."""


def interpreter(folder: Path) -> Path:
    """The Python of an environment in `folder` that has PySpark; installed if it is not there yet.

    Raises:
        Missing: no Java, or pip could not install it.
    """
    if not shutil.which("java"):
        raise Missing("no java on the path")
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        print(f"Installing PySpark in {folder} (once) ...", flush=True)
        for command in ([sys.executable, "-m", "venv", folder], [python, "-m", "pip", "install", "-q", PACKAGE]):
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
            if done.returncode:
                raise Missing((done.stderr.strip().splitlines() or ["pip failed"])[-1])
        (folder / "installed").touch()
    return python


def run(python: Path, job: Path, out: Path, limit: float) -> dict[str, Any]:
    """What `by_spark.py` measured.

    Raises:
        Missing: it failed, or took longer than `limit` seconds.
    """
    env = {**os.environ, "PYSPARK_PYTHON": str(python), "PYTHONPATH": "", "SPARK_LOCAL_IP": "127.0.0.1"}
    try:
        done = subprocess.run(
            [str(python), str(SCRIPT), str(job), str(out)], env=env, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"stopped after {limit:.0f} s") from None
    if done.returncode:
        raise Missing(next((line for line in done.stderr.splitlines() if "Error" in line or "Exception" in line), "?"))
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
