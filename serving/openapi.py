"""The OpenAPI document, and a page that shows and tries it with nothing from the internet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from litestar import MediaType, Request, Response, Router
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin, SwaggerRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.status_codes import HTTP_404_NOT_FOUND
from msgspec import Struct, json

from serving import pages
from serving.batch import MOST_ITEMS
from serving.examples import with_examples
from serving.schemas import EvalRequest, PredictRequest, RetrainRequest
from serving.timeseries_schemas import ForecastRequest

DESCRIPTION = """Forecasts of measured time series by the newest release of each feed and target.

Every answer says which release gave it, what that was trained on, and whether its inputs were degraded. Errors are
`application/problem+json` (RFC 9457) and name the field, the value and the rule.

A client shows what it may do by a token (`Authorization: Bearer ...`) of scope `read`, `write` or `admin`; each allows
what those before it allow, and `aerocast token create` makes one. On loopback nobody needs one to read, nor to write as
long as there is none.

What is below `/v1` keeps its form. Clients from before the versions find the same without `/v1`: {older}."""

TOKEN = "token"
_TOKEN_SCHEME = SecurityScheme(
    type="http",
    scheme="bearer",
    description="A token that `aerocast token create` has made, or AEROCAST_TOKEN. Each endpoint names the scope that"
    " it needs: `read`, `write` or `admin`; each allows what those before it allow.",
)


def _schema(described: dict[str, Any]) -> Schema:
    """A field as msgspec describes it."""
    own, *others = described.get("anyOf", [described])
    kind = own.get("type")
    return Schema(
        type=[OpenAPIType(kind), OpenAPIType.NULL] if {"type": "null"} in others else kind,
        format=own.get("format"),
        enum=described.get("enum"),
        default=described.get("default"),
        description=described.get("description") or own.get("description"),
        minimum=own.get("minimum"),
        min_items=own.get("minItems"),
        items=_schema(own["items"]) if "items" in own else None,
    )


def _body(kind: type[Struct], *forms: list[str]) -> Schema:
    """A request's body, from its struct; of each of the `forms` all fields are needed, of the forms one."""
    own = json.schema(kind)["$defs"][kind.__name__]
    return Schema(
        type=OpenAPIType.OBJECT,
        title=own["title"],
        description=own["description"],
        additional_properties=False,
        properties={name: _schema(field) for name, field in own["properties"].items()},
        required=own["required"] or None,
        any_of=[Schema(required=form) for form in forms] or None,
    )


def _fields(own: dict[str, Any]) -> Schema:
    """An object as msgspec describes it, whose fields have one type, or are of several that the text names."""
    return Schema(
        type=OpenAPIType.OBJECT,
        title=own["title"],
        description=own["description"],
        properties={name: _schema(field) for name, field in own["properties"].items()},
        required=own["required"],
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


def _json(schema: Schema, required: bool = True) -> RequestBody:
    """A body whose examples are made when the document is asked for (see `DocumentRenderPlugin`)."""
    return RequestBody(content={"application/json": OpenAPIMediaType(schema=schema)}, required=required)


def _operation(body: RequestBody) -> type[Operation]:
    """Bodies are decoded by ourselves, for better errors; so they are described by ourselves."""

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            self.request_body = body

    return Described


def _text(description: str, form: OpenAPIFormat | None = None) -> OpenAPIMediaType:
    return OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=form, description=description))


