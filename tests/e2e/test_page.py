"""The page for people in a browser: by eye and keyboard, narrow and wide, light and dark, with all from one server."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import numpy as np
import pytest

from aerocast.contracts import alarms
from aerocast.contracts.manifest import StationInfo
from aerocast.releases import release
from serving import pages
from tests import PROJECT
from tests.factories.pages import FULL_NAMES, days, declare, populate
from tests.factories.releases import STATIONS, graph, manifest
from tests.factories.tails import NEWEST, write_tail
from tests.harness.server import Server
from tests.harness.waits import until

if TYPE_CHECKING:
    from selenium import webdriver

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not pages.is_built(), reason="the pages are not built: `make setup` does it"),
]

TOKEN = "the-token-of-the-tests"
AXE = PROJECT / "web/node_modules/axe-core/axe.min.js"
ROUTES = ("#/", "#/station/noaa/JFK/temperature", "#/loop", "#/data")
HOSTILE = "<img src=x onerror=\"document.title='caught'\">"
TEXT = "return document.querySelector('#content').innerText"

Show = Callable[..., None]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    place = tmp_path / "served"
    place.mkdir()
    populate(place, {"EWR": HOSTILE})
    with Server(place) as started:
        yield started


@pytest.fixture
def show(server: Server, browser: "webdriver.Chrome") -> Show:
    """`show(route, width, mode)` draws a page, as on a screen of that width."""
    browser.set_script_timeout(120)

    def draw(route: str = "#/", width: int = 1200, mode: str = "light") -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": mode}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        browser.get("about:blank")
        browser.get(f"{server.url}/{route}")
        until(lambda: browser.execute_script("return document.querySelector('h1') && document.title !== 'AeroCast'"))

    return draw


def text(browser: "webdriver.Chrome") -> str:
    return str(browser.execute_script(TEXT))


def press(browser: "webdriver.Chrome", key: str, times: int = 1) -> None:
    from selenium.webdriver import ActionChains

    for _ in range(times):
        ActionChains(browser).send_keys(key).perform()


def test_station_at_a_glance_and_its_page(show: Show, browser: "webdriver.Chrome") -> None:
    show()
    until(lambda: browser.execute_script("return document.querySelectorAll('.card canvas').length") == 3)
    found = text(browser)
    assert "John F. Kennedy (JFK)" in found
    assert "Unlike its past since" in found
    assert browser.execute_script("return document.querySelectorAll('.map a').length") == 3
    label = browser.execute_script("return document.querySelector('.card [role=img]').getAttribute('aria-label')")
    assert "temperature at John F. Kennedy" in label
    browser.execute_script("document.querySelector('.card a').click()")
    until(lambda: "Why this forecast" in text(browser))
    found = text(browser)
    for part in ("Temperature at John F. Kennedy", "temperature, recent", "seasonal naive", "All inputs are measured"):
        assert part in found
    until(lambda: browser.execute_script("return document.querySelectorAll('.chart canvas').length") == 1)


def test_another_target_is_chosen_for_all_stations(show: Show, server: Server, browser: "webdriver.Chrome") -> None:
    made = manifest(3, target="pressure")
    own = msgspec.structs.replace(made.feed, stations=tuple(StationInfo(each, each, "UTC") for each in STATIONS))
    version = release.write(server.home, msgspec.structs.replace(made, feed=own), {"model.onnx": graph()})
    release.promote(server.home, "noaa", "pressure", version)
    declare(server.home, FULL_NAMES, ["temperature", "pressure"])
    until(lambda: len(httpx.get(f"{server.url}/v1/feeds").json()[0]["targets"]) == 2)
    show()
    chosen = "document.querySelector('.choice [aria-current]')"
    assert browser.execute_script(f"return {chosen}.innerText") == "temperature"
    browser.execute_script("const link = document.querySelector('#choice-noaa-pressure'); link.focus(); link.click()")
    until(lambda: browser.execute_script(f"return {chosen}?.innerText") == "pressure")
    until(lambda: "Pressure 1,0" in text(browser) and "hPa" in text(browser))
    assert browser.execute_script("return document.activeElement.id") == "choice-noaa-pressure"
    assert browser.execute_script("return document.querySelector('nav [aria-current]').innerText") == "Stations"
    browser.execute_script("document.querySelector('.card a').click()")
    until(lambda: "Why this forecast" in text(browser))
    assert "Pressure at" in text(browser)


def test_loop_and_data_say_why(show: Show, browser: "webdriver.Chrome") -> None:
    show("#/loop")
    until(lambda: "drift lasts" in text(browser))
    browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    found = text(browser)
    for part in (
        "3 days of the new regime are needed",
        "errors are 2.4 times",
        "0.002",
        "served before",
        "led to nothing better; why: drift temperature",
        "0003-00000003 errs 4 % less than 0002-00000002 on 120 outcomes",
        "aerocast rollback",
    ):
        assert part in found
    show("#/data")
    until(lambda: "silent" in text(browser))
    browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    for part in (
        "1 station of 3 silent",
        "outside its physical range",
        "windspeed is 1048.36 mph",
        "the same value in 24 steps",
    ):
        assert part in text(browser)


def test_texts_of_home_are_texts(show: Show, browser: "webdriver.Chrome") -> None:
    show()
    until(lambda: HOSTILE in text(browser))
    assert browser.execute_script("return document.querySelectorAll('#content img').length") == 0
    assert "caught" not in browser.title


def test_keyboard_reaches_a_station_and_its_horizons(show: Show, browser: "webdriver.Chrome") -> None:
    from selenium.webdriver import Keys

    show()
    until(lambda: "John F. Kennedy" in text(browser))
    focus = "const own = document.activeElement; return own.getAttribute('href') ?? own.id ?? ''"
    press(browser, Keys.TAB)
    assert browser.execute_script(focus) == "#content", "the first stop skips what is the same on each page"
    press(browser, Keys.ENTER)
    for _ in range(12):
        press(browser, Keys.TAB)
        if browser.execute_script("return Boolean(document.activeElement.closest('.card'))"):
            break
    assert str(browser.execute_script(focus)).startswith("#/station/noaa/")
    press(browser, Keys.ENTER)
    until(lambda: "Why this forecast" in text(browser))
    assert browser.execute_script(focus) == "content", "a new page is read from its beginning"
    browser.execute_script("document.querySelector('#horizon').focus()")
    before = text(browser)
    press(browser, Keys.HOME)
    until(lambda: text(browser) != before)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_pages_fit_and_have_no_serious_fault(show: Show, browser: "webdriver.Chrome", width: int, mode: str) -> None:
    for route in ROUTES:
        show(route, width, mode)
        browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
        own = browser.execute_script("return document.documentElement.scrollWidth")
        assert own <= width, f"{route} is wider than the screen"
        if AXE.exists():
            assert faults(browser) == [], route


def faults(browser: "webdriver.Chrome") -> list[tuple[str, str]]:
    """What axe calls serious or critical, with the first place."""
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = browser.execute_async_script(
        "const done = arguments[0]; axe.run(document).then(each => done(each.violations))"
    )
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")]


def test_nothing_comes_from_elsewhere(show: Show, server: Server, browser: "webdriver.Chrome") -> None:
    for route in ROUTES:
        show(route)
        names = browser.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
        assert names
        assert [name for name in names if not name.startswith((f"{server.url}/", "data:"))] == []
    told = [line["message"] for line in browser.get_log("browser")]
    assert [each for each in told if "/v1/events" not in each] == [], "nor is anything refused by the policy"


def test_new_reading_appears_without_reload(show: Show, tmp_path: Path, browser: "webdriver.Chrome") -> None:
    # Without the clock only an event of the server's can tell.
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": "window.setInterval = () => 0"})
    show()
    until(lambda: browser.execute_script("return document.querySelector('#status').innerText").endswith("live"))
    until(lambda: "John F. Kennedy" in text(browser))
    browser.execute_script("window.same = true; document.querySelector('.card summary').click()")
    before = browser.execute_script("return document.querySelector('.card .newest').innerText")
    newest = days("JFK", newest=NEWEST + np.timedelta64(1, "h"))
    write_tail(tmp_path / "served", JFK=newest, LGA=days("LGA"), EWR=days("EWR"))
    until(lambda: browser.execute_script("return document.querySelector('.card .newest').innerText") != before)
    assert browser.execute_script("return window.same && document.querySelector('.card details').open"), (
        "what was open is"
    )


def test_alert_appears_without_reload_and_goes(show: Show, server: Server, browser: "webdriver.Chrome") -> None:
    show()
    until(lambda: "EWR is silent" in text(browser))
    until(lambda: "live" in str(browser.execute_script("return document.querySelector('#status').innerText")))
    browser.execute_script("window.marked = true")
    document, sentence = alarms.document(server.home, "platform"), f"noaa/raw: {HOSTILE}"
    condition = alarms.Condition("check_failed", sentence, feed="noaa", check="noaa/raw:all_read")

    def judge(*conditions: alarms.Condition) -> None:
        state = document.read()
        assert state
        document.write(alarms.observe(state, "platform", alarms.Judgement(conditions), datetime.now(UTC)))

    judge(condition)
    until(lambda: sentence in text(browser))
    assert "EWR is silent" not in text(browser)
    judge()
    until(lambda: "Needs attention" not in text(browser))
    assert browser.execute_script("return window.marked")
    show("#/loop")
    until(lambda: sentence in text(browser) and "EWR is silent" in text(browser))


def test_page_asks_for_token_where_reading_needs_one(tmp_path: Path, browser: "webdriver.Chrome") -> None:
    place = tmp_path / "served"
    place.mkdir()
    populate(place)
    arguments = ("--host", "0.0.0.0", "--poll-seconds", "0.1")
    with Server(place, arguments, {"AEROCAST_TOKEN": TOKEN}) as started:
        port = started.url.rpartition(":")[2]
        browser.get(f"http://anybody:{TOKEN}@127.0.0.1:{port}/")  # what a person types into the browser's question
        browser.get(f"http://127.0.0.1:{port}/")  # the browser remembers it
        until(lambda: "John F. Kennedy" in text(browser))
        until(lambda: browser.execute_script("return document.querySelector('#status').innerText").endswith("live"))
