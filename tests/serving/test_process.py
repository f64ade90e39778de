"""The process: what it imports, how it starts, stops, and says that it cannot."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aerocast.contracts import declared
from tests.factories.feeds import small_feed
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.server import Server

pytestmark = pytest.mark.e2e  # servers that are started and killed

HEAVY = {"torch", "mlflow", "pandas", "great_expectations", "duckdb", "deltalake", "pyarrow", "dagster", "xgboost"}
HEAVY |= {
    "matplotlib",
    "scipy",
    "sklearn",
    "onnx",
    "pint",
    "river",
    "tenacity",
    "aerocast_assets",
    "cli",
    "demo",
    "feeder",
}

PROBE = """
import sys
from pathlib import Path
from litestar.testing import TestClient
import serving.__main__
from serving.app import create_app
with TestClient(create_app(Path(sys.argv[1])), base_url="http://localhost") as http:
    assert http.post("/predict", json={"station": "JFK"}).status_code == 200
    assert http.post("/eval", json={"predicted": 40.0, "actual": 41.0}).status_code == 200
    assert http.post("/routine-retrain-check").status_code == 200
    reading = {"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": 1.5}
    assert http.post("/observations/small", json=reading).status_code == 202
    paths = ("/health", "/feeds", "/models", "/routine-retrain-check", "/metrics", "/schema", "/schema/openapi.json")
    for path in paths:
        assert http.get(path).status_code == 200
print(" ".join(sorted({name.split(".")[0] for name in sys.modules})))
"""


def run(*arguments: str, code: str | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "serving", "--port", "0"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, **options)


def test_server_imports_stay_light(tmp_path: Path) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    declared.publish(tmp_path, small_feed(tmp_path))
    done = run(str(tmp_path), code=PROBE)
    assert done.returncode == 0, done.stderr
    assert HEAVY & set(done.stdout.split()) == set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_ends_server_cleanly(tmp_path: Path, number: int, serve: Callable[..., tuple[Server, Any]]) -> None:
    server, _ = serve()
    server.process.send_signal(number)
    assert server.process.wait(60) == 0
    assert "Traceback" not in "".join(server.log)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("serving: ")
    return line


def test_occupied_port_raises_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--port", str(port), env={**os.environ, "AEROCAST_HOME": str(tmp_path)})
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in refused(done)


@pytest.mark.parametrize(
    "arguments",
    [("--host", "no.such.host.invalid"), ("--port", "70000"), ("--port", "-1"), ("--host", "203.0.113.1")],
)
def test_unusable_address_raises_one_sentence(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert "cannot listen on" in refused(run(*arguments, env={**os.environ, "AEROCAST_HOME": str(tmp_path)}))


def test_missing_home_raises_one_sentence(tmp_path: Path) -> None:
    done = run(env={**os.environ, "AEROCAST_HOME": str(tmp_path / "none")})
    assert "does not exist" in refused(done)


def test_home_that_is_file_raises_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    assert "is not a folder" in refused(run(env={**os.environ, "AEROCAST_HOME": str(tmp_path / "home")}))


def test_unwritable_home_raises_one_sentence(tmp_path: Path) -> None:
    """Root may write everywhere, so the process becomes nobody; after its imports, which nobody may not read."""
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    for folder in (tmp_path, *(each for each in tmp_path.parents if "pytest" in each.name or "popen" in each.name)):
        folder.chmod(0o755)
    code = [
        "import os, sys, serving.__main__ as server",
        "os.geteuid() or os.setuid(65534)",
        "sys.exit(server.main([]))",
    ]
    done = run(code="; ".join(code), env={**os.environ, "AEROCAST_HOME": str(home)})
    assert "cannot be written: Permission denied" in refused(done)


def test_home_below_closed_folder_raises_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    tmp_path.chmod(0o700)
    code = [
        "import os, sys, serving.__main__ as server",
        "os.geteuid() or os.setuid(65534)",
        "sys.exit(server.main([]))",
    ]
    if os.geteuid() != 0:
        tmp_path.chmod(0o000)
    done = run(code="; ".join(code), env={**os.environ, "AEROCAST_HOME": str(tmp_path / "home")})
    tmp_path.chmod(0o700)
    assert "cannot be read: Permission denied" in refused(done)


def test_invalid_setting_raises_one_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "AEROCAST_HOME": str(tmp_path), "AEROCAST_POLL_SECONDS": "often"}
    assert "AEROCAST_POLL_SECONDS='often' is not allowed" in refused(run(env=environment))


def test_server_binds_to_loopback_by_default(shared_server: Server) -> None:
    assert shared_server.url.startswith("http://127.0.0.1:")
