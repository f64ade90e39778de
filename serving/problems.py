"""Errors as RFC 9457 problem details: every 4xx names the field, the value and the rule that it broke."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.plugins.problem_details import ProblemDetailsConfig, ProblemDetailsException, ProblemDetailsPlugin
from msgspec import UNSET
from prometheus_client import Counter

log = logging.getLogger("aerocast.serving")

LONGEST_VALUE, LONGEST_TEXT = 80, 1000
MAX_BODY = 256 * 1024
_SENTENCES = {
    404: "There is nothing at this path; /schema lists the endpoints.",
    405: "This path does not support this method; the Allow header lists those it supports.",
}


def problem(
    slug: str,
    detail: str,
    *,
    status: int = 422,
    field: str | None = None,
    value: object = UNSET,
    rule: str | None = None,
    index: int | None = None,
    headers: dict[str, str] | None = None,
) -> ProblemDetailsException:
    """The exception to raise. `slug` is stable, for programs; `detail` is a sentence, for people.

    `index` is the place of what is wrong, convert_and_count from 0, in a body that holds many.
    """
    extra: dict[str, Any] = {}
    if field is not None:
        extra = {"field": _sendable(field), "rule": _sendable(rule or detail)}
        extra |= {} if value is UNSET else {"value": as_sent(value)}
    if index is not None:
        extra["index"] = index
    return ProblemDetailsException(
        detail=_sendable(detail),
        status_code=status,
        title=slug.replace("-", " ").capitalize(),
        type_=f"urn:aerocast:problem:{slug}",
        extra=extra,
        headers=headers,
    )


def invalid(field: str, value: object, rule: str, detail: str = "", status: int = 422) -> ProblemDetailsException:
    """The problem for a field, or with status 400 a parameter, that breaks a rule."""
    detail = detail or f"{field}: {rule}."
    return problem("invalid-field", detail, status=status, field=field, value=value, rule=rule)


def too_large(most: int, size: object = UNSET) -> ProblemDetailsException:
    """The problem for a body of more than `most` bytes."""
    rule, detail = f"at most {most} bytes", f"The body is larger than {most} bytes."
    return problem("request-entity-too-large", detail, status=413, field="body", value=size, rule=rule)


def as_sent(value: object) -> object:
    """The value as it was sent; a long one is cut to text, for an answer must not carry a megabyte back."""
    if value is None or isinstance(value, bool | int | float):
        return value if len(repr(value)) <= LONGEST_VALUE else repr(value)[:LONGEST_VALUE] + "..."
    text = _sendable(value if isinstance(value, str) else repr(value))
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "..."


def _sendable(text: str) -> str:
    """Half a character, which JSON's escapes can name and UTF-8 cannot hold, is shown as that escape.

    A long text is cut: an answer must not carry a body back.
    """
    text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
    return text.encode(errors="backslashreplace").decode()


def _from_http(error: HTTPException) -> ProblemDetailsException:
    """Litestar's own errors (404, 405, 413, query parameters) in the same form."""
    phrase, headers = HTTPStatus(error.status_code).phrase, error.headers
    if headers and "GET" in headers.get("allow", ""):
        headers = {"allow": f"{headers['allow']}, HEAD"}
    extra: dict[str, Any] = {}
    first = error.extra[0] if isinstance(error.extra, list) and error.extra else None
    if isinstance(first, dict) and "key" in first:
        rule = str(first.get("message", error.detail)).replace("`", "")
        extra = {"field": _sendable(str(first["key"])), "rule": _sendable(rule)}
    return ProblemDetailsException(
        detail=_SENTENCES.get(error.status_code) or _sendable(error.detail),
        status_code=error.status_code,
        title=phrase,
        type_=f"urn:aerocast:problem:{phrase.lower().replace(' ', '-')}",
        headers=headers,
        extra=extra,
    )


def _from_bug(error: Exception) -> ProblemDetailsException:
    """A fault of ours: its traceback goes to the log, not to the client."""
    log.error("a request failed", exc_info=error)
    return problem("internal-error", "The server failed on this request; its log says why.", status=500)


def plugin(counter: Counter) -> ProblemDetailsPlugin:
    """Litestar's plugin with our forms; `counter` (label: status) counts every problem answered."""

    def respond(request: Request[Any, Any, Any], error: ProblemDetailsException) -> Response[Any]:
        counter.labels(error.status_code).inc()
        return error.to_response(request)

    def of(convert: Callable[[Any], ProblemDetailsException]) -> Callable[[Any], ProblemDetailsException]:
        def convert_and_count(error: Exception) -> ProblemDetailsException:
            details = convert(error)
            counter.labels(details.status_code).inc()
            return details

        return convert_and_count

    converters = {HTTPException: of(_from_http), Exception: of(_from_bug)}
    return ProblemDetailsPlugin(ProblemDetailsConfig(respond, exception_to_problem_detail_map=converters))
