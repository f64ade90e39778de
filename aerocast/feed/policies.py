"""What a declaration says about how a feed is kept, judged and trained again; each part has defaults."""

from datetime import timedelta
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from aerocast.common.declaration import Strict
from aerocast.feed.field_types import Cron, Duration, Quantiles


class Quality(Strict):
    """Which share of a column's, or of a station's, values may be missing or in quarantine."""

    warn: float = Field(default=0.2, ge=0, le=1, description="Share above which a check warns")
    block: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Share from which on nothing is trained; null: never block", examples=[0.6]
    )


class Batching(Strict):
    """How long delivered data may wait, in the feed's time, so that one run processes many readings.

    The first reading after a quiet period does not wait.
    """

    readings: Duration | None = Field(
        default=None,
        description="Time between runs for delivered readings; null: the cadence, at most five minutes",
        examples=["PT5M"],
    )
    log: Duration | None = Field(
        default=None,
        description="How long logged forecasts and posted outcomes wait for readings to be judged with;"
        " null: the cadence, at most an hour",
        examples=["PT1H"],
    )


class Retention(Strict):
    """How long a table keeps its months, counted from a month's end to the feed's present; null: forever.

    The rows that a kept release was trained on stay readable, whatever these limits say.
    """

    raw: Duration | None = Field(default=None, description="Readings as delivered", examples=["P1095D"])
    bronze: Duration | None = Field(default=None, description="Accepted readings", examples=["P1095D"])
    quarantine: Duration | None = Field(default=None, description="Rejected values and readings", examples=["P365D"])
    silver: Duration | None = Field(default=None, description="The regular grid", examples=["P1095D"])
    windows: Duration | None = Field(default=None, description="The training table of each target", examples=["P1095D"])
    sliding: Duration | None = Field(default=None, description="Overlapping windows", examples=["P90D"])
    answers: Duration | None = Field(
        default=timedelta(days=31), description="Answers to which an outcome can be posted by id"
    )
    predictions: Duration | None = Field(default=None, description="Forecasts that the server gave", examples=["P365D"])
    posted: Duration | None = Field(default=None, description="Outcomes posted to `/eval`", examples=["P365D"])
    outcomes: Duration | None = Field(default=None, description="Forecasts beside their outcomes", examples=["P365D"])
    evaluation_daily: Duration | None = Field(default=None, description="Daily metrics", examples=["P1095D"])
    drift: Duration | None = Field(default=None, description="Results of the drift tests", examples=["P1095D"])
    anomalies: Duration | None = Field(default=None, description="Events unlike a station's past", examples=["P1095D"])


class Housekeeping(Strict):
    """How much is kept of what lies beside the tables; null: all of it."""

    releases: int = Field(
        default=20,
        ge=1,
        description="Newest releases of a target; one that serves, served before, challenges or is held always stays",
    )
    candidates: Duration | None = Field(
        default=timedelta(days=31), description="Age of candidates of targets and kinds that are no longer declared"
    )
    exports: Duration | None = Field(
        default=None, description="Age of months in `exports/<feed>/prediction_history`", examples=["P365D"]
    )
    done: Duration | None = Field(default=timedelta(days=31), description="Age of files in the inbox's `done` folder")
    rejected: Duration | None = Field(
        default=timedelta(days=93), description="Age of files in the inbox's `rejected` folder"
    )
    claims: Duration | None = Field(
        default=timedelta(days=31), description="Age of announced objects in the home's `claims` that are in raw"
    )
    trainings: Duration | None = Field(
        default=timedelta(days=93), description="Age of MLflow runs that no release and no candidate comes from"
    )


BLOCK_MARGIN = 1.25  # times the longest horizon: what a block must hold, so that purging leaves some of it


class Split(Strict):
    """Shares of time for each use of the rows; what is left of the time before `test` trains."""

    test: float = Field(default=0.2, gt=0, lt=0.5, description="Newest share, which judges and is never learned from")
    validation: float = Field(default=0.12, gt=0, lt=0.5, description="Share for early stopping and choices")
    calibration: float = Field(default=0.12, gt=0, lt=0.5, description="Share that intervals are calibrated on")
    block: Duration = Field(
        default=timedelta(days=7),
        description="Length of a validation or calibration block, at least 1.25 times the longest horizon; blocks are"
        " spread evenly",
    )

    @model_validator(mode="after")
    def _trainable(self) -> Self:
        if self.test + self.validation + self.calibration > 0.7:
            raise ValueError("test, validation and calibration leave less than 30 % to train on")
        return self


