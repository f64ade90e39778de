"""What an event of `GET /v1/events` says: one struct a kind, as JSON in the event's data."""

from datetime import datetime
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from aerocast.contracts.alarms import AlarmKind, Judge
from aerocast.contracts.anomalies import Cause
from aerocast.contracts.drift_state import Verdict
from serving.schemas import Prediction

Kind = Literal["forecast", "outcome", "drift", "retrain", "promotion", "anomaly", "alert"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Seen = Annotated[datetime, Meta(description="When this server saw it, UTC.")]
Feed = Annotated[str, Meta(examples=["noaa"])]
Target = Annotated[str, Meta(examples=["temperature"])]
Station = Annotated[str, Meta(examples=["JFK"])]
Version = Annotated[str, Meta(examples=["0003-9f2c01aa"])]
Number = Annotated[float, Meta(description="In the target's unit.", examples=[41.3])]
Moment = datetime | None
OfTarget = Annotated[Target | None, Meta(description="Null: it concerns every target.")]
OfStation = Annotated[Station | None, Meta(description="Null: it concerns no single station.")]


class ForecastStep(Struct, frozen=True):
    """One horizon of a forecast, with the interval that holds the outcome with the probability `level`."""

    horizon: Annotated[int, Meta(description="Steps ahead of the origin.", examples=[6])]
    time: Annotated[Moment, Meta(description="Target time, UTC.")]
    value: Number
    lower: Number
    upper: Number


class ForecastNotice(Struct, frozen=True, kw_only=True):
    """The newest forecast of a station: the first answer from its newest readings. Further answers are the same."""

    kind: Literal["forecast"] = "forecast"
    at: Seen
    feed: Feed
    target: Target
    station: Station
    unit: Annotated[str, Meta(examples=["degF"])]
    id: Annotated[str, Meta(description="The answer's, for `POST /v1/eval`.")]
    origin: Annotated[Moment, Meta(description="The newest step it rests on, UTC.")]
    version: Version
    model: Annotated[str, Meta(description="The release's kind.", examples=["linear"])]
    degraded: Annotated[bool, Meta(description="Gaps were filled, a sensor is faulty, or the station is late.")]
    level: Annotated[float, Meta(examples=[0.9])]
    forecasts: list[ForecastStep]


class OutcomeNotice(Struct, frozen=True, kw_only=True):
    """What was really measured: as a reading that met a forecast, as a post to `/v1/eval`, or as readings accepted."""

    kind: Literal["outcome"] = "outcome"
    at: Seen
    feed: Feed
    source: Annotated[
        Literal["reading", "posted", "observations"],
        Meta(
            description="`reading`: a new step of the platform's met the newest forecast of its time; `posted`: the"
            " newest outcome posted since the look before; `observations`: readings that this server accepted since"
            " then, not yet judged."
        ),
    ]
    target: OfTarget = None
    station: OfStation = None
    time: Annotated[Moment, Meta(description="The forecast's target time, UTC.")] = None
    horizon: Annotated[int | None, Meta(description="Steps ahead.", examples=[6])] = None
    predicted: Number | None = None
    lower: Number | None = None
    upper: Number | None = None
    actual: Number | None = None
    error: Annotated[float | None, Meta(description="`actual` - `predicted`.", examples=[-0.7])] = None
    rmse: Annotated[float | None, Meta(description="Of the newest outcomes posted here.", examples=[1.2])] = None
    readings: Annotated[int | None, Meta(description="How many were accepted.", examples=[12])] = None


class DriftNotice(Struct, frozen=True, kw_only=True):
    """The platform's belief of a feed has changed."""

    kind: Literal["drift"] = "drift"
    at: Seen
    feed: Feed
    change: Annotated[
        Literal["hot", "cool", "verdict", "fault_began", "fault_ended"],
        Meta(
            description="`hot`: concept drift lasts, a retrain is due; `cool`: it is over; `verdict`: what is diagnosed"
            " of a target at a station; `fault_began`, `fault_ended`: of a sensor."
        ),
    ]
    judged_at: Annotated[datetime, Meta(description="In the feed's time, UTC.")]
    target: OfTarget = None
    station: OfStation = None
    verdict: Annotated[Verdict | None, Meta(description="Of a `verdict`: now.", examples=["concept_drift"])] = None
    before: Annotated[Verdict | None, Meta(description="Of a `verdict`: until now.", examples=["ok"])] = None
    onset: Annotated[Moment, Meta(description="When it probably began, in the feed's time, UTC.")] = None
    rmse: Annotated[float | None, Meta(description="Of the newest outcomes.", examples=[3.4])] = None
    expected_rmse: Annotated[float | None, Meta(description="What the season allows.", examples=[1.9])] = None
    column: Annotated[str | None, Meta(description="Of a fault: what cannot be believed.")] = None
    detail: Annotated[str, Meta(description="A sentence.", examples=["errors are 1.8 times as large"])] = ""


class RetrainNotice(Struct, frozen=True, kw_only=True):
    """A retrain of a target."""

    kind: Literal["retrain"] = "retrain"
    at: Seen
    feed: Feed
    target: Target
    change: Annotated[
        Literal["asked", "began", "ended", "waits"],
        Meta(
            description="`asked`: a request was left with this server; `began`, `ended`: a run; `waits`: none is"
            " started although drift asks for one, and `reason` says why."
        ),
    ]
    reason: Annotated[str, Meta(examples=["drift temperature: JFK: RMSE 3.4, 1.9 expected"])]
    outcome: Annotated[
        Literal["promoted", "refused", "failed"] | None, Meta(description="Of one that ended.", examples=["promoted"])
    ] = None
    started: Annotated[Moment, Meta(description="In the feed's time, UTC.")] = None
    ended: Annotated[Moment, Meta(description="In the feed's time, UTC.")] = None
    run_id: Annotated[str | None, Meta(description="Dagster's run.")] = None


Decided = Literal["promoted", "refused", "held", "rolled_back", "chosen", "lifted"]


class PromotionNotice(Struct, frozen=True, kw_only=True):
    """A decision of the platform on what serves, with the proof's figures, or what this server made of it."""

    kind: Literal["promotion"] = "promotion"
    at: Seen
    feed: Feed
    target: Target
    change: Annotated[
        Decided | Literal["serving", "unusable"],
        Meta(
            description="Of a trial: `promoted`, `refused`, `held` (a person holds what serves). Of a choice without a"
            " trial: `rolled_back`, `chosen`, `lifted` (a hold is over). Of this server: `serving` (it answers with it"
            " from now on), `unusable` (it does not load; the one before serves on)."
        ),
    ]
    version: Annotated[Version | None, Meta(description="What serves afterwards.")]
    reason: Annotated[str, Meta(examples=["Promoted: gru has composite 0.8123 and skill 0.1877"])]
    decided_at: Annotated[Moment, Meta(description="UTC.")] = None
    model: Annotated[str | None, Meta(description="The kind that was judged.", examples=["linear"])] = None
    challenger: Annotated[Version | None, Meta(description="The release that was judged.")] = None
    incumbent: Annotated[Version | None, Meta(description="What served before.")] = None
    composite: Annotated[float | None, Meta(description="Loss relative to the baselines'.", examples=[0.8123])] = None
    skill: Annotated[float | None, Meta(description="Over the better baseline.", examples=[0.1877])] = None
    incumbent_composite: Annotated[float | None, Meta(description="On the same rows.", examples=[0.8406])] = None
    gain: Annotated[float | None, Meta(description="Share of the incumbent's loss saved.", examples=[0.0337])] = None
    p_value: Annotated[float | None, Meta(description="The chance that luck did it.", examples=[0.004])] = None
    test_rows: Annotated[int | None, Meta(description="Rows that judged.", examples=[4821])] = None
    run_id: Annotated[str | None, Meta(description="Dagster's run.")] = None


class AnomalyNotice(Struct, frozen=True, kw_only=True):
    """A station is unlike its own past, or is so no longer; `GET /v1/anomalies` has all of it."""

    kind: Literal["anomaly"] = "anomaly"
    at: Seen
    feed: Feed
    station: Station
    change: Annotated[
        Literal["opened", "closed"],
        Meta(description="`closed` alone where beginning and end came to be known at once."),
    ]
    start: Annotated[datetime, Meta(description="The first surprising step, UTC.")]
    end: Annotated[Moment, Meta(description="When it was calm again, UTC.")]
    severity: Annotated[float, Meta(description="Surprise at the peak.", examples=[3.6])]
    cause: Annotated[Cause, Meta(examples=["weather"])]
    columns: Annotated[dict[str, float], Meta(description="Shares in the peak.", examples=[{"temperature": 0.9}])]
    detail: Annotated[str, Meta(examples=["temperature 71.2 degF, 5.1 usual deviations above what is usual"])]


class AlarmRecord(Struct, frozen=True, kw_only=True):
    """A condition that people should know of, from its beginning to its end."""

    condition: Annotated[AlarmKind, Meta(description="What it is.", examples=["station_silent"])]
    alarm: Annotated[str, Meta(description="Joins its beginning and its end.", examples=["3f1c0a9be7d24c5588aa"])]
    judge: Annotated[Judge, Meta(description="Who judged.", examples=["platform"])]
    sentence: Annotated[str, Meta(examples=["noaa: JFK is silent: its newest reading is 5 hours old"])]
    opened_at: Annotated[datetime, Meta(description="Real time, UTC.")]
    over_at: Annotated[Moment, Meta(description="Real time, UTC; null: it lasts.")] = None
    since: Annotated[Moment, Meta(description="When it began, in the feed's time where it has one, UTC.")] = None
    feed: Annotated[Feed | None, Meta(description="Null: it concerns the whole platform.")] = None
    target: OfTarget = None
    station: OfStation = None
    check: Annotated[str | None, Meta(description="The asset's check.", examples=["noaa/raw:all_read"])] = None


class AlertNotice(AlarmRecord, frozen=True, kw_only=True):
    """A condition that people should know of began, or is over."""

    kind: Literal["alert"] = "alert"
    at: Seen
    change: Annotated[Literal["began", "over"], Meta(examples=["began"])]


Lost = Literal["other-process", "too-old", "too-slow"]


class Reset(Struct, frozen=True, kw_only=True):
    """Events are missing: what is shown must be loaded again. It is sent whatever kinds were asked for."""

    kind: Literal["reset"] = "reset"
    at: Seen
    reason: Annotated[
        Lost,
        Meta(
            description="`other-process`: the id is of another process of the server, or of none; `too-old`: events"
            " after it are gone; `too-slow`: this listener did not read fast enough."
        ),
    ]


Notice = ForecastNotice | OutcomeNotice | DriftNotice | RetrainNotice | PromotionNotice | AnomalyNotice | AlertNotice


def forecast_notice(prediction: Prediction) -> ForecastNotice:
    """What is told of an answer for a station."""
    assert prediction.station is not None, "a sequence of a client's is nobody else's business"
    return ForecastNotice(
        at=prediction.issued_at,
        feed=prediction.feed,
        target=prediction.target,
        station=prediction.station,
        unit=prediction.unit,
        id=prediction.id,
        origin=prediction.origin,
        version=prediction.model.version,
        model=prediction.model.kind,
        degraded=prediction.degraded,
        level=prediction.level,
        forecasts=[
            ForecastStep(each.horizon, each.time, each.value, each.lower, each.upper) for each in prediction.forecasts
        ],
    )
