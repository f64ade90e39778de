"""Who may write: anybody on loopback, only a token's holder once there is one, nobody from elsewhere without one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.server import Server

Start = Callable[..., tuple[Server, httpx.Client]]
WRITES: dict[str, Any] = {"/eval": {"predicted": 40.0, "actual": 41.0}, "/routine-retrain-check": {}}
BEARER = {"authorization": "Bearer secret"}


def statuses(http: httpx.Client, headers: dict[str, Any] | None = None) -> list[int]:
    return [http.post(path, json=body, headers=headers or {}).status_code for path, body in WRITES.items()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish(tmp_path)
    write_tail(tmp_path)
    return tmp_path


def test_loopback_needs_no_token(home: Path, serve: Start) -> None:
    assert statuses(serve()[1]) == [200, 200]


def test_configured_token_is_required(home: Path, serve: Start) -> None:
    _, http = serve(TOKEN="secret")
    assert statuses(http) == statuses(http, {"authorization": "Bearer other"}) == [401, 401]
    problem = http.post("/eval", json=WRITES["/eval"]).json()
    assert (problem["type"], problem["field"]) == ("urn:aerocast:problem:unauthorized", "Authorization")
    assert "secret" not in str(problem)
    assert statuses(http, BEARER) == [200, 200]
    assert http.post("/predict", json={"station": "JFK"}).status_code == 200, "asking writes nothing of the asker's"
    assert http.get("/routine-retrain-check").status_code == 200


def test_other_address_without_token_tells_only_its_health(home: Path, serve: Start) -> None:
    server, _ = serve("--host", "0.0.0.0")
    with httpx.Client(base_url=server.url.replace("0.0.0.0", "127.0.0.1"), timeout=60) as http:
        assert statuses(http) == statuses(http, BEARER) == [401, 401]
        refused = http.post("/predict", json={"station": "JFK"})
        assert (refused.status_code, "aerocast token create" in refused.json()["detail"]) == (401, True)
        assert [http.get(path).status_code for path in ("/health", "/v1/health")] == [200, 200]
    assert [line for line in server.log if "WARNING beyond loopback all but /health needs a token" in line]


def test_other_address_with_token_accepts_writes(home: Path, serve: Start) -> None:
    server, _ = serve("--host", "0.0.0.0", TOKEN="secret")
    with httpx.Client(base_url=server.url.replace("0.0.0.0", "127.0.0.1"), timeout=60) as http:
        assert statuses(http) == [401, 401]
        assert statuses(http, BEARER) == [200, 200]


def test_token_of_any_characters_and_scheme_in_any_case(home: Path, serve: Start) -> None:
    _, http = serve(TOKEN="schlüssel €")
    for sent in ("bearer schlüssel €", "BEARER  schlüssel €"):
        assert statuses(http, {"authorization": sent.encode()}) == [200, 200]
    assert statuses(http, {"authorization": "Bearer schlüssel".encode("latin-1")}) == [401, 401]


def test_page_of_another_origin_writes_nothing(home: Path, serve: Start) -> None:
    _, http = serve()
    own = {"origin": str(http.base_url).rstrip("/")}
    for origin in ("http://evil.example", "null", "http://localhost:1", "http://127.0.0.1"):
        refused = http.post("/eval", json=WRITES["/eval"], headers={"origin": origin})
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:aerocast:problem:cross-origin"), origin
        assert http.post("/routine-retrain-check", headers={"origin": origin}).status_code == 403
    assert statuses(http, own) == [200, 200]


def test_other_host_name_is_refused_unless_declared(home: Path, serve: Start) -> None:
    """A name that somebody else lets lead here makes a page of theirs one of ours."""
    _, http = serve(HOSTS="forecasts.example,other.example")
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::"):
        refused = http.get("/health", headers={"host": host})
        assert (refused.status_code, refused.json()["field"]) == (421, "Host"), host
    for host in ("localhost:1", "127.0.0.1", "[::1]:8000", "Forecasts.example", "other.example:443"):
        assert http.get("/health", headers={"host": host}).status_code == 200, host
    proxied = {"host": "127.0.0.1:8000", "origin": "https://forecasts.example"}
    assert statuses(http, proxied) == [200, 200]
