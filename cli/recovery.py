"""Runs that died with the process that ran them (kill -9, power cut), ended at once when a command starts.

While a daemon runs, its run monitoring finds them, too (see `aerocast_assets.instance.Launcher`).
"""

import dagster as dg

from aerocast_assets import liveness

OPEN = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def recover(instance: dg.DagsterInstance) -> list[str]:
    """Fails the open runs of which nothing is alive any more, so that they hold no slot and no asset; their ids."""
    dead = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=OPEN)):
        if liveness.is_dead(run):
            instance.report_run_failed(run, "The process of this run was killed.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            liveness.forget(run.run_id)
            dead.append(run.run_id)
    return dead
