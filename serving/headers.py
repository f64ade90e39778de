"""Header fields of every answer: what a browser must not do with it (docs/security.md).

They are added where the connection sends, so that no answer is without: not an error, nor one that Litestar never saw.
A route says by a field of its own that it needs another policy, as those of pages do (`serving/pages.py`).
"""

from collections.abc import Awaitable, Callable

from serving.heads import Message

Send = Callable[[Message], Awaitable[None]]

FIELDS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
]
# Dagster's pages, which are of another origin, show the pictures of reports.
SHOWN_ELSEWHERE = {"cross-origin-resource-policy": "cross-origin"}


def secured(send: Send) -> Send:
    """`send` with those of the fields that an answer has not already."""

    async def send_secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            fields = [*message.get("headers", ())]
            own = {name for name, _ in fields}
            message["headers"] = fields + [field for field in FIELDS if field[0] not in own]
        await send(message)

    return send_secured
