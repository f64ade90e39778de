"""A disk that is full, or becomes full in the middle: one clear sentence, a non-zero exit, and nothing lost."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from aerocast.lake import Lake
from tests import PROJECT
from tests.harness.disks import fill_disk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "140m") as disk:
        yield disk


def start(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "run", "--verbose"],
        cwd=PROJECT,
        env={**os.environ, "AEROCAST_HOME": str(home), "DAGSTER_HOME": str(PROJECT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_full_disk_is_reported_before_any_step(disk: Path) -> None:
    fill_disk(disk)
    process = start(disk / "home")
    _, said = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "error: AEROCAST_HOME" in said
    assert "full" in said or "No space left" in said
    assert len(said.strip().splitlines()) == 1


def test_disk_filled_during_run_loses_nothing(disk: Path) -> None:
    process = start(disk / "home")
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "noaa/silver ...":
            break
    fill_disk(disk)
    out, said = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "Traceback" not in out + said
    assert any(
        text in out + said for text in ("the disk is full", "cannot be used: ", "No space left", "disk I/O error")
    )
    (disk / "filler").unlink()
    time.sleep(0.1)
    with duckdb.connect() as con:
        for name, rows in {"noaa/raw": 26_115, "noaa/bronze": 26_115}.items():
            assert Lake(disk / "home").relation(con, name).count("*").fetchall()[0][0] == rows
