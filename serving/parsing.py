"""From the bytes of a request to a checked struct: what is wrong is said with field, value and rule."""

import json
import math
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from serving.problems import invalid, problem
from serving.schemas import PredictRequest

T = TypeVar("T")
_PATH = re.compile(r" - at `\$\.?(.*)`$")
_UNKNOWN = re.compile(r"unknown field `(.*?)`")
_MISSING = re.compile(r"missing required field `(.*?)`")
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def check_content_type(header: str | None) -> None:
    """JSON, or nothing said. Raises a 415 problem."""
    kind = (header or "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        detail, rule = f"The body must be application/json, not {kind}.", "application/json"
        raise problem("unsupported-media-type", detail, status=415, field="Content-Type", value=header, rule=rule)


def decode(body: bytes, kind: type[T]) -> T:
    """The struct that the body holds. Problems: 400 for no JSON, 422 for a field that breaks a rule."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(body, str(error), ", ".join(getattr(kind, "__struct_fields__", ()))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(body, str(error)) from None


def parse(body: bytes) -> PredictRequest:
    """The request, with a station or a sequence. Problems as of `decode`."""
    request = decode(body, PredictRequest)
    if request.station is None and request.sequence is None:
        detail, rule = "Give a station, a sequence, or both.", "at least one of station and sequence"
        raise problem("station-or-sequence", detail, field="station, sequence", value=None, rule=rule)
    if request.covariates is not None and request.sequence is not None:
        rule = "only with a station's own readings"
        raise invalid("covariates", sorted(request.covariates), rule, "covariates go with a station, not a sequence.")
    if request.time is not None:
        _check_time(request, request.time)
    return request


def addressed(request: PredictRequest, feed: str | None, target: str | None) -> PredictRequest:
    """The request with feed and target of its address. Raises a 422 problem where the body names others."""
    for name, value in (("feed", feed), ("target", target)):
        own = getattr(request, name)
        if value is not None and own not in (None, value):
            raise invalid(name, own, f"{value}, as the address says")
    return msgspec.structs.replace(request, feed=feed or request.feed, target=target or request.target)


def _check_time(request: PredictRequest, time: datetime) -> None:
    rule = f"a time between {EARLIEST.year} and {LATEST.year}, only with a sequence"
    if request.sequence is None:
        detail = "A station's time is that of its newest reading; time goes with a sequence only."
    elif not EARLIEST <= time < LATEST:
        detail = f"time must lie between the years {EARLIEST.year} and {LATEST.year}."
    else:
        return
    raise invalid("time", time.isoformat(), rule, detail)


def _malformed(body: bytes, text: str) -> Exception:
    field = _not_finite(body)
    if field:
        rule = "every number must be finite; JSON knows no NaN and no Infinity"
        detail = f"{field}: {rule}. Send fewer steps where the older ones are missing."
        return problem("malformed-json", detail, status=400, field=field, rule=rule)
    start = body[:60].decode(errors="replace")
    detail = f"The body is not JSON: {text}."
    return problem("malformed-json", detail, status=400, field="body", value=start, rule="JSON")


def _not_finite(body: bytes) -> str | None:
    """Where a document that is JSON but for NaN and Infinity (many writers let them through) has the first of them."""
    try:
        pending: list[tuple[str, Any]] = [("", json.loads(body))]
    except (ValueError, RecursionError):
        return None
    while pending:
        path, value = pending.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return path or "body"
        if isinstance(value, list):
            pending += [(f"{path}[{index}]", one) for index, one in reversed(list(enumerate(value)))]
        elif isinstance(value, dict):
            pending += [(f"{path}.{name}" if path else name, one) for name, one in reversed(value.items())]
    return None


def _invalid(body: bytes, text: str, fields: str) -> Exception:
    """msgspec says `Expected float, got null - at $.sequence[0][1]`: find the field, and the value that it had."""
    if unknown := _UNKNOWN.search(text):
        name = unknown.group(1)
        detail = f"There is no field {name}; allowed: {fields}."
        return problem("unknown-field", detail, field=name, value=_value(body, name), rule=f"one of {fields}")
    if missing := _MISSING.search(text):
        name = missing.group(1)
        return problem("missing-field", f"{name} is missing.", field=name, rule=f"{name} must be given")
    path = _PATH.search(text)
    field = path.group(1) if path else "body"
    rule = _PATH.sub("", text).replace("`", "").replace(" | null", "")
    return invalid(field, _value(body, field), rule)


def _value(body: bytes, path: str) -> Any:
    """The value at a path such as `sequence[0][1]`; UNSET where it cannot be told."""
    try:
        value: Any = msgspec.json.decode(body)
        for part in re.findall(r"\w+", path if path != "body" else ""):
            value = value[int(part) if part.isdigit() else part]
    except (msgspec.DecodeError, RecursionError, LookupError, TypeError, ValueError):
        return msgspec.UNSET
    return value
