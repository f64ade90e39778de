"""What a request can come to instead of an answer."""

from __future__ import annotations

from typing import Any

from aerocast.common.errors import AeroCastError


class ClientError(AeroCastError):
    """A request was not answered as it should be."""


class NoAnswer(ClientError):
    """No server was reached, it did not answer in time, or what answered is no AeroCast server."""


class RequestRefusal(ClientError):
    """The server understood, and said no: its problem document (RFC 9457).

    `type` is stable, for programs, and the message a sentence, for people. `field`, `value` and `rule` say which input
    broke which rule, `index` in which of many readings; each is None where the problem does not say.
    """

    def __init__(self, status: int, document: dict[str, Any], retry_after: float | None = None) -> None:
        super().__init__(str(document.get("detail") or f"status {status}"))
        self.status, self.document, self.retry_after = status, document, retry_after

    @property
    def type(self) -> str:
        return str(self.document.get("type", "about:blank"))

    @property
    def field(self) -> str | None:
        return self.document.get("field")

    @property
    def value(self) -> Any:
        return self.document.get("value")

    @property
    def rule(self) -> str | None:
        return self.document.get("rule")

    @property
    def index(self) -> int | None:
        return self.document.get("index")
