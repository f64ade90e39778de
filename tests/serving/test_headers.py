"""Header fields of every answer, whoever gives it: Litestar, the connection, an error, HEAD."""

import asyncio
import socket
from typing import Any

import httpx
import pytest

from serving.headers import FIELDS, secured
from tests.harness.server import Server, end_request

ALL = {name.decode(): value.decode() for name, value in FIELDS}
ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/health", {}),
    ("HEAD", "/v1/feeds", {}),
    ("GET", "/metrics", {}),
    ("OPTIONS", "/v1/feeds", {}),
    ("GET", "/schema/openapi.json", {}),
    ("GET", "/nothing", {}),
    ("GET", "/v1/reports/noaa/temperature/none.png", {}),
    ("DELETE", "/v1/feeds", {}),
    ("GET", "/health", {"headers": {"host": "evil.example"}}),
    ("POST", "/v1/predict", {"json": {"station": "JFK"}}),
    ("POST", "/v1/predict", {"content": b"{"}),
    ("POST", "/v1/predict", {"content": b"x" * 300_000}),
    ("POST", "/v1/eval", {"json": {}, "headers": {"origin": "http://evil.example"}}),
    ("POST", "/v1/predict/batch", {"json": [{"station": "JFK"}]}),
]


@pytest.mark.parametrize(("method", "path", "options"), ASKED)
def test_answer_has_every_field_once(http: httpx.Client, method: str, path: str, options: dict[str, Any]) -> None:
    answer = http.request(method, path, **options)
    assert {name: answer.headers.get_list(name) for name in ALL} == {name: [value] for name, value in ALL.items()}


def test_answer_of_connection_itself_has_them(shared_server: Server) -> None:
    """What is no HTTP never reaches the application."""
    host, port = shared_server.url.removeprefix("http://").split(":")
    for sent in (b"HELLO\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: " + b"x" * 40_000 + b"\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(sent)
            end_request(client)
            head = b"".join(iter(lambda own=client: own.recv(1 << 16), b"")).partition(b"\r\n\r\n")[0].decode()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        assert {name: fields.get(name) for name in ALL} == ALL


def test_page_runs_its_own_scripts_only(http: httpx.Client) -> None:
    answer = http.get("/docs", follow_redirects=True)
    assert {name: len(answer.headers.get_list(name)) for name in ALL} == dict.fromkeys(ALL, 1)
    assert answer.headers["x-frame-options"] == "DENY"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert "unsafe" not in policy["script-src"]
    assert policy["frame-ancestors"] == "'none'"


def test_field_of_route_is_not_replaced() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    own = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", b"default-src 'self'")]
    asyncio.run(secured(send)({"type": "http.response.start", "status": 200, "headers": own}))
    names = [name for name, _ in sent[0]["headers"]]
    assert len(names) == len({*names}) == 1 + len(FIELDS)
    assert dict(sent[0]["headers"])[b"content-security-policy"] == b"default-src 'self'"
