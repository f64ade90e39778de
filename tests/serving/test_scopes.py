"""Tokens of the home over HTTP: what each scope may, and changes that a running server takes up."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from aerocast.contracts import declared, requests, tokens
from aerocast.contracts.tokens import SCOPES, Scope
from serving.access import check
from serving.app import create_app
from serving.clients import Access, Clients
from serving.routes import SCOPES as OF_ENDPOINTS
from tests.factories.feeds import small_feed
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.problems import problem_of
from tests.harness.server import Server
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
NOW = datetime.now(UTC)
READING = {"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": 1.0}
# Method, path, body and the scope that it needs.
ASKED: list[tuple[str, str, Any, Scope | None]] = [
    ("GET", "/health", None, None),
    ("GET", "/v1/health", None, None),
    *(
        ("GET", path, None, "read")
        for path in ("/v1/feeds", "/feeds", "/v1/models", "/metrics", "/schema/openapi.yaml")
    ),
    *(("GET", path, None, "read") for path in ("/schema", "/schema/openapi.json", "/v1/routine-retrain-check")),
    ("HEAD", "/v1/feeds", None, "read"),
    ("GET", "/v1/predictions/JFK", None, "read"),
    ("POST", "/v1/predict", {"station": "JFK"}, "read"),
    ("POST", "/predict", {"station": "JFK"}, "read"),
    ("POST", "/v1/predict/batch", [{"station": "JFK"}], "read"),
    ("POST", "/v1/observations/small", READING, "write"),
    ("POST", "/observations/small", READING, "write"),
    ("POST", "/v1/eval", {"predicted": 40.0, "actual": 41.0}, "write"),
    ("POST", "/v1/routine-retrain-check", {"force": True}, "admin"),
    ("POST", "/routine-retrain-check", {}, "admin"),
]


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish(tmp_path)
    write_tail(tmp_path)
    declared.publish(tmp_path, small_feed(tmp_path))
    return tmp_path


@pytest.fixture
def elsewhere(home: Path, serve: Start) -> Iterator[httpx.Client]:
    """A client of a server that listens beyond loopback."""
    server, _ = serve("--host", "0.0.0.0", "--poll-seconds", "0.05")
    with httpx.Client(base_url=server.url.replace("0.0.0.0", "127.0.0.1"), timeout=60) as http:
        yield http


def test_each_endpoint_needs_its_scope_beyond_loopback(home: Path, elsewhere: httpx.Client) -> None:
    secrets = {scope: tokens.create(home, scope, NOW)[1] for scope in SCOPES}
    until(lambda: elsewhere.get("/v1/feeds", headers=bearer(secrets["admin"])).status_code == 200)
    for method, path, body, scope in ASKED:
        bare = elsewhere.request(method, path, json=body)
        assert bare.status_code == (200 if scope is None else 401), path
        for own, secret in secrets.items():
            answer = elsewhere.request(method, path, json=body, headers=bearer(secret))
            may = scope is None or SCOPES.index(scope) <= SCOPES.index(own)
            assert answer.status_code in ((200, 202) if may else (403,)), (path, own)
            if not may:
                assert problem_of(answer, 403, "insufficient-scope")["rule"] == f"a token of scope {scope}"
                assert f'error="insufficient_scope", scope="{scope}"' in answer.headers["www-authenticate"]


def test_health_tells_strangers_its_status_alone(home: Path, elsewhere: httpx.Client) -> None:
    (home / tokens.FILE).write_text("{")
    until(lambda: elsewhere.get("/health").json()["status"] == "degraded")
    own = elsewhere.get("/health")
    assert own.status_code == 200
    assert str(home) not in own.text
    assert [own.json()[name] for name in ("errors", "left_out", "releases")] == [[], [], []]
    (home / tokens.FILE).unlink()
    _, secret = tokens.create(home, "read", NOW)
    until(lambda: elsewhere.get("/health", headers=bearer(secret)).json()["releases"])


def test_without_token_answer_says_how_to_send_one(elsewhere: httpx.Client) -> None:
    bare, wrong = elsewhere.get("/v1/feeds"), elsewhere.get("/v1/feeds", headers=bearer("other"))
    assert problem_of(bare, 401, "unauthorized")["field"] == "Authorization"
    assert bare.headers["www-authenticate"] == 'Bearer realm="aerocast"'
    assert wrong.headers["www-authenticate"] == 'Bearer realm="aerocast", error="invalid_token"'
    assert "other" not in wrong.text


def test_browser_may_send_token_as_password(home: Path, elsewhere: httpx.Client) -> None:
    _, secret = tokens.create(home, "read", NOW)
    page = elsewhere.get("/schema", headers={"accept": "text/html,*/*"})
    assert 'Basic realm="aerocast"' in page.headers["www-authenticate"]
    until(lambda: elsewhere.get("/schema", auth=("anybody", secret)).status_code == 200)
    assert elsewhere.get("/schema", auth=("anybody", "other")).status_code == 401
    odd = ("Basic !", "Basic", "Basic AAA", "Basic Og==", f"Digest {secret}", secret, f"Bearer  {secret} x", "\xff")
    for sent in odd:
        answer = elsewhere.get("/schema", headers={"authorization": sent.encode("latin-1")})
        assert answer.status_code == 401, sent


def test_loopback_reads_without_token_and_writes_with_it(home: Path, serve: Start) -> None:
    _, http = serve()
    assert http.post("/v1/eval", json={"predicted": 40.0, "actual": 41.0}).status_code == 200
    _, secret = tokens.create(home, "write", NOW)
    until(lambda: http.post("/v1/eval", json={"predicted": 40.0, "actual": 41.0}).status_code == 401)
    for method, path, body, scope in ASKED:
        answer = http.request(method, path, json=body)
        assert answer.status_code in ((200, 202) if scope in (None, "read") else (401,)), path
    assert http.post("/v1/observations/small", json=READING, headers=bearer(secret)).status_code == 202
    assert http.post("/v1/routine-retrain-check", headers=bearer(secret)).status_code == 403
    assert requests.open_requests(home, "noaa") == {}


def test_running_server_takes_changes_up(home: Path, elsewhere: httpx.Client) -> None:
    token, secret = tokens.create(home, "read", NOW)
    until(lambda: elsewhere.get("/v1/feeds", headers=bearer(secret)).status_code == 200)
    tokens.revoke(home, token.name)
    until(lambda: elsewhere.get("/v1/feeds", headers=bearer(secret)).status_code == 401)


def test_damaged_list_opens_nothing(home: Path, serve: Start) -> None:
    """On loopback, too: before it was damaged it may have held a token."""
    (home / tokens.FILE).write_text("{")
    _, http = serve()
    assert http.post("/v1/eval", json={"predicted": 40.0, "actual": 41.0}).status_code == 401
    assert tokens.FILE in [each["file"] for each in http.get("/health").json()["left_out"]]
    assert "aerocast_files_left_out 1.0" in http.get("/metrics").text


def test_expired_token_is_none(tmp_path: Path) -> None:
    _, old = tokens.create(tmp_path, "admin", NOW, expires_at=NOW - timedelta(seconds=1))
    _, new = tokens.create(tmp_path, "admin", NOW, expires_at=NOW + timedelta(days=1))
    clients = Clients(tmp_path, Access(local=False))
    assert clients.identify(f"Bearer {new}").scope is None, "nothing is open before the home was looked at"
    clients.look()
    assert [clients.identify(f"Bearer {each}").scope for each in (old, new)] == [None, "admin"]


def test_nothing_is_answered_without_check(tmp_path: Path) -> None:
    """Not by a route of another kind, by a handler with a hook of its own, or from Litestar's response cache."""
    routes = create_app(tmp_path, 0.5, None).routes
    assert {type(route) for route in routes} == {HTTPRoute}
    handlers = [each for route in routes if isinstance(route, HTTPRoute) for each in route.route_handlers]
    assert len(handlers) > 20
    for handler in handlers:
        assert handler.resolve_before_request() is check
        assert not handler.cache
        if not handler.http_methods & {"GET", "HEAD", "OPTIONS"}:
            assert handler.fn.__name__ in {each.fn.__name__ for each in OF_ENDPOINTS}, "it needs admin, by no decision"


@pytest.mark.parametrize(("local", "token", "free"), [(True, "", 3), (True, "x", 1), (False, "x", 0)])
def test_document_says_where_no_token_is_needed(tmp_path: Path, local: bool, token: str, free: int) -> None:
    with TestClient(create_app(tmp_path, 0.5, None, Access(token, local)), base_url="http://127.0.0.1") as client:
        headers = {"Authorization": f"Bearer {token}"}
        paths = client.get("/schema/openapi.json", headers=headers).json()["paths"]
    asked = [("get", "/v1/feeds"), ("post", "/v1/observations/{feed}"), ("post", "/v1/routine-retrain-check")]
    assert sum({} in paths[path][method]["security"] for method, path in asked) == free


def test_document_names_scopes(http: httpx.Client) -> None:
    document = http.get("/schema/openapi.json").json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    needed = {
        (method, path): operation.get("security", [{"token": [None]}])[0]["token"][0]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert {key for key, scope in needed.items() if scope != "read"} == {
        ("get", "/health"),
        ("post", "/v1/observations/{feed}"),
        ("post", "/v1/eval"),
        ("post", "/v1/routine-retrain-check"),
    }
