"""MLflow's database survives a kill while it is made, and many who open it at once."""

import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from aerocast.tracking import Tracker

OPEN = "import sys; from pathlib import Path; from aerocast.tracking import Tracker; Tracker(Path(sys.argv[1])).client"


def experiment(home: Path) -> str:
    return Tracker(home).experiment("small")


def test_a_database_whose_making_was_killed_is_made_again(tmp_path: Path) -> None:
    home = next(home for home in (tmp_path / str(number) for number in count()) if killed_while_making(home))
    assert experiment(home)
    assert not list(home.glob("mlflow-new.db*"))


def killed_while_making(home: Path) -> bool:
    """Kills a process that makes the database; whether it came in time."""
    home.mkdir()
    maker, beside = subprocess.Popen([sys.executable, "-c", OPEN, str(home)]), home / "mlflow-new.db"
    while maker.poll() is None and not (beside.exists() and beside.stat().st_size > 0):
        time.sleep(0.001)
    maker.kill()
    maker.wait()
    return beside.exists() and not (home / "mlflow.db").exists()


def test_two_processes_may_make_it_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for client in [pool.submit(_open, tmp_path) for _ in range(2)]:
            assert client.result(120) == 1


def _open(home: Path) -> int:
    return len(Tracker(home).client.search_experiments())
