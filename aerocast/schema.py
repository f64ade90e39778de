"""What a declaration's JSON schema says beyond its types, so that `dg check yaml` and editors name what is allowed.

The schema is made only when a tool asks for it; loading a declaration costs nothing of this.
"""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema

from aerocast.forecasters.params import PARAMS
from aerocast.units import USUAL_UNITS, pattern

Json = dict[str, Any]


def closed(schema: Json) -> None:
    """`additionalProperties` points at the line of a misspelt field, `propertyNames` lists what may stand there."""
    schema["additionalProperties"] = False
    schema["propertyNames"] = {"enum": list(schema["properties"])}


def kinds(schema: Json) -> None:
    """`candidates`: each kind's own parameters."""
    schema["additionalProperties"] = False
    schema["properties"] = {kind: model.model_json_schema() for kind, model in PARAMS.items()}
    for parameters in schema["properties"].values():
        closed(parameters)


class _Unit:
    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        usual = {"enum": list(USUAL_UNITS)}
        # The else branch is what a person reads: the usual units, not twenty thousand characters of pattern.
        return {**handler(core), "if": {"anyOf": [usual, {"pattern": pattern()}]}, "else": usual}


Unit = Annotated[str, _Unit()]
# ISO 8601, as PT1H or P30D; a bare "format" is not checked by dg.
Duration = Annotated[
    timedelta,
    WithJsonSchema({"type": "string", "pattern": r"^P(?=.)(\d+W)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$"}),
]
