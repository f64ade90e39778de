"""Which runs live: the process that executes a run holds a lock on a file of its own, from the first step to the last.

The kernel frees the lock of a process that dies, whatever killed it. So there is no clock, no process id and no name of
a machine to be wrong about, and a run in another container that shares the folder is seen to live, too.
"""

import fcntl
import json
import os
import socket
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from aerocast.storage import atomic
from aerocast.storage.home import home_of
from aerocast_assets import _compat

FOLDER = "dagster/running"  # of this machine's part of the home
COMMAND_TAG = "aerocast/command"  # of a run that a command executes in its own process: which one
HOST_TAG = "aerocast/host"  # where the code server of a run listens


@contextmanager
def alive(run_id: str) -> Iterator[None]:
    """Around the execution of a run, in the process that does it."""
    place = _place(run_id)
    atomic.make_folder(place.parent)
    beside = place.with_name(f".{place.name}-{uuid.uuid4().hex}")
    with beside.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.replace(beside, place)  # it is never there unlocked while the run lives
        try:
            yield
        finally:
            place.unlink(missing_ok=True)


def execute(job: dg.JobDefinition, instance: dg.DagsterInstance, **arguments: Any) -> dg.ExecuteInProcessResult:
    """`job.execute_in_process`, as a run that others can see to live."""
    run_id, tags = str(uuid.uuid4()), {COMMAND_TAG: Path(sys.argv[0]).name, **arguments.pop("tags", {})}
    with alive(run_id):
        return job.execute_in_process(instance=instance, run_id=run_id, tags=tags, **arguments)


def is_dead(run: dg.DagsterRun) -> bool:
    """Whether what executed this open run is known to be gone.

    Before its first step and after its last one a run holds no lock: then it is as alive as the code server that looks
    after it, which only the machine where it listens can tell.
    """
    state = _state(run.run_id)
    server, host = run.tags.get(_compat.GRPC_INFO_TAG), run.tags.get(HOST_TAG, socket.gethostname())
    if state == "unknown" and server and host == socket.gethostname():
        return not _answers(json.loads(server))
    return state == "dead"


def forget(run_id: str) -> None:
    """Removes what a dead run has left."""
    _place(run_id).unlink(missing_ok=True)


class _Executor(_compat.InProcessExecutor):
    def execute(
        self, plan_context: _compat.PlanOrchestrationContext, execution_plan: _compat.ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        with alive(plan_context.run_id):
            yield from super().execute(plan_context, execution_plan)


def _executor(context: dg.InitExecutorContext) -> _compat.InProcessExecutor:
    create: Any = dg.in_process_executor.executor_creation_fn
    plain: _compat.InProcessExecutor = create(context)
    return _Executor(plain.retries, plain.step_dependency_config)


# Dagster's own one, but for the lock.
in_process_executor = dg.ExecutorDefinition(
    name="in_process", config_schema=_compat.IN_PROC_CONFIG, executor_creation_fn=_executor
)


def _place(run_id: str) -> Path:
    # It brings pydantic-settings, which loading the code location does without.
    from aerocast.storage.settings import Settings

    return Path(home_of(Settings())) / FOLDER / run_id


def _state(run_id: str) -> Literal["alive", "dead", "unknown"]:
    try:
        with _place(run_id).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # Removed since it was opened: the run has come to its end.
            return "dead" if os.fstat(file.fileno()).st_nlink else "unknown"
    except FileNotFoundError:
        return "unknown"
    except BlockingIOError:
        return "alive"


def _answers(server: Mapping[str, Any]) -> bool:
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
