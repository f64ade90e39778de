"""MLflow's database survives a kill while it is made, and many who open it at once."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from aerocast.tracking import Tracker

OPEN = "import sys; from pathlib import Path; from aerocast.tracking import Tracker; Tracker(Path(sys.argv[1])).client"


def experiment(home: Path) -> str:
    return Tracker(home).experiment("small")


def test_a_database_whose_making_was_killed_is_made_again(tmp_path: Path) -> None:
    maker = subprocess.Popen([sys.executable, "-c", OPEN, str(tmp_path)])
    beside = tmp_path / "mlflow-new.db"
    deadline = time.monotonic() + 60
    while not (beside.exists() and beside.stat().st_size > 0) and time.monotonic() < deadline:
        time.sleep(0.001)
    maker.send_signal(signal.SIGKILL)
    maker.wait()
    assert beside.exists()
    assert not (tmp_path / "mlflow.db").exists()
    assert experiment(tmp_path)
    assert not list(tmp_path.glob("mlflow-new.db*"))


def test_two_processes_may_make_it_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for client in [pool.submit(_open, tmp_path) for _ in range(2)]:
            assert client.result(120) == 1


def _open(home: Path) -> int:
    return len(Tracker(home).client.search_experiments())
