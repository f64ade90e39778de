"""The OpenAPI document, and a page that shows and tries it with nothing from the internet."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from litestar import Request, Response, Router
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Example, OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.status_codes import HTTP_404_NOT_FOUND

from serving.examples import with_examples

DESCRIPTION = """Forecasts of measured time series by the newest release of each feed and target.

Every answer says which release gave it, what that was trained on, and whether its inputs were degraded. Errors are
`application/problem+json` (RFC 9457) and name the field, the value and the rule."""

_STEP = Schema(type=OpenAPIType.ARRAY, items=Schema(type=OpenAPIType.NUMBER), description="One number a window column.")
_REQUEST = Schema(
    type=OpenAPIType.OBJECT,
    title="PredictRequest",
    description="A `station`, a `sequence`, or both: what that station measured. Unknown fields are refused.",
    additional_properties=False,
    properties={
        "station": Schema(
            type=OpenAPIType.STRING, description="A station of the feed: forecast from its newest readings."
        ),
        "sequence": Schema(
            type=OpenAPIType.ARRAY,
            items=_STEP,
            description="`window.steps` to `window.look_back` steps (see /feeds), oldest first, at the feed's cadence.",
        ),
        "time": Schema(
            type=OpenAPIType.STRING,
            format=OpenAPIFormat.DATE_TIME,
            description="Time of a sequence's newest step, ISO 8601 with offset.",
        ),
        "feed": Schema(
            type=OpenAPIType.STRING,
            description="Needed only where several feeds are served, and the station is not of one alone.",
        ),
        "target": Schema(type=OpenAPIType.STRING, description="Default: the feed's first served target."),
    },
    any_of=[Schema(required=["station"]), Schema(required=["sequence"])],
)
_EXAMPLES = {
    "station": Example(summary="A station's newest readings", value={"station": "JFK"}),
    "sequence": Example(
        summary="Five steps of temperature, wind and pressure",
        value={
            "sequence": [
                [40.1, 9.2, 1016.0],
                [39.9, 9.2, 1016.2],
                [39.0, 8.1, 1016.5],
                [39.0, 8.1, 1016.9],
                [37.9, 6.9, 1017.2],
            ],
            "time": "2013-12-30T23:00:00Z",
        },
    ),
}


_OUTCOME = Schema(
    type=OpenAPIType.OBJECT,
    title="EvalRequest",
    description="`actual` with the `id` and `horizon` of a forecast, or with `predicted`. Unknown fields are refused.",
    additional_properties=False,
    required=["actual"],
    properties={
        "actual": Schema(type=OpenAPIType.NUMBER, description="What was measured, in the target's unit."),
        "id": Schema(type=OpenAPIType.STRING, description="The id of an answer of /predict."),
        "horizon": Schema(type=OpenAPIType.INTEGER, description="Which of its horizons, in steps."),
        "predicted": Schema(type=OpenAPIType.NUMBER, description="What was forecast, without an id."),
        "feed": Schema(type=OpenAPIType.STRING, description="Of a pair, needed only where several feeds are served."),
        "target": Schema(type=OpenAPIType.STRING, description="Of a pair; default: the feed's first served target."),
        "station": Schema(type=OpenAPIType.STRING, description="Of a pair: where it was measured."),
    },
    any_of=[Schema(required=["id", "horizon"]), Schema(required=["predicted"])],
)
_READING = Schema(
    type=OpenAPIType.OBJECT,
    title="Reading",
    description="Besides station and time the fields that the feed measures, as its source names them; others are"
    " ignored. Station and time may have the source's names, too.",
    properties={
        "station": Schema(type=[OpenAPIType.STRING, OpenAPIType.NUMBER], min_length=1, max_length=200),
        "time": Schema(
            type=OpenAPIType.STRING,
            description="ISO 8601 with an offset; without one only where the feed declares a time zone.",
        ),
    },
    additional_properties=Schema(
        type=[OpenAPIType.NUMBER, OpenAPIType.STRING, OpenAPIType.NULL],
        description="In the source's unit, as a number or as a number's text.",
    ),
)
_ONE = {"station": "JFK", "time": "2013-12-30T19:00:00Z", "temp": 37.04, "wind_speed": 6.9, "pressure": None}
_READINGS = {
    "one": Example(summary="One reading", value=_ONE),
    "many": Example(summary="Many readings", value=[_ONE, {**_ONE, "station": "LGA", "temp": 38.1}]),
}
_RETRAIN = Schema(
    type=OpenAPIType.OBJECT,
    title="RetrainRequest",
    additional_properties=False,
    properties={"force": Schema(type=OpenAPIType.BOOLEAN, description="Ask even if none is due.")},
)


def _json(schema: Schema, examples: dict[str, Example], required: bool = True) -> RequestBody:
    """Bodies are decoded by ourselves, for better errors; so they are described by ourselves."""
    media = OpenAPIMediaType(schema=schema, examples=dict(examples))
    return RequestBody(content={"application/json": media}, required=required)


@dataclass
class PredictOperation(Operation):
    """The body of /predict."""

    def __post_init__(self) -> None:
        self.request_body = _json(_REQUEST, _EXAMPLES)


@dataclass
class ObserveOperation(Operation):
    """The body of /observations/{feed}: its measured fields are the feed's own."""

    def __post_init__(self) -> None:
        media = {
            "application/json": OpenAPIMediaType(
                schema=Schema(one_of=[_READING, Schema(type=OpenAPIType.ARRAY, items=_READING)]),
                examples=dict(_READINGS),
            ),
            "application/x-ndjson": OpenAPIMediaType(
                schema=Schema(type=OpenAPIType.STRING, description="One reading a line.")
            ),
            "application/vnd.apache.arrow.stream": OpenAPIMediaType(
                schema=Schema(
                    type=OpenAPIType.STRING,
                    format=OpenAPIFormat.BINARY,
                    description="An Arrow IPC stream: station as text, time as timestamp with a zone or text, numbers.",
                )
            ),
        }
        self.request_body = RequestBody(content=media, required=True)


