"""How text files and the numbers in them are written: `source.format` of a declaration."""

from __future__ import annotations

import codecs
from typing import Annotated, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from aerocast.common.declaration import Mistake, Strict, raise_mistakes

WHITESPACE = "whitespace"  # a delimiter: any run of blanks and tabs
MARKS = "one ASCII character that is no letter, no digit and no line break"


def _mark(value: str) -> str:
    if len(value) == 1 and value.isascii() and not value.isalnum() and value not in "\r\n\0":
        return value
    raise ValueError(f"{value!r} is not allowed: {MARKS}")


def _delimiter(value: str) -> str:
    try:
        return value if value == WHITESPACE else _mark(value)
    except ValueError as error:
        raise ValueError(f"{error}, or `{WHITESPACE}` for any number of blanks") from error


def _encoding(value: str) -> str:
    try:
        codec = codecs.lookup(value)
        if not codec._is_text_encoding:
            raise LookupError(value)
        codec.incrementaldecoder()
    except (LookupError, TypeError, ValueError) as error:
        rule = "an encoding that Python knows, such as utf-8, utf-16, cp1252 or latin-1"
        raise ValueError(f"{value!r} is not {rule}") from error
    return value


def _sign(value: str) -> str:
    if len(value) == 1 and not value.isalnum() and value not in "+-\r\n\0":
        return value
    raise ValueError(f"{value!r} is not allowed: one character that is no digit, letter, plus or minus")


Text = WithJsonSchema({"type": "string"})
Mark = Annotated[str, AfterValidator(_mark), Text]
Delimiter = Annotated[str, AfterValidator(_delimiter), Text]
Encoding = Annotated[str, AfterValidator(_encoding), Text]
Sign = Annotated[str, AfterValidator(_sign), Text]


class TextFormat(Strict):
    """How text files and the numbers in them are written; by default as RFC 4180 says, in UTF-8."""

    delimiter: Delimiter = Field(
        default=",",
        description='Separates two fields: one character (`"\\t"` for a tab), or `whitespace` for any run of blanks',
        examples=[";"],
    )
    quote: Mark | None = Field(
        default='"', description="What encloses a text with delimiters in it; null: nothing does", examples=["'"]
    )
    encoding: Encoding = Field(
        default="utf-8", description="Encoding of the file, by any name that Python knows", examples=["cp1252"]
    )
    decimal: Sign = Field(default=".", description="Decimal sign of numbers", examples=[","])
    thousands: Sign | None = Field(
        default=None, description="Sign between groups of digits; null: none", examples=["."]
    )
    skip: int = Field(default=0, ge=0, description="Lines before the header", examples=[4])
    header: tuple[str, ...] | None = Field(
        default=None,
        description="Names of the columns of a file without a header; null: its first line names them",
        examples=[["time", "temp"]],
    )
    units_rows: int = Field(
        default=0,
        ge=0,
        description="Lines between the header and the first reading, such as one of units",
        examples=[1],
    )
    comment: Mark | None = Field(
        default=None, description="Lines that begin with it are ignored; null: none", examples=["#"]
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        wrong = []
        if self.decimal == self.thousands:
            wrong.append(Mistake(("thousands",), f"{self.thousands!r} is the decimal sign, too"))
        marks = {"quote": self.quote, "comment": self.comment}
        for name, mark in marks.items():
            if mark and mark == self.delimiter:
                wrong.append(Mistake((name,), f"{mark!r} is the delimiter, too"))
        if self.header is not None and len(set(self.header)) < max(2, len(self.header)):
            wrong.append(Mistake(("header",), f"{list(self.header)} must have at least two names, each once"))
        raise_mistakes("TextFormat", wrong)
        return self
