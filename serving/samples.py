"""Examples of answers and parameters, from what the document says of their fields; nothing needs to be served."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

# What a field of this name and type may hold, where its own description has no example.
VALUES: Mapping[str, tuple[str, Any]] = {
    **{
        name: ("string", value)
        for name, value in {
            "feed": "noaa",
            "target": "temperature",
            "station": "JFK",
            "name": "temperature",
            "label": "temp",
            "unit": "degF",
            "kind": "linear",
            "version": "0003-9f2c01aa",
            "serving": "0003-9f2c01aa",
            "status": "ok",
            "id": "0b6e1c52-5f0a-4b7e-9a53-6c2d1f6f0a11",
            "timezone": "America/New_York",
            "file": "tail/noaa.npz",
            "from": "2026-01-05T00:00:00Z",
            "to": "2026-01-06T00:00:00Z",
            "cursor": "WyIyMDI2LTAxLTA1VDEyOjAwOjAwWiIsInRlbXBlcmF0dXJlIiwiSkZLIiw2LCIiLCIiLCIiXQ",
            "Idempotency-Key": "gateway-1/7",
            "Last-Event-ID": "1796071180495-42",
        }.items()
    },
    "horizons": ("array", [1, 6, 24]),
    "range": ("array", [-40.0, 125.0]),
}
_BY_TYPE: Mapping[str, Any] = {"string": "text", "integer": 1, "number": 1.5, "boolean": False, "null": None}
_BY_FORMAT = {"date-time": "2026-01-05T12:00:00Z", "duration": "PT1H", "binary": "bytes"}


class Sampler:
    """Makes examples; `values` are what fields of these names hold here: before their own examples, then VALUES."""

    def __init__(self, document: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self._schemas = document.get("components", {}).get("schemas", {})
        self._values = values

    def value(self, schema: Mapping[str, Any], name: str = "") -> Any:
        """A value that the schema allows; `name` is that of the field or parameter."""
        if "$ref" in schema:
            return self.value(self._schemas[schema["$ref"].rpartition("/")[2]], name)
        choices = schema.get("anyOf") or [schema]
        kind = choices[0].get("type", "object")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "string" and name in self._values:
            return self._values[name]
        if "examples" in schema or "default" in schema or "enum" in schema:
            return schema.get("examples", schema.get("enum", [schema.get("default")]))[0]
        if name in VALUES and kind == VALUES[name][0]:
            return VALUES[name][1]
        if len(choices) > 1:
            is_plain_text = choices[0].get("type") == "string" and "format" not in choices[0]
            return None if is_plain_text and {"type": "null"} in choices else self.value(choices[0], name)
        if kind == "array":
            return [self.value(schema.get("items", {}))]
        if kind == "object":
            extra = schema.get("additionalProperties")
            own = {key: self.value(field, key) for key, field in schema.get("properties", {}).items()}
            return own or ({"1": self.value(extra)} if extra else {})
        return _BY_FORMAT.get(schema.get("format", ""), _BY_TYPE.get(kind))

    def _events(self, schema: Mapping[str, Any]) -> str:
        data = [self.value(each) for each in schema["anyOf"]]
        first, number = self.value({"type": "string"}, "Last-Event-ID").split("-")
        return "".join(
            f"id: {first}-{int(number) + at}\nevent: {each['kind']}\ndata: {json.dumps(each)}\n\n"
            for at, each in enumerate(data, 1)
        )

    def answer(self, status: str, described: Mapping[str, Any], media_type: str) -> dict[str, Any]:
        """An example of an answer, as the document's object of that name."""
        if media_type == "application/problem+json":
            phrase = HTTPStatus(int(status)).phrase
            slug = phrase.lower().replace(" ", "-")
            about = {"type": f"urn:aerocast:problem:{slug}", "title": phrase, "status": int(status)}
            return {"summary": phrase, "value": {**about, "detail": described["description"]}}
        if media_type.startswith("image/"):
            return {"summary": "A picture", "externalValue": "/reports/noaa/temperature/drift.png"}
        if media_type == "text/event-stream":
            return {
                "summary": "One event of each kind",
                "value": self._events(described["content"][media_type]["schema"]),
            }
        if media_type.startswith("text/"):
            return {"summary": "Some lines", "value": 'predictions_total{model_type="linear"} 12.0'}
        return {"summary": "An answer", "value": self.value(described["content"][media_type].get("schema", {}))}