@dataclass
class EvalOperation(Operation):
    """The body of /eval."""

    def __post_init__(self) -> None:
        pair = Example(summary="A pair of numbers", value={"predicted": 41.3, "actual": 40.1})
        self.request_body = _json(_OUTCOME, {"pair": pair})


@dataclass
class RetrainOperation(Operation):
    """The body of POST /routine-retrain-check, which may be left out."""

    def __post_init__(self) -> None:
        self.request_body = _json(_RETRAIN, {"check": Example(summary="Only if due", value={})}, required=False)


class PageRenderPlugin(OpenAPIRenderPlugin):
    """One self-contained page: it reads the document and lets one try each endpoint."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return page(self.get_openapi_json_route(request))


class DocumentRenderPlugin(JsonRenderPlugin):
    """The document with examples of what is served now."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        state = request.app.state
        return self.render_json(request, with_examples(openapi_schema, state.store, state.observations))


def page(document: str) -> bytes:
    """The page, which reads the document at this path."""
    return resources.files("serving").joinpath("page.html").read_text().replace("{{document}}", document).encode()


def _or_nothing(response: Response[Any]) -> Response[Any]:
    """Litestar's own page for a path below /schema that is none; here every error is a problem document."""
    if response.status_code == HTTP_404_NOT_FOUND:
        raise NotFoundException
    return response


def config(version: str) -> OpenAPIConfig:
    return OpenAPIConfig(
        title="AeroCast",
        version=version,
        description=DESCRIPTION,
        use_handler_docstrings=True,
        render_plugins=[PageRenderPlugin(path="/"), DocumentRenderPlugin(), YamlRenderPlugin()],
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, after_request=_or_nothing),
    )
