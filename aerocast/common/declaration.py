"""What all parts of a declaration share: unknown fields are refused, and every mistake is a sentence with its field."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

Place = tuple[int | str, ...]
_RULES = {  # pydantic's messages about Python types, as they concern a declaration
    "too_short": "must have at least {min_length}",
    "tuple_type": "must be a list",
    **dict.fromkeys(("dict_type", "model_type"), "must be a mapping"),
    "string_type": "must be text",
}
LONGEST_VALUE = 80  # characters of a value in a message


class Mistake(NamedTuple):
    """What is wrong at a place of a declaration, such as `("columns", 0, "unit")`; `()` is the whole declaration."""

    place: Place
    text: str

    def __str__(self) -> str:
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place).lstrip(".")
        return f"{field}: {self.text}" if field else self.text


def forbid_other_fields(schema: dict[str, Any]) -> None:
    """Lets editors mark a misspelt field (`additionalProperties`) and list the right names (`propertyNames`)."""
    schema["additionalProperties"] = False
    schema["propertyNames"] = {"enum": list(schema["properties"])}


class Strict(BaseModel):
    """A frozen model that refuses unknown fields: a misspelt limit must not become a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=forbid_other_fields)

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_unknown_fields(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        unknown = [name for name in data if name not in cls.model_fields] if isinstance(data, dict) else []
        if not unknown:
            return handler(data)
        details = [_unknown_field(str(name), list(cls.model_fields)) for name in unknown]
        try:
            handler({name: value for name, value in data.items() if name not in unknown})
        except ValidationError as error:
            details += [_detail(e["type"], e["loc"], e["msg"], e["input"], **_context(e)) for e in error.errors()]
        raise ValidationError.from_exception_data(cls.__name__, details)


def _unknown_field(name: str, fields: Sequence[str]) -> InitErrorDetails:
    near, hint = _nearest(name, fields)
    return _detail("unknown_field", (name,), f"no such field; {hint}allowed here: {', '.join(fields)}", near=near)


def not_allowed(name: str, names: Sequence[str]) -> str:
    """The sentence about a name that is not among `names`; it suggests the most similar one."""
    return f"{name!r} is not allowed: {_nearest(name, names)[1]}one of {', '.join(names)}"


def _nearest(name: str, names: Sequence[str]) -> tuple[str, str]:
    """The most similar name, empty if none is similar, and the question whether it was meant."""
    near = next(iter(get_close_matches(name, names, n=1)), "")
    return near, f"did you mean {near}? " if near else ""


def raise_mistakes(title: str, wrong: Sequence[Mistake]) -> None:
    """Raises pydantic's ValidationError with all these mistakes at once; does nothing without any."""
    if wrong:
        raise ValidationError.from_exception_data(title, [_detail("rule", place, text) for place, text in wrong])


def mistakes(error: ValidationError) -> list[Mistake]:
    """Every mistake in a validation error, without those that only follow from another."""
    details = error.errors()
    places = [each["loc"] for each in details]
    misspelt = {(*each["loc"][:-1], _context(each).get("near")) for each in details if each["type"] == "unknown_field"}
    return [
        Mistake(tuple(part for part in each["loc"] if part != "[key]"), _text(each))
        for each in details
        # A list is too short because all its items are wrong; a field is missing because it is misspelt.
        if not (each["type"] == "too_short" and any(_is_within(place, each["loc"]) for place in places))
        and not (each["type"] == "missing" and each["loc"] in misspelt)
    ]


def _is_within(place: Place, other: Place) -> bool:
    return len(place) > len(other) and place[: len(other)] == other


def _text(each: Any) -> str:
    kind, value = each["type"], each["input"]
    if kind == "missing":
        return "is missing"
    if kind in ("value_error", "unknown_field", "rule"):
        return str(each["msg"]).removeprefix("Value error, ")
    excerpt = text if len(text := repr(value)) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
    if kind == "string_type" and isinstance(value, bool | int | float):
        rule = "must be text; YAML reads an unquoted NO as false and 06610 as a number: write it in quotation marks"
        return f"{excerpt} is not allowed: {rule}"
    rule = _RULES.get(kind, str(each["msg"]).replace("Input should be", "must be", 1)).format(**_context(each))
    return f"{excerpt} is not allowed: {rule}"


def _context(each: Any) -> dict[str, Any]:
    return {name: value for name, value in (each.get("ctx") or {}).items() if name != "error"}


def _detail(kind: str, place: Place, text: str, value: Any = None, **context: Any) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, "{text}", {**context, "text": text}), loc=place, input=value)
