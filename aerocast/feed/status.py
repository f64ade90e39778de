"""What a source says of its values in a field of its own: `source.status` of a declaration."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from aerocast.common.declaration import Mistake, Strict, raise_mistakes
from aerocast.common.times import BLANKS
from aerocast.feed.field_types import Texts


class Status(Strict):
    """A field whose words say whether values are good, suspect (they go to quarantine) or missing."""

    field: str = Field(
        description="The source's name for the status of a row; with `{field}` each field has its own. Of names that a"
        " header repeats each follows the column before it: `ozone status`",
        examples=["{field}_flag"],
    )
    good: Texts | None = Field(
        default=None,
        description="Words for a good value; null: all that are not declared otherwise",
        examples=[["V", "R"]],
    )
    suspect: Texts = Field(
        default=(), description="Words for a suspect value, by which it goes to quarantine", examples=[["SUSPECT"]]
    )
    missing: Texts = Field(default=(), description="Words for a missing value", examples=[["M"]])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        words = [fold(word) for word in (*(self.good or ()), *self.suspect, *self.missing)]
        wrong = [
            Mistake((), f"{word!r} is declared twice") for word in sorted({w for w in words if words.count(w) > 1})
        ]
        if not words:
            wrong.append(Mistake((), "needs words: `good`, `suspect` or `missing`"))
        raise_mistakes("Status", wrong)
        return self


def fold(word: str) -> str:
    """A word as it is compared: without case, blanks, and the point of a whole number."""
    plain = word.strip(BLANKS).lower()
    head, point, zeros = plain.partition(".")
    return head if point and zeros and not zeros.strip("0") else plain
