"""The bodies of batches: JSON, or Arrow streams where the header fields say so."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from serving import batch
from serving.batch import Result
from serving.hot_swap import ServingStore
from serving.problems import problem

Kind = Literal["json", "arrow"]
MEDIA_TYPES: dict[Kind, str] = {"json": "application/json", "arrow": "application/vnd.apache.arrow.stream"}
_ANY = ("*/*", "application/*")


def kind_of(content_type: str | None) -> Kind:
    """Of a request's body; JSON if nothing is said. Raises a 415 problem."""
    media_type = (content_type or MEDIA_TYPES["json"]).partition(";")[0].strip().lower()
    for kind, own in MEDIA_TYPES.items():
        if media_type == own:
            return kind
    rule = f"one of {', '.join(MEDIA_TYPES.values())}"
    detail = f"The body must be {rule}, not {media_type[:80]}."
    raise problem("unsupported-media-type", detail, status=415, field="Content-Type", value=content_type, rule=rule)


def answer_kind(accept: str | None, body: Kind) -> Kind:
    """Of the answer: the first that is accepted, and that of the body where any is. Raises a 406 problem."""
    for part in (accept or "*/*").split(","):
        media_type = part.partition(";")[0].strip().lower()
        if media_type in _ANY:
            return body
        for kind, own in MEDIA_TYPES.items():
            if media_type == own:
                return kind
    rule = f"one of {', '.join(MEDIA_TYPES.values())}"
    raise problem("not-acceptable", f"Answers are {rule}.", status=406, field="Accept", value=accept, rule=rule)


def answer(store: ServingStore, kind: Kind, body: bytes, feed: str | None, target: str | None) -> list[Result]:
    """An answer or a problem for each request of the body. Raises a problem for a body that is no batch.

    One piece of work: of the bodies that wait, none is unpacked.
    """
    if kind == "json":
        return batch.predict(store, batch.requests(body, feed, target))
    rows: list[dict[str, Any]] = _arrow().rows(body)
    return batch.predict(store, batch.checked(batch.checked_count(rows), feed, target))


def write(kind: Kind, results: Sequence[Result]) -> bytes:
    """The answers to a batch."""
    answers = batch.answers(results)
    if kind == "json":
        return msgspec.json.encode(answers)
    stream: bytes = _arrow().write(answers)
    return stream


def _arrow() -> Any:
    """The module of Arrow streams; without one nobody pays pyarrow's 60 MB and its start (docs/decisions/014)."""
    try:
        from serving import arrow_bodies
    except ImportError:
        detail = "This server is installed without pyarrow, and takes no Arrow streams; send JSON."
        raise problem("unsupported-media-type", detail, status=415, field="Content-Type", rule="JSON") from None
    return arrow_bodies
