"""The UI as people see it: Dagster's webserver over a home with results, drawn by headless Chromium."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from aerocast.feed import Feed
from tests.conftest import PROJECT
from tests.making import refresh, small_feed, write_readings

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("no Chromium with its driver on this machine", allow_module_level=True)

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1600,1200"),
)
# The code location of the test: the small feed, declared as a file of its own would declare it.
LOCATION = """
from pathlib import Path
import dagster as dg
from tests.making import definitions, small_feed
defs = definitions(Path({home!r}), small_feed(Path({readings!r})))
"""
PATIENCE = 240.0

Page = Callable[[str], str]


@pytest.fixture
def results(tmp_path: Path, home: Path, instance: dg.DagsterInstance) -> Feed:
    """The small feed, its whole graph materialised once."""
    feed = small_feed(write_readings(tmp_path / "readings.csv"))
    assert refresh(feed, home, instance).success
    return feed


@pytest.fixture
def ui(tmp_path: Path, home: Path, results: Feed) -> Iterator[str]:
    """Where Dagster's webserver answers, on loopback."""
    location = tmp_path / "location.py"
    location.write_text(LOCATION.format(readings=str(tmp_path / "readings.csv"), home=str(home)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-f", str(location)]
    with (tmp_path / "webserver.log").open("w") as log:
        server = subprocess.Popen([*command, "-d", str(PROJECT)], cwd=PROJECT, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            wait(lambda: reachable(f"{url}/server_info"), f"the webserver: see {log.name}")
            yield url
        finally:
            server.terminate()
            server.wait(60)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator["webdriver.Chrome"]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def wait(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"waited {PATIENCE:.0f} s for {what}"
        time.sleep(0.1)


def shown(browser: "webdriver.Chrome") -> str:
    """The text that the page shows."""
    return str(browser.execute_script("return document.body.innerText"))


def click(browser: "webdriver.Chrome", text: str, beside: str = "") -> None:
    """Clicks the first element whose own text this is, in the table row that begins with `beside`."""
    found = browser.execute_script(
        "const [text, beside] = arguments;"
        "return [...document.querySelectorAll('*')].find(e => !e.childElementCount && e.textContent.trim() === text"
        " && (!beside || e.closest('tr')?.innerText.startsWith(beside)))",
        *(text, beside),
    )
    assert found is not None, f"{text!r} is not on the page"
    browser.execute_script("arguments[0].click()", found)


def test_the_graph_and_the_pages_of_its_assets_are_drawn(ui: str, results: Feed, browser: "webdriver.Chrome") -> None:
    layers = ["source", "raw", "bronze", "silver", "windows", *results.candidates, "champion", "forecasts"]

    browser.get(f"{ui}/asset-groups")
    nodes = "return [...document.querySelectorAll('foreignObject')].map(e => e.textContent).join('\\n')"
    wait(lambda: all(layer in browser.execute_script(nodes) for layer in layers), "every asset in the graph")

    browser.get(f"{ui}/assets/small/bronze?view=checks")
    checks = ["nothing_lost", "key_unique", "station_declared", "temperature_in_range", "temperature_measured"]
    wait(lambda: all(check in shown(browser) for check in checks), "the checks of bronze")
    assert "Failed" not in shown(browser)

    browser.get(f"{ui}/assets/small/bronze")
    wait(lambda: "windspeed (w) is 1051" in shown(browser), "the quarantined reading and its reason")

    browser.get(f"{ui}/assets/small/temperature/champion")
    wait(lambda: "seasonal_naive" in shown(browser), "the scores of the candidates")

    browser.get(f"{ui}/assets/small/temperature/forecasts")
    wait(lambda: "[Show Markdown]" in shown(browser), "the forecast's metadata")
    assert "AAA" in shown(browser)
    click(browser, "[Show Markdown]", beside="forecast")
    picture = "return [...document.images].filter(e => e.alt === 'forecast' && e.naturalWidth > 500).length"
    wait(lambda: browser.execute_script(picture) == 1, "the forecast's picture")
