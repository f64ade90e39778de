"""HEAD on every path that knows GET: the same answer without its body.

What has no end looks for `is_head` in the scope, so as not to begin.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]


def answering_head(app: App) -> App:
    """The application, which gets a GET for each HEAD."""

    async def answer(
        scope: Message, receive: Callable[[], Awaitable[Any]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await app(scope, receive, send)
            return

        async def bare(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        await app({**scope, "method": "GET", "is_head": True}, receive, bare)

    return answer