PredictOperation = _operation(_json(_body(PredictRequest, ["station"], ["sequence"])))
BatchOperation = _operation(
    RequestBody(
        content={
            "application/json": OpenAPIMediaType(
                schema=Schema(
                    type=OpenAPIType.ARRAY,
                    items=_body(PredictRequest, ["station"], ["sequence"]),
                    min_items=1,
                    max_items=MOST_ITEMS,
                )
            ),
            "application/vnd.apache.arrow.stream": _text(
                "An Arrow IPC stream, a row a request: station, feed, target as text, time as timestamp with a zone,"
                " sequence as lists of lists of numbers, covariates as a map from names to lists of numbers.",
                OpenAPIFormat.BINARY,
            ),
        },
        required=True,
    )
)
_SERIES = json.schema(ForecastRequest)["$defs"]
_OPTIONS, _INPUT = _SERIES["ForecastOptions"], _SERIES["SeriesInput"]
SeriesOperation = _operation(
    _json(
        Schema(
            type=OpenAPIType.OBJECT,
            title="ForecastRequest",
            description=_SERIES["ForecastRequest"]["description"],
            required=["model", "inputs", "options"],
            properties={
                "model": _schema(_SERIES["ForecastRequest"]["properties"]["model"]),
                "inputs": Schema(type=OpenAPIType.ARRAY, min_items=1, max_items=MOST_ITEMS, items=_fields(_INPUT)),
                "options": _fields(_OPTIONS),
                "metadata": Schema(type=[OpenAPIType.OBJECT, OpenAPIType.NULL]),
            },
        )
    )
)
ObserveOperation = _operation(
    RequestBody(
        content={
            "application/json": OpenAPIMediaType(
                schema=Schema(one_of=[_READING, Schema(type=OpenAPIType.ARRAY, min_items=1, items=_READING)])
            ),
            "application/x-ndjson": _text("One reading a line."),
            "application/vnd.apache.arrow.stream": _text(
                "An Arrow IPC stream: station as text, time as timestamp with a zone or text, numbers.",
                OpenAPIFormat.BINARY,
            ),
        },
        required=True,
    )
)
EvalOperation = _operation(_json(_body(EvalRequest, ["id", "horizon"], ["predicted"])))
RetrainOperation = _operation(_json(_body(RetrainRequest), required=False))


def _current(request: Request[Any, Any, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The document as of now: with examples of what is served, and no token needed where none is asked for."""
    state = request.app.state
    own = with_examples(document, state.store, state.observations)
    anybody = state.clients.identify("")
    for operation in (each for methods in own["paths"].values() for each in methods.values()):
        for needed in list(operation.get("security") or ()):
            if all(anybody.may(scope) for scope in needed.get(TOKEN, ())):
                operation["security"].append({})
    return own


class PageRenderPlugin(SwaggerRenderPlugin):
    """Swagger UI from the server's own files, with examples of what is served now."""

    def __init__(self) -> None:
        super().__init__(
            path="/",
            js_url=pages.url("swagger-ui-bundle.js"),
            css_url=pages.url("swagger-ui.css"),
            standalone_preset_js_url=pages.url("swagger-ui-standalone-preset.js"),
            favicon=pages.ICON,
            style=f'<link rel="stylesheet" href="{pages.url("schema.css")}">'
            f'<script src="{pages.url("schema.js")}"></script>',
        )

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if not pages.is_built():
            return pages.NOT_BUILT
        return super().render(request, _current(request, openapi_schema))

    @staticmethod
    def render_json(request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document as a script may hold it: no text in it ends the script."""
        return OpenAPIRenderPlugin.render_json(request, openapi_schema).replace(b"<", b"\\u003c")

    def receive_router(self, router: Router) -> None:
        """Nothing more: the page for OAuth's answers has no use here."""


class DocumentRenderPlugin(JsonRenderPlugin):
    """The document with examples of what is served now."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return self.render_json(request, _current(request, openapi_schema))


class YamlDocumentRenderPlugin(YamlRenderPlugin):
    """The same in YAML, by way of JSON: YAML has a tag of Python's for a tuple, which no other reader knows."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, json.decode(self.render_json(request, _current(request, openapi_schema))))


def _finish(response: Response[Any]) -> Response[Any]:
    """Turns Litestar's own page for an unknown path below /schema into a problem document, as every error here; says
    to browsers what the page may do."""
    if response.status_code == HTTP_404_NOT_FOUND:
        raise NotFoundException
    if response.media_type == MediaType.HTML:
        response.headers.update(pages.headers(response.content))
    return response


def config(version: str, older: Sequence[str]) -> OpenAPIConfig:
    """The document's; `older` are the paths from before the versions."""
    return OpenAPIConfig(
        title="AeroCast",
        version=version,
        description=DESCRIPTION.format(older=", ".join(f"`{path}`" for path in older)),
        use_handler_docstrings=True,
        components=Components(security_schemes={TOKEN: _TOKEN_SCHEME}),
        render_plugins=[PageRenderPlugin(), DocumentRenderPlugin(), YamlDocumentRenderPlugin()],
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, after_request=_finish),
    )
