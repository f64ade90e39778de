"""A page of somebody else in the user's own browser: it reaches a server on loopback, and changes nothing there."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from aerocast.contracts import declared, requests
from tests.factories.feeds import small_feed
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.server import Server, logged_answers, metric
from tests.harness.waits import until

if TYPE_CHECKING:
    from selenium import webdriver

pytestmark = pytest.mark.e2e

# Every way in which a page may send without asking first.
PAGE = """<script>
const reading = '{"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": 1}', server = location.hash.slice(1);
const send = (path, body) => fetch(server + path, {method: 'POST', mode: 'no-cors', body}).catch(() => 0);
const all = [
  send('/observations/small', new Blob([reading])), send('/observations/small', reading),
  send('/eval', new Blob(['{"predicted": 40, "actual": 41}'])), send('/routine-retrain-check', new Blob([])),
  send('/routine-retrain-check', new Blob(['{"force": true}'])), send('/predict', new Blob(['{"station": "JFK"}'])),
];
navigator.sendBeacon(server + '/observations/small', new Blob([reading]));
navigator.sendBeacon(server + '/routine-retrain-check');
Promise.all(all).then(() => document.title = 'sent');
</script>"""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """The address of the page, at another port than the server's."""
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "index.html").write_text(PAGE)
    pages = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{pages.server_port}/"
    pages.shutdown()
    pages.server_close()


def test_hostile_page_changes_nothing(home: Path, page: str, browser: "webdriver.Chrome") -> None:
    publish(home)
    write_tail(home)
    declared.publish(home, small_feed(home))
    with Server(home, settings={"AEROCAST_LOG_SECONDS": "0.1"}) as server, httpx.Client(base_url=server.url) as http:
        browser.get(f"{page}#{server.url}")
        until(lambda: browser.title == "sent" and metric(http, 'aerocast_problems_total{status="403"}') == 8)
        assert "aerocast_observations_total" not in http.get("/metrics").text or not metric(
            http, 'aerocast_observations_total{feed="small"}'
        )
        assert requests.open_requests(home, "noaa") == {}
        assert http.post("/eval", json={"predicted": 40.0, "actual": 41.0}).json()["n"] == 1
    assert logged_answers(home) == []
