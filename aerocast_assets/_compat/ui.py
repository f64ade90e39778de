"""Runs `dagster dev` with a UI that takes nothing from pages of other origins: `python -m aerocast_assets._compat.ui`.

Dagster's webserver has no access control, takes mutations by GET and WebSockets of any origin. It offers no place for
a middleware, so the functions by which `dagster dev` starts it, and by which it makes its application, are replaced.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from aerocast.common.origins import is_known_host, is_own_origin
from aerocast.storage.settings import Settings

MODULE = "aerocast_assets._compat.ui"
WEBSERVER = "webserver"  # the first argument of the process that `dagster dev` starts


class OwnPages:
    """An ASGI application that refuses what another host's name or another origin's page asks of `app`."""

    def __init__(self, app: Any, names: frozenset[str] = frozenset()) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or self._is_own(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"A page of another origin must not use this server.\n"})

    def _is_own(self, scope: dict[str, Any]) -> bool:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        # An <img> sends no origin; GraphQL by GET is nobody's need here.
        by_get = scope.get("method") == "GET" and "graphql" in scope["path"] and scope["query_string"]
        is_own = is_own_origin(headers.get(b"origin"), host, self._names)
        return is_known_host(host, self._names) and is_own and not by_get


def main(arguments: Sequence[str]) -> None:
    """Runs `dagster dev` with these arguments; after WEBSERVER, the webserver that it starts."""
    if arguments[:1] == [WEBSERVER]:
        cli: Any = import_module("dagster_webserver.cli")
        create, names = cli.create_app_from_workspace_process_context, Settings().host_names
        cli.create_app_from_workspace_process_context = lambda *own, **more: OwnPages(create(*own, **more), names)
        sys.argv = ["dagster-webserver", *arguments[1:]]
        cli.main()
        return
    dev: Any = import_module("dagster._cli.dev")
    start = dev.open_ipc_subprocess

    def start_guarded(parts: Sequence[str], **options: Any) -> Any:
        at = parts.index("dagster_webserver") if "dagster_webserver" in parts else None
        return start(parts if at is None else [*parts[:at], MODULE, WEBSERVER, *parts[at + 1 :]], **options)

    dev.open_ipc_subprocess = start_guarded
    sys.argv = ["dagster", "dev", *arguments]
    import_module("dagster._cli").main()


if __name__ == "__main__":
    main(sys.argv[1:])
