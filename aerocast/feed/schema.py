"""Types of a declaration's values, and what its JSON schema says beyond them, so that editors name what is allowed.

The schema is made only when a tool asks for it; loading a declaration costs nothing of this.
"""

import re
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic_core import CoreSchema

from aerocast.common import times
from aerocast.common.declaration import forbid_other_fields
from aerocast.common.errors import AeroCastError
from aerocast.common.units import USUAL_UNITS, dimension, pattern
from aerocast.feed.model_kind import MODELS

Json = dict[str, Any]
_CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def kinds(schema: Json) -> None:
    """`candidates`: each kind's own parameters; a package that does not load is its declarations' trouble alone."""
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


def _known_unit(value: str) -> str:
    if dimension(value) is None:
        raise ValueError(f"{value!r} is not a unit that pint knows; usual ones: {', '.join(USUAL_UNITS)}")
    return value


def _known_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is not an IANA time zone, such as Europe/London") from error
    return value


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
        found = re.fullmatch(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/([1-9]\d?))?", part)
        low, high = (int(found[1] or limits[0]), int(found[2] or found[1] or limits[1])) if found else (1, 0)
        if not limits[0] <= low <= high <= limits[1]:
            return False
    return True


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta) or (isinstance(value, str) and re.match(times.DURATION, value)):
        return value
    text = f"{value} s" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    meant = times.guess_duration(text)
    hint = f"write {times.iso_duration(meant)}" if meant else "it is a duration of ISO 8601, such as PT5M, PT1H or P30D"
    raise ValueError(f"{value!r} is not allowed: {hint}")


def _as_text(value: Any) -> Any:
    """A number in a list of texts as YAML spells it: `missing: [-999]` needs no quotation marks."""
    if isinstance(value, list | tuple):
        return [str(each) if isinstance(each, int | float) and not isinstance(each, bool) else each for each in value]
    return value


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Owner = Annotated[str, Field(pattern=r"^(team:.+|[^@\s]+@[^@\s]+\.[^@\s]+)$")]
# Dagster's own sample of a component knows no arrays of different places.
Pair = Annotated[
    tuple[float, float],
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]
Cron = Annotated[str, AfterValidator(_cron), WithJsonSchema({"type": "string", "format": "cron"})]
Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_text),
    WithJsonSchema({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}}),
]
Unit = Annotated[str, AfterValidator(_known_unit), _Unit()]
Zone = Annotated[str, AfterValidator(_known_timezone), WithJsonSchema({"type": "string", "format": "timezone"})]
# ISO 8601, as PT1H or P30D; dg checks patterns, and no formats.
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(times.iso_duration, when_used="json"),
    WithJsonSchema({"type": "string", "format": "duration", "pattern": times.DURATION}),
]
