"""The UI takes nothing from pages of other origins, by any of the ways in which a page can send without asking."""

import asyncio
from typing import Any

import pytest

from aerocast_assets._compat.ui import OwnPages

OWN = {"host": "127.0.0.1:3000"}


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def answer(kind: str, method: str, path: str, headers: dict[str, str]) -> Any:
    """The status of what is answered; the code by which a WebSocket is refused."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    place, _, query = path.partition("?")
    scope = {"type": kind, "path": place, "query_string": query.encode()}
    scope |= {"method": method} if kind == "http" else {}
    scope |= {"headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(OwnPages(application, frozenset({"ui.example"}))(scope, None, send))
    return sent[0].get("status") or sent[0]["code"]


@pytest.mark.parametrize(
    ("kind", "method", "path", "headers", "expected"),
    [
        ("http", "GET", "/runs", OWN, 200),
        ("http", "POST", "/graphql", OWN, 200),
        ("http", "POST", "/graphql", OWN | {"origin": "http://127.0.0.1:3000"}, 200),
        ("http", "POST", "/graphql", {"host": "127.0.0.1:3000", "origin": "https://ui.example"}, 200),
        ("http", "GET", "/runs", {"host": "ui.example"}, 200),
        ("websocket", "GET", "/graphql", OWN | {"origin": "http://127.0.0.1:3000"}, 200),
        ("http", "GET", "/runs", {"host": "evil.example"}, 403),
        ("http", "POST", "/graphql", OWN | {"origin": "http://evil.example"}, 403),
        ("http", "POST", "/graphql", OWN | {"origin": "null"}, 403),
        ("http", "GET", "/graphql?query=mutation{wipe}", OWN, 403),
        ("websocket", "GET", "/graphql", OWN | {"origin": "http://evil.example"}, 1008),
    ],
)
def test_only_own_pages_are_answered(kind: str, method: str, path: str, headers: dict[str, str], expected: int) -> None:
    assert answer(kind, method, path, headers) == expected
