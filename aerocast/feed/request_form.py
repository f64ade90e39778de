"""How clients of older systems ask `/predict`, and what they read in the answer: declared, not coded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from aerocast.common.declaration import Mistake, Strict, raise_mistakes
from aerocast.feed.field_types import Name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aerocast.feed.declaration import Feed

Answer = Literal["station", "time", "target_time", "value", "lower", "upper", "unit", "version", "source", "degraded"]


class RequestForm(Strict):
    """A flat request of an older client and its flat answer, which holds the nearest horizon alone."""

    station: str | None = Field(
        default=None, description="Field for the station; null: the feed has one", examples=["site_id"]
    )
    time: str | None = Field(
        default=None,
        description="Field for the time of asking, which the answer repeats; null: none",
        examples=["timestamp"],
    )
    columns: dict[str, Name] = Field(
        default={},
        description="Fields with values that stand for those of the newest step, and their columns",
        examples=[{"temp": "temperature"}],
    )
    ignored: tuple[str, ...] = Field(
        default=(), description="Fields that are allowed, and mean nothing here", examples=[["humidity"]]
    )
    target: Name | None = Field(
        default=None, description="Target that such requests ask for; null: that of the address", examples=["demand"]
    )
    answer: dict[str, Answer] = Field(
        min_length=1,
        description="Fields of the answer, and what they hold; `{target}` in a name stands for the target",
        examples=[{"site_id": "station", "timestamp": "time", "{target}_pred": "value", "source": "source"}],
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [each for each in (self.station, self.time) if each] + [*self.columns, *self.ignored]
        wrong = [Mistake((), f"the field {name!r} is named twice") for name in set(names) if names.count(name) > 1]
        if not names:
            wrong.append(Mistake((), "must name a field by which such a request is known"))
        raise_mistakes("RequestForm", wrong)
        return self


def mistakes(feed: Feed) -> Iterator[Mistake]:
    """Mistakes between the forms and the rest of the feed."""
    names = [column.name for column in feed.columns]
    for at, form in enumerate(feed.request_forms):
        for field, column in form.columns.items():
            if column not in names:
                text = f"{column!r} is not a column; allowed: {', '.join(names)}"
                yield Mistake(("request_forms", at, "columns", field), text)
        if form.target is not None and form.target not in feed.targets:
            text = f"{form.target!r} is not a target; allowed: {', '.join(feed.targets)}"
            yield Mistake(("request_forms", at, "target"), text)
        if form.station is None and len(feed.stations) > 1:
            yield Mistake(("request_forms", at, "station"), f"is missing: the feed has {len(feed.stations)} stations")
