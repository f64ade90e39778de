"""What goes over the wire: requests and answers as msgspec structs; their descriptions become the OpenAPI document."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from aerocast.contracts.manifest import ColumnInfo, Lineage, Metrics
from aerocast.contracts.pointer import Hold

Nullable = datetime | None


class PredictRequest(Struct, forbid_unknown_fields=True):
    """A `station`, a `sequence`, or both: what that station measured. Unknown fields are refused."""

    station: Annotated[str, Meta(description="A station of the feed: forecast from its newest readings.")] | None = None
    sequence: (
        Annotated[
            list[list[float]],
            Meta(
                description="`window.steps` to `window.look_back` steps (see /feeds), oldest first, at the feed's"
                " cadence; each one number a window column.",
                extra_json_schema={"minItems": 1},
            ),
        ]
        | None
    ) = None
    time: (
        Annotated[datetime, Meta(tz=True, description="Time of a sequence's newest step, ISO 8601 with offset.")] | None
    ) = None
    feed: (
        Annotated[
            str, Meta(description="Needed only where several feeds are served, and the station is not of one alone.")
        ]
        | None
    ) = None
    target: Annotated[str, Meta(description="Default: the feed's first served target.")] | None = None
    covariates: (
        Annotated[
            dict[str, list[float]],
            Meta(
                description="What is known ahead, with a station: by column one number a horizon, in the column's unit."
                " It counts before what the feed has."
            ),
        ]
        | None
    ) = None


class Adapted(Struct, frozen=True):
    """What the outcomes of earlier forecasts have changed: the interval and the quantiles, not the value."""

    factor: Annotated[float, Meta(description="How many times as far they lie from the value.", examples=[1.08])]
    shift: Annotated[float, Meta(description="By how much they are moved then, in `unit`.", examples=[-0.3])]


class Forecast(Struct, frozen=True, omit_defaults=True):
    """One horizon: the level and the interval that holds the outcome with the nominal probability `level`."""

    horizon: Annotated[int, Meta(description="Steps of the feed's cadence ahead of the origin.", examples=[6])]
    time: Annotated[Nullable, Meta(description="Target time, UTC; null for a sequence without a time.")]
    value: Annotated[float, Meta(description="Forecast in `unit`.", examples=[41.3])]
    lower: Annotated[float, Meta(description="Lower bound in `unit`.", examples=[36.1])]
    upper: Annotated[float, Meta(description="Upper bound in `unit`.", examples=[46.2])]
    quantiles: Annotated[
        dict[str, float],
        Meta(
            description="By level, the value in `unit` that the outcome does not exceed with that probability.",
            examples=[{"0.05": 36.1, "0.5": 41.2, "0.95": 46.2}],
        ),
    ]
    served_by: (
        Annotated[
            str,
            Meta(
                description="Only where no new model beat both baselines at this horizon: the baseline that answers, or"
                " the model of an older release.",
                examples=["seasonal_naive"],
            ),
        ]
        | None
    ) = None
    adapted: Annotated[Adapted, Meta(description="Only where outcomes of the release are known.")] | None = None


class ModelInfo(Struct, frozen=True):
    """Which release answered, and what it was made from."""

    kind: Annotated[str, Meta(examples=["gru"])]
    version: Annotated[str, Meta(examples=["0003-9f2c01aa"])]
    config_hash: str
    data_version: str
    training_end: Annotated[datetime, Meta(description="End of the span that the model was trained on.")]


class Reason(Struct, frozen=True):
    """One reason why the inputs were degraded.

    `code`: `gap_filled`, `bridged`, `missing`, `thin_step`, `stale_station`, `stale_feed`, `short_history`,
    `short_sequence`, `new_station`, `out_of_range`, `late_covariates` or `sensor_fault`; `age` in steps.
    """

    code: Annotated[str, Meta(examples=["gap_filled"])]
    detail: Annotated[str, Meta(examples=["pressure was measured 3 steps ago; the value is carried forward"])]
    column: str | None = None
    age: int | None = None


class Covariates(Struct, frozen=True):
    """What is known ahead of time: a forecast that a model was given."""

    used: Annotated[bool, Meta(description="False: some of it is late, and a model without it answers.")]
    age: Annotated[int | None, Meta(description="Steps between its issue and the origin, of the oldest.")]
    source: Annotated[str, Meta(description="`feed` or `request`", examples=["feed"])]


class NewestStep(Struct, frozen=True):
    """The newest step in which the station sent a reading, and how full it was; only a whole step is forecast from."""

    time: Annotated[datetime, Meta(description="When the step begins, UTC.")]
    whole: Annotated[bool, Meta(description="Whether it counts; one that is not over, or waited for, does not yet.")]
    readings: Annotated[int, Meta(description="Readings of the target in it.", examples=[12])]
    usual: Annotated[float | None, Meta(description="How many a step usually holds; null: not known yet.")]
    fullness: Annotated[float | None, Meta(description="`readings` as a share of `usual`, at most 1.", examples=[1.0])]


class Prediction(Struct, frozen=True):
    """A forecast of one target at every horizon, with all that is needed to judge it later."""

    id: Annotated[str, Meta(description="Unique; names this answer when its outcome is known.")]
    feed: str
    target: str
    unit: str
    station: str | None
    issued_at: Annotated[datetime, Meta(description="When the server answered, UTC.")]
    origin: Annotated[Nullable, Meta(description="Time of the newest step used, UTC; null if the request gave none.")]
    newest_step: Annotated[NewestStep | None, Meta(description="How full the newest step is; null for a sequence.")]
    level: Annotated[float, Meta(description="Nominal level of the intervals.", examples=[0.9])]
    model: ModelInfo
    degraded: Annotated[bool, Meta(description="The inputs were not all measured and fresh; `reasons` says why.")]
    reasons: list[Reason]
    notes: Annotated[list[str], Meta(description="What else was done with the request.")]
    forecasts: list[Forecast]
    covariates: Annotated[Covariates | None, Meta(description="Null where the model knows nothing ahead.")] = None


class Part(Struct, frozen=True):
    """What one group of inputs adds to a forecast."""

    group: Annotated[str, Meta(examples=["temperature, recent"])]
    value: Annotated[float, Meta(description="In `unit`; 0 where the model does not use the group.", examples=[-3.2])]
    features: Annotated[int, Meta(description="How many inputs of the model the group has.", examples=[48])]


class Explanation(Struct, frozen=True):
    """One horizon: `base` and the `parts` sum to the forecast, but for rounding."""

    horizon: Annotated[int, Meta(description="Steps of the feed's cadence ahead of the origin.", examples=[6])]
    base: Annotated[float, Meta(description="The mean forecast for typical rows, in `unit`.", examples=[55.1])]
    parts: Annotated[list[Part], Meta(description="One a group of inputs, the largest first.")]


class ExplainedPrediction(Prediction, frozen=True, kw_only=True):
    """A forecast, and at each horizon what its inputs add to the forecast for typical rows."""

    method: Annotated[str, Meta(description="How the parts are computed, and what the base is.")]
    explanations: list[Explanation]


class EvalRequest(Struct, forbid_unknown_fields=True):
    """`actual` with the `id` and `horizon` of a forecast, or with `predicted`. Unknown fields are refused."""

    actual: Annotated[float, Meta(description="What was measured, in the target's unit.")]
    predicted: Annotated[float, Meta(description="What was forecast, without an id.")] | None = None
    id: Annotated[str, Meta(description="The id of an answer of /predict.")] | None = None
    horizon: Annotated[int, Meta(description="Which of its horizons, in steps.")] | None = None
    feed: Annotated[str, Meta(description="Of a pair, needed only where several feeds are served.")] | None = None
    target: Annotated[str, Meta(description="Of a pair; default: the feed's first served target.")] | None = None
    station: Annotated[str, Meta(description="Of a pair: where it was measured.")] | None = None


class Evaluation(Struct, frozen=True):
    """How good the forecasts of a target were lately."""

    feed: str
    target: str
    rmse: Annotated[float | None, Meta(description="Of the newest `n` outcomes posted to this process, all horizons.")]
    n: Annotated[int, Meta(description="How many outcomes that are; at most 200.")]
    drift_flagged: Annotated[bool, Meta(description="Whether concept drift is diagnosed for the target now.")]


class RetrainRequest(Struct, forbid_unknown_fields=True):
    """`force` asks for models to be trained and judged, though the champion is not too old and nothing has changed."""

    force: bool = False


class RetrainCheck(Struct, frozen=True):
    """How old the champion is, in the feed's own time, and how old it may get. Seconds."""

    feed: str
    target: str
    version: str
    trained_at: Annotated[datetime, Meta(description="The feed's time when the champion was made.")]
    now: Annotated[datetime, Meta(description="The feed's time now.")]
    age_seconds: float
    limit_seconds: Annotated[float | None, Meta(description="null: the release knows no limit.")]
    due: bool
    request: Annotated[str | None, Meta(description="The id of the open request for a retrain, if there is one.")]
    hold: Annotated[Hold | None, Meta(description="A person's hold: no retrain replaces the champion until it ends.")]


