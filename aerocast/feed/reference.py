"""Writes the reference of a feed's declaration as Markdown, from its JSON schema: `docs/feed-reference.md`."""

from collections.abc import Iterator
from typing import Any

import yaml

from aerocast.feed.declaration import Feed

HEAD = """\
# Feed reference

Every field of a feed's declaration, below `attributes` of `defs/<feed>/defs.yaml`. `make docs` generates this page from
the declaration's model; do not edit it. [Add a feed](feeds.md) shows how the fields work together, and `aerocast check`
says what is wrong with a declaration.

A duration is written as in ISO 8601 (`PT5M`, `PT1H`, `P30D`), a time with its offset (`2026-01-01T00:00:00Z`), and a
unit as [pint](https://pint.readthedocs.io) knows it (`degC`, `km/h`, `ug/m^3`). A field without a default is required.
"""
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
Json = dict[str, Any]


def reference() -> str:
    """The page: a section for the feed, for each of its parts, for each source kind and for each model kind."""
    return HEAD + "".join(f"\n## {title}\n\n{_section(schema)}" for title, schema in sections())


def sections() -> Iterator[tuple[str, Json]]:
    """Title and JSON schema of everything that has fields."""
    whole = Feed.model_json_schema()
    sources = whole["properties"]["source"]["discriminator"]["mapping"].items()
    kinds = {ref.rpartition("/")[2]: f"Source kind `{kind}`" for kind, ref in sources}
    yield "Feed", whole
    for name in sorted(whole["$defs"], key=lambda name: (name in kinds, name)):
        yield kinds.get(name, name), whole["$defs"][name]
    for kind, schema in whole["properties"]["candidates"]["properties"].items():
        yield f"Model kind `{kind}`", schema


def _section(schema: Json) -> str:
    rows: list[tuple[str, ...]] = [("field", "type", "default", "meaning", "example"), ("---",) * 5]
    rows += [_row(name, field) for name, field in schema["properties"].items()]
    return f"{schema['description']}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(name: str, field: Json) -> tuple[str, ...]:
    nested = "properties" in field or any("$ref" in each for each in (field, *field.get("anyOf", ())))
    default = "" if "default" not in field else "see there" if nested and field["default"] else _code(field["default"])
    examples = [*field.get("examples", ()), *([field["const"]] if "const" in field else ())]
    example = _code(examples[0]) if examples else "" if nested else default
    return f"`{name}`", _type(field).replace("|", "\\|"), default, field["description"], example


def _type(field: Json) -> str:
    """What a value is, in words: `list of integer >= 1`, `duration or null`, or the section that describes it."""
    if "anyOf" in field:
        return " or ".join(map(_type, field["anyOf"]))
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "oneOf" in field:
        return "a source kind, below"
    if "const" in field:
        return _code(field["const"])
    if "properties" in field:
        return "model kinds, below"
    if "enum" in field:
        return f"one of {', '.join(_code(each) for each in field['enum'] if each is not False)}"
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    bounds = [f"{sign} {field[name]:g}" for name, sign in BOUNDS.items() if name in field]
    pattern = f"`{field['pattern']}`" if "pattern" in field and "format" not in field else ""
    return " ".join(filter(None, [field.get("format", field["type"]), ", ".join(bounds), pattern]))


def _code(value: Any) -> str:
    """A value as one line of YAML."""
    return f"`{yaml.safe_dump(value, default_flow_style=True, width=1000).strip().removesuffix('...').strip()}`"


if __name__ == "__main__":
    print(reference(), end="")
