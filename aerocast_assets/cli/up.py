"""Dagster's UI with its daemon, and the server, as children of one process that ends them together."""

import argparse
import contextlib
import socket
import time

from aerocast.errors import AeroCastError
from aerocast_assets.cli import processes
from aerocast_assets.cli.command import Commands, add_command, add_wait
from aerocast_assets.feeds import broken, left_out


def add(commands: Commands) -> None:
    parser = add_command(commands, "up", _run, "Dagster's UI and daemon, and the server, until Ctrl-C")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--ui-port", type=int, default=3000)
    add_wait(parser)


def _run(options: argparse.Namespace) -> int:
    from aerocast import writer
    from aerocast_assets.cli.home import use_own_instance

    use_own_instance()
    with writer.held(options.home, "aerocast up", wait=options.wait):
        return up(options.host, options.port, options.ui_port)


def up(host: str, port: int, ui_port: int) -> int:
    """Runs both until Ctrl-C or SIGTERM, which is exit status 0.

    Raises:
        AeroCastError: a port cannot be used, or one of the two ended by itself (then the other is stopped).
    """
    addresses = {"Dagster UI": (host, ui_port), "Server": (host, port)}
    _check(host, port, ui_port)
    with processes.stoppable() as stopped:
        _recover()
        for each in broken():
            print(left_out(each.name, each.mistakes), flush=True)
        print("Starting, Ctrl-C stops both ...", flush=True)
        ui = ("-h", host, "-p", str(ui_port), "--log-level", "warning")
        children = {
            "dagster": processes.start(
                "dagster",
                "dev",
                "-w",
                "workspace.yaml",
                *ui,
                variables={"AEROCAST_SERVER": url(_reachable(host), port)},
            ),
            "the server": processes.start("serving", "--host", host, "--port", str(port)),
        }
        try:
            while not stopped:
                time.sleep(0.3)
                _announce(addresses)
                for name, child in children.items():
                    if child.poll() is not None:
                        raise AeroCastError(f"{name} ended by itself with status {child.returncode}; stopped the rest")
        finally:
            print("\nstopping ...", flush=True)
            processes.stop(list(children.values()))
    return 0


def _check(host: str, port: int, ui_port: int) -> None:
    """Raises AeroCastError unless both ports can be bound now."""
    if port == ui_port:
        raise AeroCastError(f"--port and --ui-port: both are {port}; they must differ")
    check_port("--port", host, port)
    check_port("--ui-port", host, ui_port)


def check_port(option: str, host: str, port: int) -> None:
    """Raises AeroCastError, which names the option, unless the port can be bound now."""
    if not 1 <= port <= 65535:
        raise AeroCastError(f"{option}: {port} is no port; allowed: 1 to 65535")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise AeroCastError(f"{option}: {host}:{port} cannot be used: {error.strerror}; choose another") from error


def _recover() -> None:
    import dagster as dg

    from aerocast_assets.cli.recovery import recover

    with dg.DagsterInstance.get() as instance:
        for run_id in recover(instance):
            print(f"Run {run_id[:8]} was killed with its code server; it is noted as failed.", flush=True)


def url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _reachable(host: str) -> str:
    """A wildcard address is bound, but nobody's to connect to."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _announce(addresses: dict[str, tuple[str, int]]) -> None:
    """Says once of each address that it answers; what was said is taken out."""
    for name, (host, port) in list(addresses.items()):
        with contextlib.suppress(OSError), socket.create_connection((_reachable(host), port), timeout=0.3):
            print(f"{name:<12}{url(host, port)}", flush=True)
            del addresses[name]