def able_block(reach: timedelta, cadence: timedelta) -> timedelta:
    """The shortest usual `split.block` for forecasts as far ahead as `reach`: whole steps, whole days above one."""
    need, day = BLOCK_MARGIN * reach, timedelta(days=1)
    unit = max(cadence, day) if need > day else cadence
    return -(-need // unit) * unit  # rounded up


class Promotion(Strict):
    """What a challenger must reach to serve, on the rows that judge it, the baselines and the incumbent alike."""

    min_skill: float = Field(
        default=0.0,
        description="Skill over the better baseline that it must exceed at a horizon to serve there, in RMSE and MAE;"
        " below 0 a model that a baseline beats may serve",
    )
    min_gain: float = Field(
        default=0.0, description="Share by which its composite error must fall below the incumbent's"
    )
    max_loss: float = Field(
        default=0.2,
        ge=0,
        description="Share by which its composite error may exceed an incumbent's that lacks a horizon or station",
    )
    max_p: float = Field(
        default=0.05, gt=0, le=1, description="Largest p-value of the Diebold-Mariano test against the incumbent"
    )
    shadow: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of live requests that a refused challenger answers too; logged, never sent",
    )
    coverage: float = Field(default=0.9, gt=0, lt=1, description="Nominal level of the intervals")
    quantiles: Quantiles = Field(
        default=(0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95),
        description="Quantiles of the outcome that a forecast gives; those that bound the interval are always among"
        " them",
    )
    coverage_tolerance: float = Field(
        default=0.02, gt=0, lt=0.5, description="Distance from the nominal level above which a check warns"
    )


class Folds(Strict):
    """Consecutive spans of equal length that judge, each by fits on all that lies before it."""

    what: ClassVar[str]  # its name in the declaration

    folds: int = Field(default=4, ge=1, le=100, description="Consecutive spans of equal length that judge")
    past: float = Field(default=0.5, gt=0, lt=1, description="Share of the time that lies before the first of them")


class Backtest(Folds):
    """How a walk-forward backtest is cut: consecutive spans judge, each by fits on all that lies before it."""

    what = "backtest"

    kinds: tuple[str, ...] | None = Field(
        default=None,
        description="Candidates that take part, besides both baselines; null: all",
        examples=[["linear"]],
    )


class Tuning(Folds):
    """How parameters are looked for, in folds of what lies before the rows that judge a candidate."""

    what = "tuning"

    folds: int = Field(default=3, ge=1, le=100, description="Consecutive spans of equal length that choose")
    kinds: tuple[str, ...] | None = Field(
        default=None,
        description="Candidates that are tuned; null: each that has something to tune",
        examples=[["xgboost"]],
    )
    trials: int = Field(default=40, ge=1, description="Most trials of a kind")
    budget: Duration | None = Field(
        default=timedelta(hours=1), description="Time of all trials of a kind, after which none begins; null: any"
    )
    seed: int = Field(default=0, ge=0, description="Seed of the choices; the same seed and rows give the same trials")


class Retraining(Strict):
    """Limits of retraining, in the feed's own time."""

    max_age: Duration = Field(default=timedelta(days=30), description="Age of a champion at which it is trained again")
    cool_down: Duration = Field(default=timedelta(hours=6), description="Shortest time between two retrains by drift")
    daily_budget: int = Field(default=2, ge=0, description="Most retrains by drift in a day; 0: none")
    min_span: Duration = Field(
        default=timedelta(days=10), description="Least data of a new regime to learn and judge from"
    )
    settle: Duration = Field(default=timedelta(days=2), description="How long a retrain may take to show in the errors")
    schedule: Cron = Field(default="23 * * * *", description="When the champion's age is checked: cron, UTC")


class Drift(Strict):
    """When evidence of drift makes a target hot, and when it cools again (hysteresis)."""

    recent: int = Field(default=72, ge=12, description="Newest steps of a station that are examined")
    hot_after: int = Field(default=2, ge=1, description="Examinations in a row with drift until the target is hot")
    cool_after: int = Field(default=2, ge=1, description="Examinations in a row without drift until it is cool")
