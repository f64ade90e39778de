"""A home of its own with real processes: code server, Dagster's UI and daemon, the server, and a feeder."""

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import yaml

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.storage import mark, rooms, writer
from aerocast_assets._compat import DAEMON
from cli import processes
from cli.home import PROJECT
from cli.processes import Child, free_port

HOST = "127.0.0.1"
MARK = ".demo"  # of a demonstration from when homes had no marks
LOCATION = "aerocast"
PATIENCE = 60.0


class Stage:
    """Processes that belong to one feed in one home; logs of each under `<home>/processes/<name>.log`."""

    def __init__(self, home: Path, feed: Feed) -> None:
        self.home, self.feed = home, feed
        self.port, self.ui_port, self._code_port = free_port(), free_port(), free_port()
        self._children: dict[str, Child] = {}
        self._logs: list[IO[bytes]] = []
        self._variables = {
            "AEROCAST_HOME": str(home),
            "DAGSTER_HOME": str(home),
            "AEROCAST_FEED": feed.name,
            "AEROCAST_OPT_IN": feed.name,
            "AEROCAST_BROKER": "",  # what waits there is the platform's, and not for a demonstration to take
            **dict.fromkeys(("AEROCAST_ALERT_WEBHOOK", "AEROCAST_ALERT_EMAIL", "AEROCAST_ALERT_COMMAND"), ""),
            "AEROCAST_ALERT_SECRET": "",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "AEROCAST_LOG_SECONDS": "1",
            "AEROCAST_SERVER": self.url,
        }

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://{HOST}:{self.port}"

    @property
    def ui_url(self) -> str:
        return f"http://{HOST}:{self.ui_port}"

    def dagster(self) -> None:
        """Code server and UI; the daemon comes later, when there is something to watch."""
        module = ("--module-name", "aerocast_assets.alone", "--location-name", LOCATION)
        self._open("code", "dagster", "api", "grpc", *module, "--host", HOST, "--port", str(self._code_port))
        workspace = {"grpc_server": {"host": HOST, "port": self._code_port, "location_name": LOCATION}}
        (self.home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [workspace]}))
        self._wait("code", self._code_port)
        self._open(
            "webserver",
            "aerocast_assets._compat.ui",
            "webserver",
            *self._workspace,
            "-h",
            HOST,
            "-p",
            str(self.ui_port),
        )

    def daemon(self) -> None:
        self._open("daemon", DAEMON, "run", *self._workspace)

    def server(self) -> None:
        """The server, until it answers."""
        self._open("server", "serving", "--host", HOST, "--port", str(self.port), "--poll-seconds", "0.5")
        self._wait("server", self.port)

    def feeder(self) -> None:
        self._open("feeder", "feeder", "--feed", self.feed.name, "--follow", "--url", self.url)

    def check(self) -> None:
        """Raises AeroCastError if one of them has ended by itself, with the last line that it said."""
        for name, child in self._children.items():
            if child.poll() is not None:
                lines = self._log(name).read_text(errors="replace").strip().splitlines()
                last = f": {lines[-1]}" if lines else ""
                raise AeroCastError(
                    f"the {name} ended unexpectedly with status {child.returncode}{last} ({self._log(name)})"
                )

    def close(self) -> None:
        """Ends whatever runs, the newest first."""
        processes.stop(list(reversed(self._children.values())))
        for log in self._logs:
            log.close()

    @property
    def _workspace(self) -> tuple[str, str]:
        return "-w", str(self.home / "workspace.yaml")

    def _log(self, name: str) -> Path:
        return self.home / "processes" / f"{name}.log"  # not "logs": Dagster empties a folder of that name

    def _open(self, name: str, *command: str) -> None:
        self._log(name).parent.mkdir(parents=True, exist_ok=True)
        log = self._log(name).open("wb")
        self._logs.append(log)
        self._children[name] = processes.start(*command, variables=self._variables, log=log)

    def _wait(self, name: str, port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=0.3):
                return
            time.sleep(0.05)
        raise AeroCastError(f"the {name} did not answer within {PATIENCE:.0f} s: see {self._log(name)}")


@contextmanager
def stage(home: Path, feed: Feed) -> Iterator[Stage]:
    """An empty home, made from nothing, with Dagster's configuration; all processes end with the block.

    Raises:
        AeroCastError: the folder holds something else, or another demonstration runs in it.
    """
    if home.exists() and not (home / mark.NAME).exists() and not (home / MARK).exists() and any(home.iterdir()):
        raise AeroCastError(f"{home} contains something that no demonstration created: it is left unchanged")
    home.mkdir(parents=True, exist_ok=True)
    with writer.hold(home, "aerocast demo"):
        mark.ensure_mark(home)
        rooms.sweep(home, keep=(mark.NAME, writer.LOCK))
        configuration = yaml.safe_load((PROJECT / "dagster.yaml").read_text())
        # Simulated time flies: a run that waits five seconds to be taken from the queue waits for days.
        configuration["run_coordinator"]["config"] = {"dequeue_interval_seconds": 1}
        (home / "dagster.yaml").write_text(yaml.safe_dump(configuration))
        own_stage = Stage(home, feed)
        try:
            yield own_stage
        finally:
            own_stage.close()
