"""What the loop's state is answered as; its descriptions become the OpenAPI document."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from aerocast.contracts.drift_state import Verdict
from aerocast.contracts.pointer import Hold
from serving.notices import AlarmRecord

Moment = datetime | None


class StationDrift(Struct, frozen=True):
    """What is believed of a target at a station."""

    station: Annotated[str, Meta(examples=["JFK"])]
    verdict: Annotated[Verdict, Meta(description="Only `concept_drift` leads to a retrain.", examples=["ok"])]
    judged_at: Annotated[datetime, Meta(description="In the feed's time, UTC.")]
    onset: Annotated[Moment, Meta(description="When the change probably began.")]
    rmse: Annotated[float | None, Meta(description="Of the newest outcomes, in `unit`.", examples=[1.4])]
    expected_rmse: Annotated[float | None, Meta(description="What season and weather allow.", examples=[1.6])]
    outcomes: Annotated[int, Meta(description="How many were judged.", examples=[168])]
    evidence: Annotated[list[str], Meta(description="What speaks for a change.", examples=[["errors have grown"]])]


class SensorFault(Struct, frozen=True):
    """A sensor that cannot be believed: its readings of `column` go to quarantine."""

    station: Annotated[str, Meta(examples=["JFK"])]
    column: Annotated[str, Meta(examples=["pressure"])]
    kind: Annotated[str, Meta(examples=["stuck"])]
    start: datetime
    end: Annotated[Moment, Meta(description="Null: still.")]
    detail: Annotated[str, Meta(examples=["the same value for 30 steps"])]


class PastChoice(Struct, frozen=True):
    """A decision on what serves, with its proof; figures are null where there was no trial."""

    decided_at: datetime
    verdict: Annotated[
        str,
        Meta(description="`promoted`, `refused` or `held` of a trial, else why it was chosen.", examples=["promoted"]),
    ]
    reason: Annotated[str, Meta(examples=["Promoted: xgboost has composite 0.6215 and skill 0.2839"])]
    version: Annotated[str | None, Meta(description="What served afterwards.", examples=["0003-9f2c01aa"])]
    challenger: Annotated[str | None, Meta(description="The release that was judged.")]
    incumbent: Annotated[str | None, Meta(description="What served before.")]
    asked_by: Annotated[str | None, Meta(description="Why models were trained.", examples=["schedule"])]
    skill: Annotated[float | None, Meta(description="Over the better baseline.", examples=[0.28])]
    composite: Annotated[float | None, Meta(description="Loss relative to the baselines'.", examples=[0.62])]
    incumbent_composite: Annotated[float | None, Meta(description="The same of what served.", examples=[0.66])]
    gain: Annotated[float | None, Meta(description="Share of the incumbent's loss saved.", examples=[0.06])]
    p_value: Annotated[float | None, Meta(description="The chance that luck did it.", examples=[0.004])]
    test_rows: Annotated[int | None, Meta(description="Rows that judged.", examples=[5238])]
    test_start: Moment
    test_end: Moment
    hold: Annotated[str | None, Meta(description="A person's hold on what served.")]


class NewestRun(Struct, frozen=True):
    """The newest retrain of a target; times are the feed's."""

    run_id: Annotated[str, Meta(description="In Dagster; empty: none was started.", examples=["9d66a96a"])]
    reason: Annotated[str, Meta(description="Why it was started.", examples=["drift temperature: JFK: RMSE 3.9"])]
    outcome: Annotated[
        Literal["running", "promoted", "refused", "failed"] | None, Meta(description="What became of it.")
    ]
    started: Moment
    ended: Moment
    obstacle: Annotated[str, Meta(description="Why none starts although drift asks for one.")]


class ShadowEvidence(Struct, frozen=True):
    """A challenger that is asked what the champion is asked, without being heard: how both met the outcomes."""

    challenger: Annotated[str, Meta(examples=["0004-aa12cd34"])]
    champion: Annotated[str, Meta(examples=["0003-9f2c01aa"])]
    pairs: Annotated[int, Meta(description="Outcomes of requests that both answered.", examples=[120])]
    gain: Annotated[float, Meta(description="Share of the champion's loss that it saves.", examples=[0.04])]
    p_value: Annotated[float | None, Meta(description="The chance that luck did it.", examples=[0.03])]
    as_judged: Annotated[bool, Meta(description="It is what the trial of the champion's own release judged.")]


