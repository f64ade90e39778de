"""Names in addresses and bodies that mean something to others: a problem document, and nothing else, comes of them."""

import json
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories.odd_texts import ODD, odd_texts
from tests.harness.server import Server

names = odd_texts.filter(lambda text: text not in ("", ".", ".."))
PATHS = (
    "/v1/predictions/{}",
    "/v1/predictions/{}/history",
    "/v1/predictions/JFK/history?feed={}",
    "/v1/predictions/JFK/history?cursor={}",
    "/v1/predictions/JFK/history?from={}",
    "/v1/predictions/JFK?target={}",
    "/v1/models?feed={}",
    "/v1/anomalies?feed={}",
    "/v1/anomalies?station={}",
    "/v1/routine-retrain-check?feed={}",
    "/v1/reports/{}/temperature/drift.png",
    "/v1/reports/noaa/temperature/{}",
    "/schema/{}",
)
BODIES = ("station", "feed", "target", "time")


def is_safe(answer: httpx.Response) -> None:
    """A problem or data, never a page, with no header field of a client's, and nothing of the machine's."""
    assert answer.status_code < 500, answer.text
    assert answer.headers["content-type"].partition(";")[0] in ("application/problem+json", "application/json")
    assert "x-forged" not in answer.headers
    assert "root:" not in answer.text
    if answer.status_code >= 400:
        assert json.loads(answer.text)["status"] == answer.status_code


@given(st.sampled_from(PATHS), names)
def test_odd_name_in_address_is_only_a_name(http: httpx.Client, path: str, name: str) -> None:
    is_safe(http.get(path.format(quote(name, safe=""))))


@given(st.sampled_from(BODIES), names)
def test_odd_name_in_body_is_only_a_name(http: httpx.Client, field: str, name: str) -> None:
    answer = http.post("/v1/predict", json={"station": "JFK", field: name})
    is_safe(answer)
    assert str(8191 * 8209) not in answer.text, "no template is computed"


@pytest.mark.parametrize("text", ODD)
def test_odd_feed_of_post_is_unknown(http: httpx.Client, text: str) -> None:
    answer = http.post(f"/v1/observations/{quote(text, safe='')}", content=b"{}")
    is_safe(answer)
    assert answer.status_code == 404


def test_log_of_server_has_a_line_a_record(shared_server: Server, http: httpx.Client) -> None:
    """Also after all that is odd was asked: nothing that a client sends begins a line, or reaches a terminal."""
    for text in ODD:
        http.get(f"/v1/predictions/{quote(text, safe='')}")
        http.post("/v1/predict", json={"station": text})
        http.get("/v1/feeds", headers={"authorization": f"Bearer {quote(text)}", "user-agent": quote(text)})
    assert not [line for line in shared_server.log if "forged" in line or "\x1b" in line]


def test_files_of_home_are_not_answered(shared_server: Server, http: httpx.Client) -> None:
    place = Path(str(shared_server.home))
    (place / "reports").mkdir(exist_ok=True)
    for name in ("secret.png", "reports/secret.png"):
        (place / name).write_text("a text of the home")
        for path in (f"/v1/reports/..%2f/x/{name}", f"/v1/reports/noaa/..%2f../{quote(name, safe='')}", f"/{name}"):
            answer = http.get(path)
            assert answer.status_code in (400, 404), path
            assert "a text of" not in answer.text
