"""Fresh processes: what they print, how long they take, and how much memory they ever held."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "GX_ANALYTICS_ENABLED": "false", "PYTHONPATH": ""}


def environment(home: Path | None = None, **more: str) -> dict[str, str]:
    """This process's environment with a home of the benchmark's own, so that nobody's tables are touched."""
    own = {} if home is None else {"AEROCAST_HOME": str(home), "DAGSTER_HOME": str(PROJECT)}
    return {**os.environ, **_QUIET, **own, **more}


def run(arguments: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path = PROJECT) -> str:
    """What `python <arguments>` prints.

    Raises:
        SystemExit: it failed; its last words are the message.
    """
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=dict(env or environment()), cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-25:]
        raise SystemExit(f"{' '.join(command)} ended with status {done.returncode}:\n" + "\n".join(said))
    return done.stdout


def answer(arguments: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path = PROJECT) -> Any:
    """The JSON in the last line that `python <arguments>` prints. Raises SystemExit as `run` does."""
    return json.loads(run(arguments, env, cwd).strip().splitlines()[-1])


def reset_peak() -> None:
    """Begins `peak_mib` again, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """The most memory that this process held (RSS) since it began, or since `reset_peak`, in MiB."""
    try:
        # Linux's rusage would count the parent's memory before exec too; this figure does not.
        status = Path("/proc/self/status").read_text()
        return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
