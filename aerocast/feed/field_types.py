"""Types of a declaration's values, with a JSON schema from which editors suggest what is allowed.

The schema is made only when a tool asks for it; loading a declaration does not need it.
"""

import re
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic_core import CoreSchema

from aerocast.common import opening_hours, times
from aerocast.common.declaration import Mistake, forbid_other_fields, raise_mistakes
from aerocast.common.errors import AeroCastError
from aerocast.common.time_format import format_mistake
from aerocast.common.units import USUAL_UNITS, dimension, pattern
from aerocast.feed.model_kind import MODELS

Json = dict[str, Any]
# Dagster's own rules for owners and tags; a test compares them with Dagster's.
OWNER = r"^(team:.+|[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,7})$"
TAG_KEY = r"^([A-Za-z0-9_.-]{1,63}/)?[A-Za-z0-9_.-]{1,63}$"
TAG_VALUE = r"^[A-Za-z0-9_.-]{0,63}$"
RESERVED = ("dagster/", "aerocast/")  # prefixes of tags that are not a declaration's
_CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def kinds(schema: Json) -> None:
    """`candidates`: each kind's own parameters; a package that does not load is left out."""
    properties: dict[str, Json] = {}
    for kind in MODELS.names():
        with suppress(AeroCastError):
            model = MODELS.find(kind)
            properties[kind] = model.parameters.model_json_schema() | {"description": model.description}
    schema["properties"] = properties
    forbid_other_fields(schema)


class _Unit:
    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        usual = {"enum": list(USUAL_UNITS)}
        # The else branch is what a person reads: the usual units, not twenty thousand characters of pattern.
        return {**handler(core), "format": "unit", "if": {"anyOf": [usual, {"pattern": pattern()}]}, "else": usual}


def _valid_unit(value: str) -> str:
    if dimension(value) is None:
        raise ValueError(f"{value!r} is not a unit; usual ones: {', '.join(USUAL_UNITS)}")
    return value


def _valid_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is not an IANA time zone, such as Europe/London") from error
    return value


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(one >= other for one, other in pairwise(values)):
        raise ValueError(f"{list(values)} must increase, each above the one before it")
    return values


def _cron(value: str) -> str:
    fields = value.split()
    if len(fields) == len(_CRON) and all(map(_cron_field, fields, _CRON)):
        return value
    raise ValueError(
        f"{value!r} is not a schedule: write minute, hour, day, month, weekday as numbers, such as 0 3 * * 1"
    )


def _cron_field(field: str, limits: tuple[int, int]) -> bool:
    """Whether it is `*`, a number or a range within the limits, with a step or without, or several with commas."""
    for part in field.split(","):
        match = re.fullmatch(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/([1-9]\d?))?", part)
        low, high = (int(match[1] or limits[0]), int(match[2] or match[1] or limits[1])) if match else (1, 0)
        if not limits[0] <= low <= high <= limits[1]:
            return False
    return True


def _hours(value: str) -> str:
    opening_hours.parse(value)
    return value


def _owner(value: str) -> str:
    if re.fullmatch(OWNER, value):
        return value
    raise ValueError(f"{value!r} is not allowed: an owner is an email address, or a team such as team:forecasting")


def _tags(tags: dict[str, str]) -> dict[str, str]:
    raise_mistakes("tags", [Mistake((key,), rule) for key, value in tags.items() if (rule := _tag_rule(key, value))])
    return tags


def _tag_rule(key: str, value: str) -> str:
    """The rule that a tag breaks; empty for a valid tag."""
    if key.startswith(RESERVED):
        return f"{key!r} is not allowed: keys that start with {' or '.join(RESERVED)} are reserved"
    if not re.fullmatch(TAG_KEY, key):
        return (
            f"{key!r} is not allowed: a key is 1 to 63 letters, digits, '_', '-' or '.', after a prefix and / or alone"
        )
    if not re.fullmatch(TAG_VALUE, value):
        return f"{value!r} is not allowed: a value is at most 63 letters, digits, '_', '-' or '.'"
    return ""


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta) or (isinstance(value, str) and re.match(times.DURATION, value)):
        return value
    text = f"{value} s" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    guess = times.guess_duration(text)
    hint = f"write {times.iso_duration(guess)}" if guess else "it is a duration of ISO 8601, such as PT5M, PT1H or P30D"
    raise ValueError(f"{value!r} is not allowed: {hint}")


def _as_text(value: Any) -> Any:
    """A number in a list of texts as YAML spells it: `missing: [-999]` needs no quotation marks."""
    if isinstance(value, list | tuple):
        return [str(each) if isinstance(each, int | float) and not isinstance(each, bool) else each for each in value]
    return value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else () if value is None else value


def _time_format(value: str) -> str:
    if mistake := format_mistake(value):
        raise ValueError(mistake)
    return value


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Owner = Annotated[str, AfterValidator(_owner), WithJsonSchema({"type": "string", "format": "owner", "pattern": OWNER})]
Tags = Annotated[
    dict[str, str],
    AfterValidator(_tags),
    WithJsonSchema(
        {
            "type": "object",
            "format": "tags",
            "propertyNames": {"pattern": TAG_KEY},
            "additionalProperties": {"type": "string", "pattern": TAG_VALUE},
        }
    ),
]
# Dagster's own sample of a component knows no arrays of different places.
Pair = Annotated[
    tuple[float, float],
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]
Quantiles = Annotated[
    tuple[Annotated[float, Field(gt=0, lt=1)], ...],
    AfterValidator(_increasing),
    WithJsonSchema(
        {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}},
    ),
]
Cron = Annotated[str, AfterValidator(_cron), WithJsonSchema({"type": "string", "format": "cron"})]
Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_text),
    WithJsonSchema({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}}),
]
Formats = Annotated[
    tuple[Annotated[str, AfterValidator(_time_format)], ...],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Unit = Annotated[str, AfterValidator(_valid_unit), _Unit()]
Zone = Annotated[str, AfterValidator(_valid_timezone), WithJsonSchema({"type": "string", "format": "timezone"})]
Hours = Annotated[
    str,
    AfterValidator(_hours),
    WithJsonSchema({"type": "string", "format": "hours", "examples": ["Mo-Fr 06:00-22:30"]}),
]
# ISO 8601, as PT1H or P30D; dg checks patterns, and no formats.
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(times.iso_duration, when_used="json"),
    WithJsonSchema({"type": "string", "format": "duration", "pattern": times.DURATION}),
]
