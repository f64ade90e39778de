"""The API's page in a browser: what it fills in works as it stands, with several feeds and a token, in the dark too."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aerocast.contracts import declared
from tests.factories.feeds import small_feed
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.server import Server
from tests.harness.waits import until

if TYPE_CHECKING:
    from selenium import webdriver

TOKEN = "the token of the tests"
READ = """return [...document.querySelectorAll('details')].map(box => {
  const pre = box.querySelector('pre');
  return [box.querySelector('summary').innerText.replace(/\\s+/g, ' ').trim(), pre.textContent.split('\\n')[0]];
});"""
SEND = """for (const box of document.querySelectorAll('details')) { box.open = true;
  [...box.querySelectorAll('button')].find(button => button.textContent === 'Send').click(); }"""


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


def test_prefilled_requests_of_page_work(server: Server, browser: "webdriver.Chrome") -> None:
    browser.get(server.url)  # the bare address leads to the page
    until(lambda: len(browser.execute_script(READ)) == 17)
    assert browser.current_url == f"{server.url}/docs"
    until(lambda: "Status: ok" in browser.execute_script("return document.body.innerText"))
    browser.execute_script(f"document.querySelector('#token').value = '{TOKEN}'")
    browser.execute_script(SEND)
    until(lambda: all(status for _, status in browser.execute_script(READ)))
    found = dict(browser.execute_script(READ))
    pictures = [name for name in found if "/reports/" in name]
    assert {name: status for name, status in found.items() if name not in pictures and status[0] != "2"} == {}
    assert browser.execute_script("return document.body.innerText").count("midwest") > 5
    light = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") != light
    assert [line for line in browser.get_log("browser") if "404" not in line["message"]] == []
