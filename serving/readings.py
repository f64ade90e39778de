"""Posted readings: whether a body is well-formed. Whether it is true is judged later, by the platform's bronze.

What is well-formed is said by `aerocast.ingest.channels.definition`, by which the platform reads what is kept, too.
"""

import re
import zlib

import msgspec
from litestar.plugins.problem_details import ProblemDetailsException

from aerocast.ingest.channels.definition import Definition
from aerocast.ingest.channels.reading_error import ReadingError
from serving.body import SMALL_BODY
from serving.problems import problem, too_large


class _Object(msgspec.Struct, gc=False):
    """Any object of JSON; nothing of it is kept."""


MOST_READINGS = 100_000
MAX_BODY = 8 << 20
MOST_VALUES = 1_000_000  # in JSON: each takes a hundred bytes of memory, however short it is
KINDS = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/vnd.apache.arrow.stream": "arrow",
}
_OBJECTS = msgspec.json.Decoder(list[_Object] | _Object)
MOST_MEMBERS = 256  # a gzip stream may have several; each costs a copy of all that follows
# The argument of zlib that reads each; "deflate" is its own format, as RFC 9110 says.
ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def check(definition: Definition, kind: str, body: bytes) -> tuple[int, tuple[str, ...]]:
    """How many readings the body holds, and which fields of them are ignored.

    Raises a problem: 400 with field, value, rule and index, 413, 415.
    """
    try:
        if kind == "arrow":
            return _check_arrow(definition, body)
        _check_amount(kind, body)
        readings = definition.json(body) if kind == "json" else definition.json_lines(body)
        checked_count(len(readings.rows))
        definition.check_readings(readings)
    except ReadingError as error:
        raise refused(error) from None
    return len(readings.rows), readings.ignored


def _check_amount(kind: str, body: bytes) -> None:
    """Raises ReadingError or a problem for a body that would take many times its size once its values are objects."""
    if sum(map(body.count, (b",", b"[", b"{", b"\n"))) > MOST_VALUES:
        detail, rule = f"The body holds more than {MOST_VALUES} values.", f"at most {MOST_VALUES} values"
        raise problem("too-many-values", detail, status=413, field="body", rule=rule)
    if kind == "json" and len(body) > SMALL_BODY:
        try:
            content = _OBJECTS.decode(body)
        except msgspec.ValidationError as error:
            at = re.search(r"\$\[(\d+)\]", str(error))
            rule = "a reading, or an array of readings, which are objects"
            raise ReadingError("body", str(error), rule, index=int(at[1]) if at else None) from None
        except (msgspec.DecodeError, RecursionError) as error:
            detail = f"The body is not JSON: {error}."
            raise ReadingError("body", body[:60], "JSON", slug="malformed-json", detail=detail) from None
        checked_count(len(content) if isinstance(content, list) else 1)


def _check_arrow(definition: Definition, body: bytes) -> tuple[int, tuple[str, ...]]:
    """Checks an Arrow stream; without one nobody pays pyarrow's 60 MB and its start (docs/decisions/014)."""
    try:
        from aerocast.ingest.channels.arrow import check_stream
    except ImportError:
        detail = "This server is installed without pyarrow, and takes no Arrow streams; send JSON."
        raise problem("unsupported-media-type", detail, status=415, field="Content-Type", rule="JSON") from None
    rows, columns = check_stream(definition, body, MOST_READINGS)
    return checked_count(rows), columns.ignored


def refused(error: ReadingError) -> ProblemDetailsException:
    """The problem for a body, or a reading of it, that no judge could read."""
    value = error.sent.decode(errors="replace") if isinstance(error.sent, bytes) else error.sent
    return problem(
        error.slug, error.detail, status=400, field=error.field, value=value, rule=error.rule, index=error.index
    )


def checked_count(count: int) -> int:
    """At least one reading, and not more than MOST_READINGS. Raises a problem."""
    if not count:
        rule = "at least one reading"
        raise problem("no-readings", "The body holds no readings.", status=400, field="body", rule=rule)
    if count > MOST_READINGS:
        detail = f"The body holds {count} readings; send at most {MOST_READINGS} at once."
        rule = f"at most {MOST_READINGS} readings"
        raise problem("too-many-readings", detail, status=413, field="body", value=count, rule=rule)
    return count


def kind_of(content_type: str | None) -> str:
    """`json`, `ndjson` or `arrow`; JSON if nothing is said. Raises a 415 problem."""
    media_type = (content_type or "application/json").partition(";")[0].strip().lower()
    if media_type not in KINDS:
        rule = f"one of {', '.join(KINDS)}"
        detail = f"The body must be {rule}, not {media_type}."
        raise problem("unsupported-media-type", detail, status=415, field="Content-Type", value=content_type, rule=rule)
    return KINDS[media_type]


def encoding_of(content_encoding: str | None) -> str | None:
    """`gzip` or `deflate`; None for a body as it is. Raises a 415 problem."""
    encoding = (content_encoding or "identity").strip().lower()
    if encoding == "identity":
        return None
    if encoding not in ENCODINGS:
        rule = "gzip, deflate, or none"
        detail = f"Content-Encoding must be {rule}, not {encoding[:80]}."
        headers = {"accept-encoding": "gzip, deflate"}
        raise problem("unsupported-encoding", detail, status=415, field="Content-Encoding", value=content_encoding,
                      rule=rule, headers=headers)  # fmt: skip
    return encoding


def decoded(body: bytes, encoding: str) -> bytes:
    """The body that was compressed; no more of it is unpacked than a body may have.

    Raises a problem: 400 where it is damaged or cut off, 413 where it is too large.
    """
    content, rest = bytearray(), body
    try:
        for _ in range(MOST_MEMBERS):
            stream = zlib.decompressobj(ENCODINGS[encoding])
            content += stream.decompress(rest, MAX_BODY + 1 - len(content))
            if len(content) > MAX_BODY:
                raise too_large(MAX_BODY)
            if not stream.eof:
                raise zlib.error("it is truncated")
            if not (rest := stream.unused_data):
                return bytes(content)
        raise zlib.error(f"it has more than {MOST_MEMBERS} members")
    except zlib.error as error:
        rule = f"a whole {encoding} stream ({error})"
        raise problem("malformed-encoding", f"The body is not {rule}.", status=400, field="body", rule=rule) from None
