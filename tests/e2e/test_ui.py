"""The UI as people see it: Dagster's webserver over a home with results, drawn by headless Chromium."""

import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import yaml

from aerocast.feed.declaration import Feed
from aerocast_assets.keys import job_name, months
from aerocast_assets.liveness import COMMAND_TAG
from tests import PROJECT
from tests.factories.feeds import small_feed, write_readings
from tests.harness.graph import definitions
from tests.harness.server import Server
from tests.harness.waits import until

if TYPE_CHECKING:
    from selenium import webdriver

# The code location of the test: the small feed, declared as a file of its own would declare it.
LOCATION = """
from pathlib import Path
import dagster as dg
from tests.factories.feeds import small_feed
from tests.harness.graph import definitions
defs = definitions(Path({home!r}), small_feed(Path({readings!r})))
"""
PATIENCE = 240.0

Page = Callable[[str], str]


@pytest.fixture
def results(
    tmp_path: Path, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Feed]:
    """The small feed, its whole graph materialised once as a command does it, and the server of its pictures."""
    feed = small_feed(write_readings(tmp_path / "readings.csv"))
    with Server(home) as server:
        monkeypatch.setenv("AEROCAST_SERVER", server.url)
        months_of = months(feed).get_partition_keys()
        span = {f"dagster/asset_partition_range_{end}": months_of[at] for end, at in (("start", 0), ("end", -1))}
        job = definitions(home, feed).resolve_job_def(job_name(feed))
        assert job.execute_in_process(instance=instance, tags={**span, COMMAND_TAG: "aerocast"}).success
        yield feed


@pytest.fixture
def ui(tmp_path: Path, home: Path, results: Feed) -> Iterator[str]:
    """Where Dagster's webserver answers, on loopback."""
    location, workspace = tmp_path / "location.py", tmp_path / "workspace.yaml"
    location.write_text(LOCATION.format(readings=str(tmp_path / "readings.csv"), home=str(home)))
    target = {"relative_path": str(location), "working_directory": str(PROJECT), "location_name": "aerocast"}
    workspace.write_text(yaml.safe_dump({"load_from": [{"python_file": target}]}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", str(workspace)]
    with (tmp_path / "webserver.log").open("w") as log:
        server = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: reachable(f"{url}/server_info"), PATIENCE, f"the webserver: see {log.name}")
            yield url
        finally:
            server.terminate()
            server.wait(60)


def reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def shown(browser: "webdriver.Chrome") -> str:
    """The text that the page shows."""
    return str(browser.execute_script("return document.body.innerText"))


def test_graph_and_asset_pages_are_drawn(ui: str, results: Feed, browser: "webdriver.Chrome") -> None:
    layers = ["source", "raw", "bronze", "silver", "windows", *results.candidates, "champion", "forecasts"]

    browser.get(f"{ui}/asset-groups")
    nodes = "return [...document.querySelectorAll('foreignObject')].map(e => e.textContent).join('\\n')"
    until(lambda: all(layer in browser.execute_script(nodes) for layer in layers), PATIENCE, "every asset in the graph")

    browser.get(f"{ui}/assets/small/bronze?view=checks")
    checks = ["nothing_lost", "key_unique", "station_declared", "temperature_in_range", "temperature_measured"]
    until(lambda: all(check in shown(browser) for check in checks), PATIENCE, "the checks of bronze")
    assert "Failed" not in shown(browser)

    browser.get(f"{ui}/assets/small/bronze")
    until(lambda: "windspeed (w) is 1051" in shown(browser), PATIENCE, "the quarantined reading and its reason")

    browser.get(f"{ui}/assets/small/temperature/champion")
    until(lambda: "seasonal_naive" in shown(browser), PATIENCE, "the scores of the candidates")

    browser.get(f"{ui}/assets/small/temperature/forecasts")
    link = "return document.querySelector('a[href$=\"/reports/small/temperature/forecast.png\"]')?.href"
    until(lambda: browser.execute_script(link), PATIENCE, "the link to the forecast's picture")
    browser.get(browser.execute_script(link))
    assert 500 < browser.execute_script("return document.images[0].naturalWidth") <= 900

    browser.get(f"{ui}/locations/aerocast/jobs/small_refresh/runs")
    until(lambda: "Success" in shown(browser), PATIENCE, "the run of the command under its job")

    browser.get(f"{ui}/assets/small/bronze?view=checks")
    until(lambda: "nothing_lost" in shown(browser), PATIENCE, "the checks of bronze again")
    assert "Skipped" not in shown(browser)
