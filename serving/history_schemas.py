"""What the history of forecasts answers; its descriptions become the OpenAPI document."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct


class PastForecast(Struct, frozen=True):
    """One horizon of a forecast, and what was measured then; in the target's unit of now."""

    time: Annotated[datetime, Meta(description="Target time, UTC.")]
    target: str
    station: str
    horizon: Annotated[int, Meta(description="Steps ahead; 0 for a pair of numbers that was posted.", examples=[6])]
    origin: datetime | None
    issued_at: Annotated[datetime, Meta(description="When it was answered last, UTC.")]
    forecast: Annotated[float, Meta(examples=[41.3])]
    lower: Annotated[float | None, Meta(examples=[36.1])]
    upper: Annotated[float | None, Meta(examples=[46.2])]
    level: Annotated[float | None, Meta(description="Nominal level of the interval.", examples=[0.9])]
    actual: Annotated[float, Meta(description="What was measured.", examples=[40.1])]
    actual_from: Annotated[str, Meta(description="`measured`, or `posted` by a client.", examples=["measured"])]
    error: Annotated[float, Meta(description="`actual` less `forecast`.", examples=[-1.2])]
    inside: Annotated[bool | None, Meta(description="Whether the interval held the outcome.", examples=[True])]
    persistence: Annotated[float | None, Meta(description="What the newest value said.", examples=[42.0])]
    seasonal_naive: Annotated[float | None, Meta(description="What the last season said.", examples=[39.0])]
    version: Annotated[str | None, Meta(examples=["0003-9f2c01aa"])]
    model: str | None
    degraded: bool
    reasons: Annotated[list[str], Meta(description="Codes of why it was degraded.", examples=[["gap_filled"]])]
    id: Annotated[str | None, Meta(description="Of the last answer.")]
    asked: Annotated[int, Meta(description="How often the same forecast was asked for.", examples=[1])]


class HistoryPage(Struct, frozen=True):
    """Forecasts of a station whose outcomes are known, by target time, oldest first."""

    feed: str
    station: str
    forecasts: list[PastForecast]
    next: Annotated[
        str | None,
        Meta(
            description="The `cursor` of the next page; null: this is the last. A page may be short, or empty, and have"
            " one: what is read for a page is bounded.",
            examples=["WyIyMDI2LTAxLTA1VDEyOjAwOjAwWiJd"],
        ),
    ]
