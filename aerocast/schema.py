"""Types of a declaration's values, and what its JSON schema says beyond them, so that editors name what is allowed.

The schema is made only when a tool asks for it; loading a declaration costs nothing of this.
"""

import re
from datetime import timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic_core import CoreSchema

from aerocast import durations
from aerocast.declaration import closed
from aerocast.forecasters.params import PARAMS
from aerocast.units import USUAL_UNITS, dimension, pattern

Json = dict[str, Any]


def kinds(schema: Json) -> None:
    """`candidates`: each kind's own parameters."""
    schema["additionalProperties"], schema["propertyNames"] = False, {"enum": list(PARAMS)}
    schema["properties"] = {kind: model.model_json_schema() for kind, model in PARAMS.items()}
    for parameters in schema["properties"].values():
        closed(parameters)


class _Unit:
    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        usual = {"enum": list(USUAL_UNITS)}
        # The else branch is what a person reads: the usual units, not twenty thousand characters of pattern.
        return {**handler(core), "if": {"anyOf": [usual, {"pattern": pattern()}]}, "else": usual}


def _known_unit(value: str) -> str:
    if dimension(value) is None:
        raise ValueError(f"{value!r} is no unit that pint knows; usual ones: {', '.join(USUAL_UNITS)}")
    return value


def _known_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is no IANA time zone, such as Europe/London") from error
    return value


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta) or (isinstance(value, str) and re.match(durations.PATTERN, value)):
        return value
    text = f"{value} s" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    meant = durations.meant(text)
    hint = f"write {durations.iso(meant)}" if meant else "it is a duration of ISO 8601, such as PT5M, PT1H or P30D"
    raise ValueError(f"{value!r} is not allowed: {hint}")


def _as_text(value: Any) -> Any:
    """A number in a list of texts as YAML spells it: `missing: [-999]` needs no quotation marks."""
    if isinstance(value, list | tuple):
        return [str(each) if isinstance(each, int | float) and not isinstance(each, bool) else each for each in value]
    return value


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="lower case, digits and underscores")]
Texts = Annotated[tuple[str, ...], BeforeValidator(_as_text)]
Unit = Annotated[str, AfterValidator(_known_unit), _Unit()]
Zone = Annotated[str, AfterValidator(_known_timezone)]
# ISO 8601, as PT1H or P30D; a bare "format" is not checked by dg.
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(durations.iso, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": durations.PATTERN}),
]
