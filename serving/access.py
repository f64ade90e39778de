"""Who may write: anybody on loopback, and with `AEROCAST_TOKEN` only who sends it; elsewhere never without a token."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from serving.problems import problem


@dataclass(frozen=True, slots=True)
class Access:
    """`token` is what writers must send, if there is one; `local`: bound to loopback."""

    token: str = ""
    local: bool = True


async def may_write(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """A guard of writing endpoints. Raises a problem: 401 for a wrong token, 403 where one is needed and none set.

    A coroutine: Litestar runs any other guard in a thread, which costs more than all the rest of a small request.
    """
    access: Access = connection.app.state.access
    if not access.token:
        if access.local:
            return
        detail = "This server listens beyond loopback and has no token: set AEROCAST_TOKEN to open what writes."
        raise problem("no-token-set", detail, status=403, field="Authorization", rule="a server with AEROCAST_TOKEN")
    authorization = connection.headers.get("authorization", "")
    if not hmac.compare_digest(authorization.encode(), f"Bearer {access.token}".encode()):
        detail = "This endpoint writes: send the header Authorization: Bearer <AEROCAST_TOKEN>."
        raise problem("unauthorized", detail, status=401, field="Authorization", rule="Bearer <AEROCAST_TOKEN>")
