"""What a declaration says of how a feed is kept, judged and trained again; each part has defaults."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from aerocast.common.declaration import Strict
from aerocast.feed.schema import Cron, Duration


class Quality(Strict):
    """Shares of a column's, or of a station's, readings that are missing or in quarantine."""

    warn: Annotated[float, Field(ge=0, le=1)] = Field(default=0.2, description="above this share a check warns")
    block: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="from this share on nothing is trained on; none: it is only said"
    )


class Batching(Strict):
    """How long what has come in may wait, in the feed's time, so that one run takes up much; after a calm the first
    reading does not wait."""

    readings: Duration | None = Field(
        default=None, description="between runs for delivered readings; default: the cadence, five minutes at most"
    )
    log: Duration | None = Field(
        default=None, description="of logged forecasts and posted outcomes; default: the cadence, an hour at most"
    )


class Retention(Strict):
    """How long a layer's months are kept, counted from their end to the feed's present; None: forever.

    What a kept release was trained on stays readable, whatever is said here.
    """

    raw: Duration | None = None
    bronze: Duration | None = None
    quarantine: Duration | None = None
    silver: Duration | None = None
    windows: Duration | None = None
    sliding: Duration | None = None
    answers: Duration | None = Field(
        default=timedelta(days=31), description="by the id of which answers an outcome can be posted"
    )
    predictions: Duration | None = None
    posted: Duration | None = None
    outcomes: Duration | None = None
    evaluation_daily: Duration | None = None
    drift: Duration | None = None


class Housekeeping(Strict):
    """How much is kept of what lies beside the tables; null: all of it."""

    releases: Annotated[int, Field(ge=1)] = Field(
        default=20, description="of a target, beside those that serve, served before, challenge or are held"
    )
    candidates: Duration | None = Field(
        default=timedelta(days=31), description="of targets and kinds that are not declared any more"
    )
    exports: Duration | None = Field(default=None, description="months of `exports/<feed>/prediction_history`")
    done: Duration | None = Field(default=timedelta(days=31), description="files in the inbox's `done`")
    rejected: Duration | None = Field(default=timedelta(days=93), description="files in the inbox's `rejected`")
    claims: Duration | None = Field(
        default=timedelta(days=31), description="announced objects of the home's `claims` that are in raw"
    )
    trainings: Duration | None = Field(
        default=timedelta(days=93), description="runs of MLflow that no release and no candidate comes from"
    )


class Split(Strict):
    """Shares of time. `test` is the newest span, which judges; the rest is cut in blocks for the other uses."""

    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.12
    calibration: Annotated[float, Field(gt=0, lt=0.5)] = 0.12
    block: Duration = Field(default=timedelta(days=7), description="length of a validation or calibration block")

    @model_validator(mode="after")
    def _trainable(self) -> Self:
        if self.test + self.validation + self.calibration > 0.7:
            raise ValueError("test, validation and calibration leave less than 30 % to train on")
        return self


class Promotion(Strict):
    """What a candidate must reach to serve: `min_skill` over the baselines, `min_gain` over the incumbent."""

    min_skill: float = 0.0
    min_gain: float = Field(default=0.0, description="share by which the composite must fall below the incumbent's")
    max_loss: Annotated[float, Field(ge=0)] = Field(
        default=0.2,
        description="share by which the composite may rise above that of an incumbent that lacks a horizon or station",
    )
    max_p: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.05, description="largest p-value of the Diebold-Mariano test against the incumbent"
    )
    shadow: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="share of live requests that a refused challenger answers too, logged and never sent"
    )
    coverage: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.9, description="nominal level of the intervals")
    coverage_tolerance: Annotated[float, Field(gt=0, lt=0.5)] = 0.02


class Retraining(Strict):
    """Limits of the loop, in the feed's own time: how old a champion may get, how often drift may start a training."""

    max_age: Duration = timedelta(days=30)
    cool_down: Duration = timedelta(hours=6)
    daily_budget: Annotated[int, Field(ge=0)] = 2
    min_span: Duration = Field(default=timedelta(days=10), description="least of a new regime to learn and judge from")
    settle: Duration = Field(default=timedelta(days=2), description="how long a retrain may take to show in the errors")
    schedule: Cron = Field(default="23 * * * *", description="when the champion's age is looked at: cron, UTC")


class Drift(Strict):
    """When evidence becomes heat: `hot_after` and `cool_after` count examinations in a row (hysteresis)."""

    recent: Annotated[int, Field(ge=12)] = Field(default=72, description="newest steps of a station that are examined")
    hot_after: Annotated[int, Field(ge=1)] = 2
    cool_after: Annotated[int, Field(ge=1)] = 2
