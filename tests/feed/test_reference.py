"""The page about a declaration's fields: what the code would generate, complete, with examples that hold."""

from typing import Any

import jsonschema
import pytest

from aerocast.feed.declaration import Feed
from aerocast.feed.reference import reference, sections
from tests import PROJECT

DEFINITIONS = Feed.model_json_schema()["$defs"]
FIELDS = [(title, name, field) for title, schema in sections() for name, field in schema["properties"].items()]
NAMES = [f"{title} {name}" for title, name, _ in FIELDS]


def test_page_is_what_the_code_generates() -> None:
    page = (PROJECT / "docs/feed-reference.md").read_text(encoding="utf-8")
    assert page == reference(), "`make docs` writes it"


@pytest.mark.parametrize(("title", "name", "field"), FIELDS, ids=NAMES)
def test_field_is_described_and_its_examples_are_allowed(title: str, name: str, field: dict[str, Any]) -> None:
    assert field.get("description"), "give the pydantic field a description"
    assert field.keys() & {"examples", "const"} or field.get("default") is not None, "give the pydantic field examples"
    allowed = jsonschema.Draft202012Validator(field | {"$defs": DEFINITIONS})
    assert [error.message for example in field.get("examples", ()) for error in allowed.iter_errors(example)] == []


def test_examples_of_the_required_fields_are_a_feed() -> None:
    fields = Feed.model_json_schema()
    feed = Feed.parse({name: fields["properties"][name]["examples"][0] for name in fields["required"]})
    assert feed.targets == ("temperature",)
