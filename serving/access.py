"""Who may write, and from where a request may come (docs/security.md).

Anybody on loopback may write, and with `AEROCAST_TOKEN` only who sends it; elsewhere nobody without a token. A browser
sends for every page that it shows: so what names another host than this one, or comes from a page of another, is
refused.
"""

import hmac
from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from aerocast.common.origins import is_known_host, is_own_origin
from serving.problems import problem

SCHEME = "token"  # in the API's document
WRITERS = [{SCHEME: list[str]()}]  # as a handler's `security`
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Access:
    """`token` is what writers must send, if there is one; `local`: bound to loopback.

    `hosts` are further names by which people reach the server, such as those of a proxy in front of it.
    """

    token: str = ""
    local: bool = True
    hosts: frozenset[str] = frozenset()

    def is_writer(self, authorization: str) -> bool:
        """Whether a request with this header field, empty without one, may write."""
        scheme, _, token = authorization.partition(" ")
        sent = token.strip().encode("latin-1", errors="replace")  # as it came, whatever its encoding
        return (
            scheme.lower() == "bearer" and hmac.compare_digest(sent, self.token.encode()) if self.token else self.local
        )


async def may_write(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """A guard of writing endpoints. Raises a problem: 401 for a wrong token, 403 where one is needed and none set.

    A coroutine: Litestar runs any other guard in a thread, which costs more than all the rest of a small request.
    """
    access: Access = connection.app.state.access
    if access.is_writer(connection.headers.get("authorization", "")):
        return
    if not access.token:
        detail = "This server listens beyond loopback and has no token: set AEROCAST_TOKEN to open what writes."
        raise problem("no-token-set", detail, status=403, field="Authorization", rule="a server with AEROCAST_TOKEN")
    detail = "This endpoint writes: send the header Authorization: Bearer <AEROCAST_TOKEN>."
    raise problem("unauthorized", detail, status=401, field="Authorization", rule="Bearer <AEROCAST_TOKEN>")


def is_own_page(request: Request[Any, Any, Any]) -> bool:
    """Whether no page of another origin sends a request that reads: browsers say so, programs say nothing."""
    return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin") or request.method != "GET"


async def check_origin(request: Request[Any, Any, Any]) -> None:
    """Before every request. Raises a problem: 421 for another host's name, 403 for a page of another host."""
    access: Access = request.app.state.access
    host = request.headers.get("host", "")
    if access.local and not is_known_host(host, access.hosts):
        detail = f"This server is not {host[:80]}; AEROCAST_HOSTS lists the names that it has besides loopback's."
        raise problem("unknown-host", detail, status=421, field="Host", value=host, rule="a name of this server")
    origin = request.headers.get("origin")
    if request.method in SAFE_METHODS or access.token:  # a page elsewhere does not know the token
        return
    if not is_own_origin(origin, host, access.hosts):
        detail = "A page of another origin must not use this server: it has no token, and so trusts who can reach it."
        raise problem("cross-origin", detail, status=403, field="Origin", value=origin, rule="this server's own pages")
