"""The names and types of KServe's protocol for time series, `POST /v1/timeseries/forecast`.

The protocol lets answers have further fields: those of this server say so. Fields of requests that it does not know are
ignored, as the protocol asks.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

UNIVARIATE: Final = "univariate_time_series"
SeriesType = Literal["univariate_time_series", "multivariate_time_series"]
Frequency = Literal[
    "second", "S", "minute", "T", "hour", "H", "day", "D", "week", "W", "month", "M", "quarter", "Q", "year", "Y"
]  # fmt: skip
Status = Literal["completed", "error", "pending", "partial"]


class SeriesError(Struct, frozen=True):
    """What is wrong with a request, or with one of its series."""

    message: str
    type: Annotated[str, Meta(examples=["unknown-station"])]
    code: Annotated[str | None, Meta(description="The status that it alone would have.", examples=["422"])] = None
    param: Annotated[str | None, Meta(description="Which field.", examples=["frequency"])] = None


class SeriesInput(Struct):
    """What was measured, oldest first."""

    type: SeriesType
    name: Annotated[str, Meta(description="A station of the feed, whose place and clock count then; or any name.")]
    series: Annotated[
        list[float | list[float]],
        Meta(
            description="Univariate: values of the target. Multivariate: for each step one number a column of"
            " `window.columns` (see /v1/feeds). Of more than `window.look_back` steps the newest count."
        ),
    ]
    frequency: Annotated[Frequency, Meta(description="Has to be the feed's cadence.")]
    start_timestamp: Annotated[str, Meta(description="Time of the first value, ISO 8601 with an offset.")] | None = None
    frequency_multiple: Annotated[
        int, Meta(ge=1, description="Of this server: how many of `frequency` a step is, such as 30 minutes.")
    ] = 1


class ForecastOptions(Struct):
    """How far ahead, and which quantiles."""

    horizon: Annotated[int, Meta(ge=1, description="Most steps ahead; those of the model's horizons are answered.")]
    quantiles: (
        Annotated[
            list[float], Meta(description="Between the lowest and the highest of the model's; in between, on a line.")
        ]
        | None
    ) = None


class ForecastRequest(Struct):
    """Series to forecast by one model."""

    model: Annotated[str, Meta(description="`<feed>/<target>`, or a feed for its first target; see the models.")]
    inputs: Annotated[list[SeriesInput], Meta(min_length=1)]
    options: ForecastOptions
    metadata: dict[str, Any] | None = None


class SeriesForecast(Struct, frozen=True):
    """A series' forecasts: one number a horizon."""

    type: Annotated[SeriesType, Meta(description="Univariate: of the target.")]
    name: str
    mean_forecast: Annotated[list[float], Meta(examples=[[41.3, 43.0]])]
    frequency: Frequency
    start_timestamp: Annotated[
        str,
        Meta(description="Of the first horizon; empty without one of the request.", examples=["2026-01-05T13:00:00Z"]),
    ]
    quantiles: Annotated[dict[str, list[float]] | None, Meta(examples=[{"0.1": [38.0, 39.1], "0.9": [44.6, 47.0]}])]
    horizons: Annotated[list[int], Meta(description="Of this server: steps ahead of each.", examples=[[1, 6]])]
    degraded: Annotated[bool, Meta(description="Of this server: not all was measured and fresh.")]
    reasons: Annotated[list[str], Meta(description="Of this server: why.", examples=[["short_sequence"]])]


class ForecastOutput(Struct, frozen=True):
    """What one series of the request is answered."""

    type: Annotated[str, Meta(examples=["time_series_forecast"])]
    id: Annotated[str, Meta(description="Names the forecast when its outcome is posted to /v1/eval.")]
    status: Annotated[Status, Meta(description="`partial`: not every step up to the horizon is one of the model's.")]
    content: list[SeriesForecast]
    error: SeriesError | None = None


class ForecastResponse(Struct, frozen=True):
    """One output a series, in their order."""

    id: str
    created_at: Annotated[int, Meta(description="Seconds since 1970.", examples=[1767610800])]
    status: Annotated[Status, Meta(description="`partial` where some series could not be answered.")]
    model: Annotated[str, Meta(examples=["noaa/temperature"])]
    outputs: list[ForecastOutput]
    error: SeriesError | None = None
    usage: None = None
