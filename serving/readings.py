"""Posted readings: whether a body is well-formed. Whether it is true is judged later, by the platform's bronze."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar.plugins.problem_details import ProblemDetailsException

from aerocast.declared import Declared
from serving.problems import problem

MOST_READINGS = 100_000
LONGEST_STATION = 200
KINDS = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/vnd.apache.arrow.stream": "arrow",
}
TIME_RULE = "a time in ISO 8601 with an offset, such as 2024-06-01T12:00:00Z"
STATION_RULE = f"a text of 1 to {LONGEST_STATION} characters"
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d(:?\d\d)?)", re.ASCII)
_AT = re.compile(r"^(.*?)(?: - at `\$(?:\[(\d+)\])?\.?(.*)`)?$", re.DOTALL)
_NAMED = re.compile(r"(unknown|missing required) field `(.*)`")

Station = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_STATION)]


class Reader:
    """Checks bodies of one feed; made once for what the feed declares."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.names = (declared.station, declared.time, *(field.field for field in declared.fields))
        self._rules = {declared.station: STATION_RULE, declared.time: TIME_RULE}
        self._rules |= {field.field: f"a number ({field.unit}) or null" for field in declared.fields}
        measured = [(f"f{i}", float | None, None) for i in range(len(declared.fields))]
        one = msgspec.defstruct(
            "Reading",
            [("station", Station), ("time", str), *measured],
            rename=dict(zip(("station", "time", *(name for name, *_ in measured)), self.names, strict=True)),
            forbid_unknown_fields=True,
            gc=False,
        )
        self._json: msgspec.json.Decoder[Any] = msgspec.json.Decoder(one | list[one])  # type: ignore[valid-type]
        self._lines: msgspec.json.Decoder[Any] = msgspec.json.Decoder(one)

    def count(self, kind: str, body: bytes) -> int:
        """How many readings the body holds. Raises a problem: 400 with field, value, rule and index, 413, 415."""
        if kind == "arrow":
            from serving.arrow import count

            return count(self, body)
        try:
            found = self._json.decode(body) if kind == "json" else self._lines.decode_lines(body)
        except msgspec.ValidationError as error:
            raise self._invalid(kind, body, str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(body, "JSON", str(error)) from None
        for index, reading in enumerate(found if isinstance(found, list) else [found]):
            if not is_time(reading.time):
                raise self.refused(index if isinstance(found, list) else None, self.declared.time, reading.time)
        return checked_count(len(found) if isinstance(found, list) else 1)

    def refused(
        self, index: int | None, field: str, value: object = msgspec.UNSET, rule: str | None = None
    ) -> ProblemDetailsException:
        """The problem for a field of the reading at `index` (None: the only one)."""
        rule = rule or self._rules[field]
        which = "" if index is None else f"Reading {index}: "
        return problem(
            "invalid-field",
            f"{which}{field} must be {rule}.",
            status=400,
            field=field,
            value=value,
            rule=rule,
            index=index,
        )

    def unknown(self, index: int | None, field: str, value: object = msgspec.UNSET) -> ProblemDetailsException:
        """The problem for a field that is not declared."""
        allowed = f"one of {', '.join(self.names)}"
        detail = f"{self.declared.name} has no field {field}; allowed: {allowed}."
        return problem("unknown-field", detail, status=400, field=field, value=value, rule=allowed, index=index)

    def missing(self, index: int | None, field: str) -> ProblemDetailsException:
        """The problem for a reading that does not say where or when."""
        which = "A reading" if index is None else f"Reading {index}"
        rule = f"{field} must be given"
        return problem("missing-field", f"{which} has no {field}.", status=400, field=field, rule=rule, index=index)

    def _invalid(self, kind: str, body: bytes, text: str) -> ProblemDetailsException:
        """msgspec says what is wrong and where: ``Expected `float | null`, got `str` - at `$[3].temp` ``."""
        found = _AT.match(text)
        assert found is not None  # it matches every text
        what, at, field = found.groups()
        index = int(at) if at else None
        named = _NAMED.search(what)
        if named and named[1] == "unknown":
            return self.unknown(index, named[2], _value(kind, body, index, named[2]))
        if named:
            return self.missing(index, named[2])
        if field in self._rules:
            return self.refused(index, field, _value(kind, body, index, field))
        rule = "a reading, or an array of readings" if index is None else "a reading"
        return problem(
            "invalid-field",
            f"{'The body' if index is None else f'Element {index}'} must be {rule}: {what.replace('`', '')}.",
            status=400,
            field="body",
            rule=f"{rule}: an object with {', '.join(self.names)}",
            index=index,
        )


def is_time(text: str) -> bool:
    """Whether the platform will read it as an instant."""
    try:
        return _TIME.fullmatch(text) is not None and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def checked_count(count: int) -> int:
    """At least one reading, and not more than MOST_READINGS. Raises a problem."""
    if not count:
        raise problem(
            "no-readings", "The body holds no readings.", status=400, field="body", rule="at least one reading"
        )
    if count > MOST_READINGS:
        detail = f"The body holds {count} readings; send at most {MOST_READINGS} at once."
        rule = f"at most {MOST_READINGS} readings"
        raise problem("too-many-readings", detail, status=413, field="body", value=count, rule=rule)
    return count


def malformed(body: bytes, form: str, text: str) -> ProblemDetailsException:
    """The problem for a body that is not of its content type."""
    shown = body[:60].decode(errors="replace")
    return problem(
        f"malformed-{form.partition(' ')[0].lower()}",
        f"The body is no {form}: {text}.",
        status=400,
        field="body",
        value=shown,
        rule=form,
    )


def kind_of(content_type: str | None) -> str:
    """`json`, `ndjson` or `arrow`; JSON if nothing is said. Raises a 415 problem."""
    said = (content_type or "application/json").partition(";")[0].strip().lower()
    if said not in KINDS:
        rule = f"one of {', '.join(KINDS)}"
        detail = f"The body must be {rule}, not {said}."
        raise problem("unsupported-media-type", detail, status=415, field="Content-Type", value=content_type, rule=rule)
    return KINDS[said]


def _value(kind: str, body: bytes, index: int | None, field: str) -> object:
    """What the field held; UNSET where it cannot be told."""
    try:
        if kind == "json":
            found: Any = msgspec.json.decode(body)
        else:
            found = [msgspec.json.decode(line) for line in body.splitlines() if line.strip()]
        return (found if index is None else found[index])[field]
    except (msgspec.DecodeError, RecursionError, LookupError, TypeError, ValueError):
        return msgspec.UNSET