class ReleaseHealth(Struct, frozen=True):
    """State of one (feed, target). A version with an error: the old release serves on, its successor did not load."""

    feed: str
    target: str
    status: Annotated[str, Meta(description="`ok`, `degraded`, `no release` or `retired`")]
    version: str | None
    kind: str | None
    serving_since: datetime | None
    promoted_at: datetime | None
    newest_reading: datetime | None
    load_failures: int
    drift: Annotated[str | None, Meta(description="`hot` while concept drift is diagnosed, `cool`; null: unexamined")]
    faults: Annotated[list[str], Meta(description="Sensors that cannot be believed now, as `station.column: kind`.")]
    challenger: Annotated[str | None, Meta(description="The release that answers in the shadow.")]
    hold: Annotated[Hold | None, Meta(description="A person's hold on what serves: the loop does not replace it.")]
    errors: Annotated[list[str], Meta(description="What does not load: release, tail, clock, drift, challenger.")]
    retired: Annotated[str | None, Meta(description="Why it is not served any more, although its files are there.")]


class LeftOut(Struct, frozen=True):
    """A file of the home that cannot be read as what it should be; what was read of it before still counts."""

    file: Annotated[str, Meta(description="Its name in the home.", examples=["tail/noaa.npz"])]
    reason: str
    since: Annotated[datetime | None, Meta(description="When it was first left out.")]
    failures: Annotated[int, Meta(description="How often it was, since the server started.")]


