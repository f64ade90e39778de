"""Runs that a code server launched and that died with it (kill -9, power cut): nobody else would ever end them."""

import json
import socket

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG

OPEN = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def recover_launched(instance: dg.DagsterInstance) -> list[str]:
    """Fails the open runs whose code server is gone, so that they hold no slot and no asset; their ids.

    A living code server looks after its runs itself.
    """
    lost = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=OPEN)):
        server = run.tags.get(GRPC_INFO_TAG)
        if server and not _answers(json.loads(server)):
            instance.report_run_failed(run, "The code server of this run was killed, and the run with it.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            lost.append(run.run_id)
    return lost


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
