"""An environment for the peers that need other versions than the project: made once in a cache folder, or why not."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = (
    *("lightgbm==4.7.0", "mlforecast==1.1.0", "statsforecast==2.1.1", "prophet==1.5.0"),
    *("pandas==2.3.3", "numpy==2.4.6", "pyarrow==26.0.1"),
)
FOLDER = Path(tempfile.gettempdir()) / "aerocast-bench-peers"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NIXTLA_NUM_THREADS")


class Missing(Exception):
    """A peer cannot be had here; the message says why."""


def interpreter(folder: Path, packages: Sequence[str] = PACKAGES) -> Path:
    """The Python of an environment in `folder`, which is made if it is not there yet.

    All packages are installed at once; where that fails, one after the other, so that one does not take the others with
    it. What still fails is printed with its reason.

    Raises:
        Missing: there is no environment, or nothing could be installed.
    """
    python, stamp = folder / "bin" / "python", folder / "installed"
    if stamp.exists():
        return python
    print(f"Installing {', '.join(packages)} in {folder} (once) ...", flush=True)
    if error := _run([sys.executable, "-m", "venv", folder]):
        raise Missing(error)
    errors = {"all": _pip(python, packages)}
    if errors["all"]:
        errors = {package: _pip(python, [package]) for package in packages}
    for package, error in errors.items():
        print(f"  {package} cannot be installed: {error}\n" if error else "", end="", flush=True)
    if all(errors.values()):
        raise Missing(next(iter(errors.values())))
    stamp.touch()
    return python


def run(python: Path, script: str, job: Path, out: Path, limit: float) -> str:
    """What a script of this folder printed; it writes its answers in `out`.

    Raises:
        Missing: it failed, or took longer than `limit` seconds.
    """
    env = {**os.environ, "PYTHONPATH": "", **dict.fromkeys(THREADS, "1")}
    command = [str(python), "-W", "ignore", str(HERE / script), str(job), str(out)]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise Missing(f"stopped after {limit:.0f} s") from None
    if done.returncode:
        raise Missing((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    return done.stdout


def _pip(python: Path, packages: Sequence[str]) -> str:
    return _run([python, "-m", "pip", "install", "--quiet", *packages])


def _run(command: Sequence[str | Path]) -> str:
    """The last line of what went wrong; empty if nothing did."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return (done.stderr.strip().splitlines() or ["failed"])[-1] if done.returncode else ""