class Health(Struct, frozen=True):
    """`ok`, `degraded` (it answers, but something is wrong), `starting` or `no release` (503)."""

    status: str
    started_at: datetime
    last_poll: datetime | None
    poll_seconds: float
    log_failures: Annotated[int, Meta(description="Records that the disk refused; answers are given all the same.")]
    errors: list[str]
    left_out: list[LeftOut]
    releases: list[ReleaseHealth]


class StationView(Struct, frozen=True):
    """A station and the time of its newest reading (null: none is known)."""

    id: str
    name: str
    timezone: str
    newest_reading: datetime | None


class WindowView(Struct, frozen=True):
    """A sequence has `steps` .. `look_back` rows, each the numbers of `columns` in their order."""

    columns: tuple[str, ...]
    steps: int
    look_back: int
    cadence_seconds: int


class TargetView(Struct, frozen=True):
    """What is forecast, and how far ahead in steps."""

    name: str
    unit: str
    horizons: tuple[int, ...]
    version: str


class FeedView(Struct, frozen=True):
    """All that a client needs to know of a feed before it asks for a forecast."""

    name: str
    description: str
    stations: list[StationView]
    columns: tuple[ColumnInfo, ...]
    window: WindowView
    targets: list[TargetView]
    retired: Annotated[str | None, Meta(description="Why it is no longer served: it is no longer declared.")] = None


class Problem(Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem details. `field`, `value` and `rule` say which input broke which rule, and
    `index` in which reading.
    """

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    value: str | float | bool | None = None
    rule: str | None = None
    index: int | None = None


class Accepted(Struct, frozen=True, omit_defaults=True):
    """Readings that are on the disk and will be in raw, each once. The same key gives the same answer again."""

    id: Annotated[str, Meta(description="Names this post.", examples=["5a0e7c1b9d3f2a64/17"])]
    accepted: Annotated[int, Meta(description="How many readings the post holds.", examples=[1])]
    duplicate: Annotated[bool, Meta(description="Its key was used before: it is there once.")]
    ignored: Annotated[
        list[str], Meta(description="Fields that are not declared, if any: nothing of them is kept.")
    ] = []


class ReleaseView(Struct, frozen=True):
    """One release; `error` instead of facts where its manifest cannot be read."""

    version: str
    serving: bool
    error: str | None = None
    kind: Annotated[str | None, Meta(description="`by_horizon` where several models serve.")] = None
    unit: str | None = None
    horizons: tuple[int, ...] = ()
    metrics: Metrics | None = None
    lineage: Lineage | None = None
    kinds: Annotated[dict[int, str], Meta(description="What kind of model serves each horizon.")] = {}
    served_by: Annotated[
        dict[int, str], Meta(description="What serves the horizons at which no new model beat both baselines.")
    ] = {}


class TargetModels(Struct, frozen=True):
    """A (feed, target) with its releases, newest first; `total` counts those beyond the limit too."""

    feed: str
    target: str
    serving: str | None
    total: int
    hold: Annotated[Hold | None, Meta(description="A person's hold on what serves: the loop does not replace it.")]
    releases: list[ReleaseView]
