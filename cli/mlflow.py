"""`aerocast mlflow`: MLflow's own pages over the home's trainings."""

from __future__ import annotations

import argparse
import sys
import time

from cli.command import Commands, add_command


def add(commands: Commands) -> None:
    parser = add_command(commands, "mlflow", _run, "MLflow's pages: every training, its curves and scores")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)


def _run(options: argparse.Namespace) -> int:
    """Until a person stops it.

    Raises:
        AeroCastError: the home has no usable database, or the pages ended by themselves.
    """
    from pathlib import Path

    from aerocast.common.errors import AeroCastError
    from aerocast.models import tracking_database as database
    from aerocast.storage.settings import Settings
    from cli import processes
    from cli.up import check_port

    folder = Path(options.home)
    check_port("--port", options.host, options.port)
    for note in database.prepare(folder):
        print(note, file=sys.stderr)
    address = f"http://{options.host}:{options.port}"
    is_linked = address == Settings().mlflow_url
    hint = "" if is_linked else f"  (set AEROCAST_MLFLOW_URL={address}, and Dagster's pages link there)"
    print(f"MLflow  {address}{hint}", flush=True)
    place = ("--backend-store-uri", database.uri(folder), "--default-artifact-root", str(folder / database.ARTIFACTS))
    with processes.stoppable() as stopped:
        pages = processes.start("mlflow", "ui", *place, "--host", options.host, "--port", str(options.port))
        try:
            while not stopped:
                if pages.poll() is not None:
                    raise AeroCastError(f"MLflow's pages ended unexpectedly with status {pages.returncode}")
                time.sleep(0.3)
        finally:
            processes.stop([pages])
    raise KeyboardInterrupt
