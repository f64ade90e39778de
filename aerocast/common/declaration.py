"""What all parts of a declaration share: an unknown field is a mistake, and a mistake is a sentence with its place."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

Place = tuple[int | str, ...]
# What pydantic says of Python's types, in a declaration's words.
_RULES = {
    "too_short": "must have at least {min_length}",
    "tuple_type": "must be a list",
    **dict.fromkeys(("dict_type", "model_type"), "must be a mapping"),
    "string_type": "must be a text",
}
LONGEST_VALUE = 80  # characters of a value in a sentence


class Mistake(NamedTuple):
    """What is wrong at a place of a declaration, `("columns", 0, "unit")`; the empty place is all of it."""

    place: Place
    text: str

    def __str__(self) -> str:
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place).lstrip(".")
        return f"{field}: {self.text}" if field else self.text


def closed(schema: dict[str, Any]) -> None:
    """`additionalProperties` points at the line of a misspelt field, `propertyNames` lists what may stand there."""
    schema["additionalProperties"] = False
    schema["propertyNames"] = {"enum": list(schema["properties"])}


class Strict(BaseModel):
    """Frozen, and an unknown field is a mistake: a misspelt limit must not be a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=closed)

    @model_validator(mode="wrap")
    @classmethod
    def _known_fields(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        unknown = [name for name in data if name not in cls.model_fields] if isinstance(data, dict) else []
        if not unknown:
            return handler(data)
        wrong = [_unknown(str(name), list(cls.model_fields)) for name in unknown]
        try:
            handler({name: value for name, value in data.items() if name not in unknown})
        except ValidationError as error:
            wrong += _details(error)
        raise ValidationError.from_exception_data(cls.__name__, wrong)


def _unknown(name: str, known: Sequence[str]) -> InitErrorDetails:
    near = _nearest(name, known)
    hint = f"did you mean {near}? " if near else ""
    text = f"no such field; {hint}allowed here: {', '.join(known)}"
    return _detail("unknown_field", (name,), text, near=near)


def one_of(name: str, known: Sequence[str]) -> str:
    """The sentence about a name that is none of those known."""
    near = _nearest(name, known)
    return f"{name!r} is not allowed: {f'did you mean {near}? ' if near else ''}one of {', '.join(known)}"


def _nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like this one; empty if none is."""
    return next(iter(get_close_matches(name, list(known), n=1)), "")


def refuse(title: str, wrong: Sequence[Mistake]) -> None:
    """Raises pydantic's ValidationError with these mistakes, for validators that see several at once; not for none."""
    if wrong:
        raise ValidationError.from_exception_data(title, [_detail("rule", place, text) for place, text in wrong])


def _details(error: ValidationError) -> list[InitErrorDetails]:
    """An error's parts as those of another error."""
    return [
        InitErrorDetails(
            type=PydanticCustomError(each["type"], "{text}", {**_context(each), "text": each["msg"]}),
            loc=each["loc"],
            input=each["input"],
        )
        for each in error.errors()
    ]


def mistakes(error: ValidationError) -> list[Mistake]:
    """Every mistake, without those that only follow from another."""
    found = error.errors()
    places = [each["loc"] for each in found]
    meant = {(*each["loc"][:-1], _context(each).get("near")) for each in found if each["type"] == "unknown_field"}
    return [
        Mistake(tuple(part for part in each["loc"] if part != "[key]"), _text(each))
        for each in found
        # A list is too short because all its items are wrong; a field is missing because it is misspelt.
        if not (each["type"] == "too_short" and any(_below(place, each["loc"]) for place in places))
        and not (each["type"] == "missing" and each["loc"] in meant)
    ]


def _below(place: Place, other: Place) -> bool:
    return len(place) > len(other) and place[: len(other)] == other


def _text(each: Any) -> str:
    kind, value = each["type"], each["input"]
    if kind == "missing":
        return "is missing"
    if kind in ("value_error", "unknown_field", "rule"):
        return str(each["msg"]).removeprefix("Value error, ")
    shown = repr(value)
    shown = shown if len(shown) <= LONGEST_VALUE else f"{shown[:LONGEST_VALUE]}..."
    rule = _RULES.get(kind, str(each["msg"]).replace("Input should be", "must be", 1)).format(**_context(each))
    return f"{shown} is not allowed: {rule}"


def _context(each: Any) -> dict[str, Any]:
    return {name: value for name, value in (each.get("ctx") or {}).items() if name != "error"}


def _detail(kind: str, place: Place, text: str, **context: Any) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, "{text}", {**context, "text": text}), loc=place, input=None)
