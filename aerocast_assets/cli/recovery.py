"""Runs that died with the process that ran them (kill -9, power cut): nobody else would ever end them."""

import json
import os
import socket

import dagster as dg
import psutil
from dagster._core.storage.tags import GRPC_INFO_TAG

OPEN = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
# Says which process runs a run of `make run`, so that a later one can tell a killed run from a living one.
PROCESS_TAG = "aerocast/process"


def process() -> str:
    """This process as `pid-starttime`: a pid alone may belong to somebody else after a reboot."""
    return f"{os.getpid()}-{psutil.Process().create_time():.0f}"


def recover(instance: dg.DagsterInstance) -> list[str]:
    """Fails the open runs whose process or code server is gone, so that they hold no slot and no asset; their ids.

    A living code server looks after its runs itself.
    """
    lost = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=OPEN)):
        own, server = run.tags.get(PROCESS_TAG), run.tags.get(GRPC_INFO_TAG)
        if (own and not _alive(own)) or (server and not own and not _answers(json.loads(server))):
            instance.report_run_failed(run, "What ran this run was killed, and the run with it.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            lost.append(run.run_id)
    return lost


def _alive(own: str) -> bool:
    pid, _, born = own.partition("-")
    try:
        return f"{psutil.Process(int(pid)).create_time():.0f}" == born
    except (psutil.NoSuchProcess, ValueError):
        return False


def _answers(server: dict[str, str]) -> bool:
    """Whether anything listens where the run's code server did."""
    path = server.get("socket")
    address = path or (server["host"], int(server["port"]))
    with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as probe:
        probe.settimeout(1)
        try:
            probe.connect(address)
        except OSError:
            return False
    return True
