"""Dagster's UI with its daemon, and the server, as children of one process that ends them together."""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from aerocast.common.errors import AeroCastError
from cli import processes
from cli.command import Commands, add_command, add_wait
from cli.logs import ChildLog

if TYPE_CHECKING:
    import dagster as dg

    from aerocast.storage.home import Home


ENDS, LATELY = 3, 600.0  # a child that ends more often in so many seconds cannot be helped by another start
UI_HOST = "127.0.0.1"  # everybody who reaches the UI can run anything (docs/security.md)


def add(commands: Commands) -> None:
    parser = add_command(commands, "up", _run, "Dagster's UI and daemon, and the server, until Ctrl-C")
    parser.add_argument("--host", default="127.0.0.1", help="of the server; the UI stays on loopback")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--ui-port", type=int, default=3000)
    add_wait(parser)


def _run(options: argparse.Namespace) -> int:
    from aerocast.storage import writer
    from cli.home import use_own_instance

    use_own_instance()
    with writer.hold(options.home, "aerocast up", wait=options.wait):
        return up(options.home, options.host, options.port, options.ui_port)


def up(home: Home, host: str, port: int, ui_port: int) -> int:
    """Runs both until a person stops them. What they write goes to files; warnings and failures are shown, too.

    Raises:
        AeroCastError: a port or a setting cannot be used, or one of the two ends again and again (then the other is
            stopped).
        KeyboardInterrupt: a person stopped it.
    """
    import dagster as dg

    from aerocast.alerts import settings as alerts
    from aerocast_assets.feeds import broken, left_out
    from cli.standing import Failures

    _check(host, port, ui_port)
    alerts.channels(alerts.read_settings())
    with processes.stoppable() as stopped, dg.DagsterInstance.get() as instance:
        _recover(instance)
        for each in broken():
            print(left_out(each.name, each.mistakes), flush=True)
        print("Starting Dagster and the server, in about half a minute; Ctrl-C stops both ...", flush=True)
        logs = {name: ChildLog(home / "processes" / f"{name}.log") for name in ("dagster", "server")}
        ui = ("-h", UI_HOST, "-p", str(ui_port), "--log-level", "warning")
        pages = {"AEROCAST_SERVER": url(_reachable(host), port)}
        commands = {
            "dagster": ("aerocast_assets._compat.ui", "-w", "workspace.yaml", *ui),
            "server": ("serving", "--host", host, "--port", str(port)),
        }
        children = [Supervised(name, command, pages, logs[name]) for name, command in commands.items()]
        addresses = {"Dagster UI": (UI_HOST, ui_port), "Server": (host, port)}
        failures = Failures(instance)
        try:
            while not stopped:
                time.sleep(0.3)
                if addresses and _all_answer(addresses):
                    _banner(home, addresses, logs)
                    addresses = {}
                for line in (*failures.new(), *(line for log in logs.values() for line in log.notices())):
                    print(line, flush=True)
                for child in children:
                    if news := child.revive():
                        print(news, flush=True)
                        _recover(instance)
        finally:
            print("\nStopping ...", flush=True)
            processes.stop([child.process for child in children])
    raise KeyboardInterrupt


class Supervised:
    """A child that is started again when it ends by itself, so that the other one need not end with it."""

    def __init__(self, name: str, command: Sequence[str], variables: Mapping[str, str], log: ChildLog) -> None:
        self.name, self.log, self._ends = name, log, list[float]()
        self._start = partial(processes.start, *command, variables=variables, log=log.file)
        self.process = self._start()

    def revive(self) -> str:
        """Starts the child again if it ended, and says so; empty while it runs.

        Raises:
            AeroCastError: it has ended too often.
        """
        if (status := self.process.poll()) is None:
            return ""
        now = time.monotonic()
        self._ends = [*(end for end in self._ends if now - end < LATELY), now]
        ended = f"the {self.name} ended unexpectedly with status {status}"
        if len(self._ends) > ENDS:
            raise AeroCastError(
                f"{ended}, {len(self._ends)} times in {LATELY / 60:.0f} minutes; stopped the rest; "
                f"its last line: {self.log.last()} ({self.log.path})"
            )
        processes.stop([self.process])  # what it started lives on, and holds the port
        self.process = self._start()
        return f"{ended}; it is started again"


def _check(host: str, port: int, ui_port: int) -> None:
    """Raises AeroCastError unless both ports can be bound now."""
    if port == ui_port:
        raise AeroCastError(f"--port and --ui-port: both are {port}; they must differ")
    check_port("--port", host, port)
    check_port("--ui-port", UI_HOST, ui_port)


def check_port(option: str, host: str, port: int) -> None:
    """Raises AeroCastError, which names the option, unless the port can be bound now."""
    if not 1 <= port <= 65535:
        raise AeroCastError(f"{option}: {port} is not a port; allowed: 1 to 65535")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise AeroCastError(f"{option}: {host}:{port} cannot be used: {error.strerror}; choose another") from error


def _recover(instance: dg.DagsterInstance) -> None:
    from cli.recovery import recover

    for run_id in recover(instance):
        print(f"Run {run_id[:8]} was killed with its code server; it is noted as failed.", flush=True)


def url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _reachable(host: str) -> str:
    """A wildcard address is bound, but nobody's to connect to."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _all_answer(addresses: Mapping[str, tuple[str, int]]) -> bool:
    """Whether something listens at each address."""
    for host, port in addresses.values():
        try:
            socket.create_connection((_reachable(host), port), timeout=0.3).close()
        except OSError:
            return False
    return True


def _banner(home: Home, addresses: Mapping[str, tuple[str, int]], logs: Mapping[str, ChildLog]) -> None:
    """Where everything is, and what runs by itself."""
    from cli.standing import feed_lines

    print("\nAeroCast is up.\n")
    for name, (host, port) in addresses.items():
        print(f"  {name:<12}{url(host, port)}")
    print(f"  {'Home':<12}{home}")
    print(f"  {'Logs':<12}{', '.join(str(log.path) for log in logs.values())}")
    print(f"  {'Trainings':<12}`aerocast mlflow` shows them\n\nFeeds")
    for line in feed_lines(home):
        print(f"  {line}")
    print("\nWarnings and failures are shown here; Ctrl-C stops everything.", flush=True)
