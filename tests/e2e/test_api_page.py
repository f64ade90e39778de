"""The API's page in a browser: what it fills in works as it stands, with several feeds and a token, in the dark too."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from aerocast.contracts import declared
from serving import pages
from tests.factories.feeds import small_feed
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.server import Server
from tests.harness.waits import until

if TYPE_CHECKING:
    from selenium import webdriver

TOKEN = "the token of the tests"
# What a person does: click, and read what is there; of an endpoint its method, its path and the answer's status.
CLICK = "document.querySelector(arguments[0]).click()"
COUNT = "return document.querySelectorAll(arguments[0]).length"
READ = """const box = document.querySelectorAll('.opblock')[arguments[0]];
const text = name => box.querySelector(name).textContent.replace(/\\u200b/g, '');
return [text('.opblock-summary-method'), text('.opblock-summary-path'),
  box.querySelector('.live-responses-table tbody .response-col_status')?.innerText.trim() ?? ''];"""
STEP = "document.querySelectorAll('.opblock')[arguments[0]].querySelector(arguments[1])?.click()"
TYPE = """const field = document.querySelector('.auth-container input');
Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, arguments[0]);
field.dispatchEvent(new Event('input', {bubbles: true}));"""


pytestmark = pytest.mark.skipif(not pages.is_built(), reason="the pages are not built: `make setup` does it")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    place = tmp_path / "served"
    place.mkdir()
    publish(place, 1)
    publish(place, 2, target="pressure")
    publish(place, 3, feed="midwest")
    for feed in ("noaa", "midwest"):
        write_tail(place, feed)
    declared.publish(place, small_feed(place))
    picture = place / "reports/noaa/temperature/drift.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"no picture, but for the browser to say")
    with Server(place, settings={"AEROCAST_TOKEN": TOKEN}) as started:
        yield started


def click(browser: "webdriver.Chrome", selector: str) -> None:
    until(lambda: browser.execute_script(COUNT, selector), what=selector)
    browser.execute_script(CLICK, selector)


def answer_of(browser: "webdriver.Chrome", number: int) -> tuple[str, str]:
    """An endpoint as it is filled in, sent: its name and the status of its answer."""
    browser.execute_script(STEP, number, ".opblock-summary-control")
    for selector in (".try-out__btn", ".btn.execute"):
        click(browser, f".opblock.is-open {selector}")
    until(lambda: browser.execute_script(READ, number)[2], what=f"the answer of endpoint {number}")
    method, path, status = browser.execute_script(READ, number)
    browser.execute_script(STEP, number, ".opblock-summary-control")
    until(lambda: not browser.execute_script(COUNT, ".opblock.is-open"))
    return f"{method} {path}", status


def test_prefilled_requests_of_page_work(server: Server, browser: "webdriver.Chrome") -> None:
    browser.set_script_timeout(120)
    browser.get(f"{server.url}/docs")
    until(lambda: browser.current_url == f"{server.url}/schema")
    document = httpx.get(f"{server.url}/schema/openapi.json").json()
    paths = document["paths"].items()
    operations = {f"{method.upper()} {path}": each for path, own in paths for method, each in own.items()}
    until(lambda: browser.execute_script(COUNT, ".opblock") == len(operations))
    click(browser, ".btn.authorize")
    until(lambda: browser.execute_script(COUNT, ".auth-container input"))
    browser.execute_script(TYPE, TOKEN)
    click(browser, ".btn.modal-btn.auth.authorize")
    click(browser, ".btn.modal-btn.auth.btn-done")
    names = [" ".join(browser.execute_script(READ, number)[:2]) for number in range(len(operations))]
    streams = {name for name in names if "text/event-stream" in str(operations[name]["responses"])}
    answers = dict(answer_of(browser, number) for number, name in enumerate(names) if name not in streams)
    assert answers.keys() == operations.keys() - streams, "a stream has no end to wait for"
    assert {name: status for name, status in answers.items() if "/reports/" not in name and status[0] != "2"} == {}
    assert [line for line in browser.get_log("browser") if "404" not in line["message"]] == []


def test_page_follows_dark_mode(server: Server, browser: "webdriver.Chrome") -> None:
    browser.get(f"{server.url}/schema")
    until(lambda: browser.execute_script(COUNT, ".opblock"))
    light = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    until(lambda: browser.execute_script("return getComputedStyle(document.body).backgroundColor") != light)
    title = browser.execute_script("return getComputedStyle(document.querySelector('h1')).color")
    assert all(int(part) > 150 for part in re.findall(r"\d+", title)[:3]), f"{title} on black"
