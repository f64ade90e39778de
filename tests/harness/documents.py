"""The commands of README and docs: how a page says that they run, and a fresh copy of the project to run them in.

The info string of a fence says how: `bash` runs and must succeed, `bash quick` also does without data, `bash up` runs
until its section ends, `bash skip=REASON` does not run. Each line of a `text output` fence is in what the block before
it printed, whatever its numbers.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from tests import PROJECT

FENCE = re.compile(r"^```(\w+)(?: ([\w=-]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What does not run here: the reason, and the test that runs it or its like.
SKIPPED = {
    "suite": ("it would run this very test", ".ci/run"),
    "pre-commit": ("a program that the project does not install", "tests/project/test_docs.py"),
    "rollback": ("one run makes no second release to go back to", "tests/e2e/test_rollback.py"),
    "broker": ("it needs a NATS server", "tests/assets/automation/test_claiming.py"),
    "network": ("it asks a public service", "tests/ingest/sources/test_nws.py"),
    "token": ("it changes who may ask", "tests/cli/test_token.py"),
    "bucket": ("it needs a bucket", "tests/e2e/test_s3.py"),
    "demand": ("the feed fetches its recorded readings first", "tests/feeder/test_demand.py"),
    "alerts": ("nobody is to be paged by a test", "tests/cli/test_alerts.py"),
    "endless": ("its answer has no end", "tests/serving/test_events.py"),
}
PAGES = {
    "a home with noaa": (
        "README.md",
        "docs/client.md",
        "docs/ingest.md",
        "docs/tables.md",
        "docs/drift.md",
        "docs/feeds.md",
    ),
    "an own feed": ("docs/tutorial.md",),
}
LEFT_OUT = (
    *(".git", ".venv", ".aerocast", ".hypothesis", ".*_cache", "__pycache__", "logs", ".logs_queue", "node_modules"),
)


BASH = ("", "quick", "up", *(f"skip={reason}" for reason in SKIPPED))


def sections(page: str) -> list[list[tuple[str, str, str]]]:
    """Language, how to run it, and text of each fence, by the page's sections."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    return [FENCE.findall(section) for section in re.split(r"^## ", text, flags=re.MULTILINE)]


def blocks(page: str) -> list[tuple[str, str, str]]:
    """All fences of a page."""
    return [block for section in sections(page) for block in section]


def shape(text: str) -> str:
    """A text without its numbers, versions and spaces."""
    return re.sub(r"\s+", " ", re.sub(r"[\d.,a-f-]*\d[\d.,a-f-]*", "0", text)).strip()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass
class Site:
    """A fresh copy of the project that uses the environment of the tests."""

    folder: Path
    port: int = field(default_factory=free_port)
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shutil.copytree(PROJECT, self.folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
        (self.folder / ".venv").symlink_to(sys.prefix)
        for name in ("requirements.lock", "pyproject.toml"):
            os.utime(self.folder / name, (0, 0))  # older than the environment's stamp: `make` has nothing to install

    @property
    def environment(self) -> dict[str, str]:
        packages = self.folder / "packages"  # where pip installs the examples, and not beside the tests' own packages
        own = {"PORT": str(self.port), "UI_PORT": str(free_port()), "PIP_TARGET": str(packages), "OMP_NUM_THREADS": "1"}
        own["PYTHONPATH"] = f"{self.folder}{os.pathsep}{packages}"
        return {k: v for k, v in os.environ.items() if k not in ("AEROCAST_HOME", "DAGSTER_HOME")} | own

    def run(self, script: str) -> str:
        """What the script prints; it must succeed."""
        text = script.replace("localhost:8000", f"localhost:{self.port}")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}"
        return done.stdout

    def start(self, script: str) -> None:
        """Starts a script and waits until its server answers."""
        started = subprocess.Popen(
            ["bash", "-c", f"exec {script}"], cwd=self.folder, env=self.environment, text=True, start_new_session=True
        )
        self.running.append(started)
        while started.poll() is None:
            try:
                with urllib.request.urlopen(f"http://localhost:{self.port}/health"):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"{script}: ended with {started.returncode}")

    def stop(self) -> None:
        for process in self.running:
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
        self.running.clear()