class TargetLoop(Struct, frozen=True):
    """How a target stands with the loop."""

    target: Annotated[str, Meta(examples=["temperature"])]
    unit: Annotated[str, Meta(examples=["degF"])]
    version: Annotated[str, Meta(description="What serves.", examples=["0003-9f2c01aa"])]
    previous: Annotated[str | None, Meta(description="The release that served before.", examples=["0002-11aa22bb"])]
    promoted_at: datetime
    training_end: Annotated[datetime, Meta(description="End of the span that it was trained on, UTC.")]
    hold: Annotated[Hold | None, Meta(description="A person's hold: the loop replaces nothing.")]
    hot: Annotated[bool, Meta(description="Whether concept drift lasts.")]
    since: Annotated[Moment, Meta(description="When it last became hot or cool.")]
    onset: Annotated[Moment, Meta(description="When the drift that made it hot began.")]
    edges: Annotated[int, Meta(description="How often it became hot.", examples=[1])]
    retrain: Annotated[
        str | None,
        Meta(
            description="What the platform's sensor said last: why it retrains, or does not; null: it has not looked.",
            examples=["cool since 2013-10-19 06:00"],
        ),
    ]
    retrain_at: Annotated[Moment, Meta(description="Since when it says so, in the feed's time.")]
    request: Annotated[str | None, Meta(description="The id of the open request for a retrain.")]
    run: Annotated[NewestRun | None, Meta(description="The newest retrain; null: the sensor has seen none.")]
    shadows: Annotated[list[ShadowEvidence], Meta(description="Challengers beside the champion.")]
    stations: list[StationDrift]
    decisions: Annotated[list[PastChoice], Meta(description="The newest, newest first.")]


class FeedLoop(Struct, frozen=True):
    """A feed and what the loop knows of it; `now` is the feed's own present."""

    feed: Annotated[str, Meta(examples=["noaa"])]
    now: datetime
    judged_at: Annotated[Moment, Meta(description="When drift was last looked for; null: never.")]
    faults: Annotated[list[SensorFault], Meta(description="Those that last, and the newest that are over.")]
    targets: list[TargetLoop]


class RuleCount(Struct, frozen=True):
    """How many readings (`column` is null) or values of a station broke a rule."""

    station: Annotated[str | None, Meta(examples=["JFK"])]
    column: Annotated[str | None, Meta(examples=["windspeed"])]
    rule: Annotated[str, Meta(examples=["range"])]
    count: Annotated[int, Meta(examples=[1])]
    newest: Annotated[Moment, Meta(description="The newest reading's time, UTC.")]


class RefusedValue(Struct, frozen=True):
    """A reading or value that broke a rule: kept, and used for nothing."""

    station: Annotated[str | None, Meta(examples=["EWR"])]
    time: Moment
    column: Annotated[str | None, Meta(description="Null: the whole reading.", examples=["windspeed"])]
    value: Annotated[str | None, Meta(description="As it was delivered.", examples=["1048.36"])]
    rule: Annotated[str, Meta(examples=["range"])]
    reason: Annotated[str, Meta(examples=["windspeed is 1048.36 mph, outside 0 to 150 mph (rule range)"])]


class Quarantine(Struct, frozen=True):
    """What of a feed's readings was not believed, in the newest months in which there was any."""

    feed: Annotated[str, Meta(examples=["noaa"])]
    at: Annotated[Moment, Meta(description="When it was counted, in the feed's time; null: never yet.")]
    months: Annotated[list[str], Meta(examples=[["2013-02", "2013-05"]])]
    counts: list[RuleCount]
    newest: Annotated[list[RefusedValue], Meta(description="The newest, newest first.")]


class Alarms(Struct, frozen=True):
    """What people should know, newest first."""

    open: Annotated[list[AlarmRecord], Meta(description="What lasts.")]
    past: Annotated[list[AlarmRecord], Meta(description="The newest that are over.")]
