"""What is asked of the server, and from where: each request is checked before it is answered (docs/security.md).

A browser sends for every page that it shows: so what names another host than this one, or comes from a page of another,
is refused. Which endpoint needs which scope is declared in `serving/routes.py`.
"""

import math
import time
from typing import Any, Literal

from litestar import Request

from aerocast.common.origins import is_known_host, is_own_origin
from aerocast.contracts.tokens import Scope
from serving.clients import Client, Clients
from serving.problems import problem
from serving.rates import Buckets, place_of

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
SCOPE = "scope"  # of a handler's `opt`
CLIENT = "client"  # of a connection's state
HttpRequest = Request[Any, Any, Any]


async def check(request: HttpRequest) -> None:
    """Before every request; notes who asks.

    Raises a problem: 421 for another host's name, 403 for a page of another host or a token of a lesser scope, 401
    without a token that is known, 429 of who asks too often. It is no guard of Litestar's, which copies the handler for
    each request and so takes as long as all of this.
    """
    clients: Clients = request.app.state.clients
    headers, method = request.headers, request.method
    _check_origin(headers.get("host", ""), headers.get("origin") if method not in SAFE_METHODS else None, clients)
    client = clients.identify(authorization := headers.get("authorization", ""))
    request.scope["state"][CLIENT] = client
    # What nobody has thought of writes, if its method does.
    opt = request.route_handler.opt
    scope: Scope | Literal["open"] = opt.get(SCOPE) or ("read" if method in SAFE_METHODS else "admin")
    _check_rate(clients.reads if scope in ("open", "read") else clients.writes, client, request.scope.get("client"))
    if scope == "open" or client.may(scope):
        return
    if client.scope is None or not client.name:
        raise _unauthorized(scope, authorization, clients, "text/html" in headers.get("accept", ""))
    detail = f"The token {client.name} has the scope {client.scope}, and this needs {scope}."
    challenge = {"www-authenticate": f'Bearer realm="aerocast", error="insufficient_scope", scope="{scope}"'}
    raise problem("insufficient-scope", detail, status=403, field="Authorization", value=client.scope,
                  rule=f"a token of scope {scope}", headers=challenge)  # fmt: skip


def client_of(request: HttpRequest) -> Client:
    """Who asks, as `check` noted it."""
    client: Client = request.scope["state"][CLIENT]
    return client


def is_own_page(request: HttpRequest) -> bool:
    """Whether no page of another origin sends a request that reads: browsers say so, programs say nothing."""
    return request.headers.get("sec-fetch-site", "none") in ("none", "same-origin") or request.method != "GET"


def _unauthorized(scope: Scope, authorization: str, clients: Clients, by_browser: bool) -> Exception:
    """A person who opens a page is asked by the browser: any user, and the token as password."""
    scheme = 'Bearer realm="aerocast"' + (', error="invalid_token"' if authorization else "")
    challenge = 'Basic realm="aerocast"' if by_browser else scheme  # browsers read one challenge a field
    why = "the token is unknown, revoked or expired" if authorization else "there is no token"
    detail = f"This needs the scope {scope}, and {why}: send the header Authorization: Bearer <token>."
    if not clients.has_tokens:
        detail += " The server knows of no token yet; `aerocast token create` makes one."
    rule, headers = f"Bearer <a token of scope {scope}>", {"www-authenticate": challenge}
    return problem("unauthorized", detail, status=401, field="Authorization", rule=rule, headers=headers)


def _check_rate(buckets: Buckets, client: Client, address: tuple[str, int] | None) -> None:
    """Raises a 429 problem. Who has no token is known by the address, also while guessing tokens."""
    name = f"token {client.name}" if client.name else place_of(address[0] if address else "")
    if buckets.most and (wait := buckets.take(name, time.monotonic())):
        detail, rule = f"One client may ask {buckets.most} times a minute.", f"at most {buckets.most} a minute"
        raise problem("too-many-requests", detail, status=429, field="request", rule=rule,
                      headers={"retry-after": str(math.ceil(wait))})  # fmt: skip


def _check_origin(host: str, origin: str | None, clients: Clients) -> None:
    """Raises a problem: 421 for another host's name, 403 for a page of another host."""
    access = clients.access
    if access.local and not is_known_host(host, access.hosts):
        detail = f"This server is not {host[:80]}; AEROCAST_HOSTS lists the names that it has besides loopback's."
        raise problem("unknown-host", detail, status=421, field="Host", value=host, rule="a name of this server")
    if not is_own_origin(origin, host, access.hosts):
        detail = "A page of another origin must not use this server; AEROCAST_HOSTS lists further names of its own."
        raise problem("cross-origin", detail, status=403, field="Origin", value=origin, rule="this server's own pages")
