"""Runs that died with their process are found, however Dagster was started, and none that lives is called dead."""

import logging
import signal
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from aerocast_assets import liveness
from aerocast_assets.instance import is_choice
from cli.recovery import recover
from tests import PROJECT

pytestmark = pytest.mark.e2e  # processes that are killed

RUN = """
import sys, time
from aerocast_assets import liveness
with liveness.alive(sys.argv[1]):
    print("alive", flush=True)
    time.sleep(600)
"""


@dg.job
def idle() -> None: ...


def started(instance: dg.DagsterInstance, **tags: str) -> str:
    return instance.create_run_for_job(idle, status=dg.DagsterRunStatus.STARTED, tags=tags).run_id


def executing(run_id: str) -> subprocess.Popen[bytes]:
    """A process that executes the run, as far as others can see."""
    process = subprocess.Popen([sys.executable, "-c", RUN, run_id], cwd=PROJECT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"alive\n"
    return process


def statuses(instance: dg.DagsterInstance, *run_ids: str) -> list[str]:
    return [run.status.value for run_id in run_ids if (run := instance.get_run_by_id(run_id))]


def test_daemon_fails_killed_run_and_leaves_live_one(instance: dg.DagsterInstance) -> None:
    living, dead, by_hand = started(instance), started(instance), started(instance)
    processes = [executing(living), executing(dead)]
    try:
        with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace:
            logger = logging.getLogger("test")
            assert list(execute_run_monitoring_iteration(workspace, logger)) == [None] * 3
            assert statuses(instance, living, dead, by_hand) == ["STARTED"] * 3
            processes[1].send_signal(signal.SIGKILL)
            processes[1].wait()
            assert list(execute_run_monitoring_iteration(workspace, logger)) == [None] * 3
        assert statuses(instance, living, dead, by_hand) == ["STARTED", "FAILURE", "STARTED"]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert recover(instance) == [living], "and a command that starts finds it at once"
    assert recover(instance) == []


def test_run_between_steps_lives_with_its_code_server(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    def served(name: str, host: str) -> str:
        server = f'{{"host": "localhost", "socket": "{tmp_path / name}"}}'
        return started(instance, **{".dagster/grpc_info": server, liveness.HOST_TAG: host})

    here = socket.gethostname()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "living"))
        listening.listen()
        living, dead, elsewhere = served("living", here), served("dead", here), served("dead", "another-container")
        assert recover(instance) == [dead]
    assert statuses(instance, living, dead, elsewhere) == ["STARTED", "FAILURE", "STARTED"]


STATES: list[str] = []


@dg.op
def look(context: dg.OpExecutionContext) -> None:
    STATES.append(liveness._state(context.run_id))


@dg.job(executor_def=liveness.in_process_executor)
def looking() -> None:
    look()


def test_every_run_of_platform_is_seen_alive(instance: dg.DagsterInstance, home: Path) -> None:
    with dg.execute_job(dg.reconstructable(looking), instance) as result:
        assert result.success
    assert liveness.execute(looking, instance).success
    assert STATES == ["alive", "alive"]
    assert list((home / liveness.FOLDER).iterdir()) == [], "nothing is left behind"


@dg.op(config_schema=dg.Permissive())
def champion() -> None: ...


@dg.job
def choosing() -> None:
    champion()


@pytest.mark.parametrize("config", [{"release": "20240101"}, {"lift": True}])
def test_run_chosen_by_user_skips_queue(
    instance: dg.DagsterInstance, config: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(instance.run_launcher), "launch_run", lambda _self, _context: None)  # no process is wanted
    run = instance.create_run_for_job(choosing, run_config={"ops": {"champion": {"config": config}}})
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as process:
        instance.run_coordinator.submit_run(SubmitRunContext(run, process.create_request_context()))
    assert statuses(instance, run.run_id) == ["STARTING"]


@pytest.mark.parametrize("config", [{"release": "20240101", "automatic": True}, {"force": True}, {}])
def test_run_requested_by_platform_queues(instance: dg.DagsterInstance, config: dict[str, object]) -> None:
    assert not is_choice(instance.create_run_for_job(choosing, run_config={"ops": {"champion": {"config": config}}}))
