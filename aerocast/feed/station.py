"""One station in the declaration of a feed: where it stands, its local clock, and under which ids it sends."""

import re
from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from aerocast.common.declaration import Strict
from aerocast.feed.field_types import Zone
from aerocast.feed.holiday_calendar import Region

LONGEST_ID = 100
_ID = r"^[\w](?:[\w .:,'()&+/#@-]*[\w.)])?$"


def is_id(text: str) -> bool:
    """Whether a station may have this id."""
    return len(text) <= LONGEST_ID and re.match(_ID, text) is not None


def _id(value: Any) -> Any:
    """A text; of what YAML reads otherwise it says so."""
    if isinstance(value, bool):
        word = "YES" if value else "NO"
        rule = f"YAML reads an unquoted {word}, {word.lower()} or {'on' if value else 'off'} as {str(value).lower()}"
        raise ValueError(f'{value} is not allowed: {rule}; write the id in quotation marks, such as "{word}"')
    if isinstance(value, int | float | date):
        rule = "an id is text, and YAML reads an unquoted 06610 as the number 3464"
        raise ValueError(f'{value} is not allowed: {rule}; write it in quotation marks, such as "06610"')
    if isinstance(value, str) and not is_id(value):
        rule = f"1 to {LONGEST_ID} letters, digits, blanks and _ . : , ' ( ) & + / # @ -, from a letter or digit on"
        raise ValueError(f"{value!r} is not allowed: an id has {rule}")
    return value


def _alias(value: Any) -> Any:
    """Any text, for others have chosen it."""
    return value if isinstance(value, str) and value.strip() else _id(value)


Alias = Annotated[str, BeforeValidator(_alias)]
Id = Annotated[str, BeforeValidator(_id), WithJsonSchema({"type": "string", "format": "station", "pattern": _ID})]


class Station(Strict):
    """One place or instrument; `timezone` (IANA) gives the local clock that daily seasons follow."""

    id: Id = Field(description="Id by which requests and tables name it", examples=["JFK"])
    name: str = Field(default="", description="Name for people", examples=["John F. Kennedy"])
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = Field(
        default=None,
        description="Degrees north; with the longitude it gives the models the sun's height",
        examples=[40.64],
    )
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = Field(
        default=None, description="Degrees east", examples=[-73.78]
    )
    timezone: Zone | None = Field(
        default=None,
        description="IANA zone of the station's local clock; null: the source's `timezone`, or else UTC",
        examples=["Europe/Berlin"],
    )
    holidays: Region | None = Field(
        default=None, description="Country of its public holidays, if not the feed's", examples=["US-NY"]
    )
    aliases: tuple[Alias, ...] = Field(
        default=(), description="Other ids under which its readings arrive or arrived", examples=[["London Marylebone"]]
    )
