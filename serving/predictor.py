"""One forecast from one release: inputs, graph, intervals, answer. Runs in the event loop; nothing here waits."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from litestar.plugins.problem_details import ProblemDetailsException

from aerocast.common.times import from_numpy, to_minute, to_numpy
from aerocast.common.words import duration
from aerocast.contracts.adaptation import Adaptation
from aerocast.contracts.drift_state import DriftState, Fault
from aerocast.features.joined import Origin
from serving import covariates, inputs
from serving.graph import ORT_ERRORS, GraphRunner, Levels, Row
from serving.hot_swap import ServingStore
from serving.inputs import Input
from serving.loading import Served, Tail
from serving.problems import problem
from serving.schemas import Adapted, Forecast, ModelInfo, Prediction, PredictRequest, Reason


class Question(NamedTuple):
    """All that an answer depends on beside the release, so that a second release can answer the very same.

    `now` is the feed's present; `faults` are those of the station that are open; `values` stand for what the station
    measured in its newest step, by column; `state` is what the platform believes of the feed.
    """

    request: PredictRequest
    tail: Tail | None
    faults: Sequence[Fault]
    now: datetime
    values: Mapping[str, float] = {}
    state: DriftState | None = None

    def adaptation(self, served: Served) -> Adaptation | None:
        """How the release's intervals for the station have adapted to live outcomes."""
        if self.state is None or self.request.sequence is not None:
            return None
        manifest = served.manifest
        horizons = len(manifest.horizons)
        return self.state.adaptation(manifest.target, self.request.station, manifest.version, horizons)


class Answered(NamedTuple):
    """An answer, the release that gave it, and what was asked.

    `is_first`: the first answer of a forecast from the station's own newest readings.
    """

    served: Served
    question: Question
    prediction: Prediction
    is_first: bool

    @property
    def graph(self) -> Literal["station", "sequence"]:
        return "station" if whole(self.served, self.question.request) else "sequence"


class Prepared(NamedTuple):
    """A question whose inputs are found, and the graph that answers it."""

    served: Served
    question: Question
    features: Input
    graph: GraphRunner
    adaptation: Adaptation | None

    @property
    def row(self) -> Row:
        own = self.features
        return Row(Origin(own.grid, own.origin, own.others), own.wider, self.adaptation)


def predict(store: ServingStore, request: PredictRequest, values: Mapping[str, float] | None = None) -> Answered:
    """The answer of the release that serves. Raises a problem (4xx, 503) that names what is wrong.

    `values` of the client stand for what the station measured in its newest step, by column.
    """
    served, question = pose(store, request, values)
    forecast, is_first = cached(served, question), False
    if forecast is None:
        forecast = _answer(served, question)
        is_first = remember(served, question, forecast)
    return completed(served, question, forecast, is_first)


def pose(
    store: ServingStore, request: PredictRequest, values: Mapping[str, float] | None = None
) -> tuple[Served, Question]:
    """The release that answers, and all that its answer depends on. Raises a problem where none answers."""
    served = choose(store, request.feed, request.target, request.station)
    feed, station = served.feed, request.station
    state = store.drift(feed.name)
    faults = state.open_faults(station) if state and station is not None else ()
    return served, Question(request, store.tail(feed.name), faults, store.now(feed), values or {}, state)


def completed(served: Served, question: Question, forecast: Prediction, is_first: bool) -> Answered:
    """The answer with an id, as of now."""
    prediction = _complete(served, question, forecast, str(uuid.uuid4()), datetime.now(UTC))
    return Answered(served, question, prediction, is_first)


def answer(served: Served, question: Question, name: str, issued_at: datetime) -> Prediction:
    """What `served` says to a question, under the id `name`. Raises a problem that names what is wrong."""
    forecast = cached(served, question)
    if forecast is None:
        forecast = _answer(served, question)
        remember(served, question, forecast)
    return _complete(served, question, forecast, name, issued_at)


def _complete(served: Served, question: Question, forecast: Prediction, name: str, issued_at: datetime) -> Prediction:
    """The forecast under its id, with what depends on the moment of asking."""
    reasons = [] if question.request.sequence is not None else _staleness(served, question.tail, question.now)
    reasons += [_fault(fault) for fault in question.faults]
    if reasons:
        return msgspec.structs.replace(
            forecast, id=name, issued_at=issued_at, degraded=True, reasons=[*forecast.reasons, *reasons]
        )
    return msgspec.structs.replace(forecast, id=name, issued_at=issued_at)


def runner(served: Served, request: PredictRequest) -> GraphRunner:
    """The graph that answers a request."""
    return served.station if whole(served, request) else served.sequence or served.station


def source(served: Served, question: Question) -> Input:
    """What the graph is given for a question. Raises a problem that names what is wrong with it."""
    request = question.request
    if request.sequence is not None:
        time = None if request.time is None else to_numpy(request.time)
        return inputs.of_sequence(served, request.sequence, time, request.station)
    assert request.station is not None  # parse() lets none through without both
    own = inputs.of_station(served, question.tail, request.station)
    own = inputs.with_values(own, question.values) if question.values else own
    return covariates.looked_up(served, own, request.covariates)


def whole(served: Served, request: PredictRequest) -> bool:
    """Whether the station's own graph finds all it looks at: in its readings, or in a sequence that tells as much."""
    if request.sequence is None:
        return True
    spec = served.manifest.window
    alone = not spec.covariates and len(spec.places) == 1
    located = request.station is not None and request.time is not None
    return alone and located and len(request.sequence) == spec.look_back


def choose(store: ServingStore, feed: str | None, target: str | None, station: str | None = None) -> Served:
    """The release that answers for (feed, target); by default the only feed (that has such a station), first target."""
    index = store.index
    if feed is not None and (why := store.retirement(feed, target)):
        raise problem("feed-retired", why, status=410, field="feed", value=feed, rule="a feed and target of /feeds")
    if not index:
        raise problem("no-release", "No release is served yet; see /health.", status=503)
    if feed is None:
        owners = store.owners.get(station, ()) if station is not None and len(index) > 1 else tuple(index)
        if not owners:
            raise unknown("station", station, store.owners, f"No feed has a station {str(station)[:80]!r}; there are")
        if len(owners) != 1:
            raise unknown("feed", None, owners or index, "Several feeds are served; name one of")
        feed = owners[0]
    targets = index.get(feed)
    if targets is None:
        raise unknown("feed", feed, index, f"No feed {feed[:80]!r} is served; there are")
    if target is None:
        target = next(iter(targets))
    served = targets.get(target)
    if served is None and (why := store.retirement(feed, target)):
        raise problem("feed-retired", why, status=410, field="target", value=target, rule="a target of /feeds")
    if served is None:
        raise unknown("target", target, targets, f"No target {target[:80]!r} of {feed} is served; there are")
    return served


def unknown(field: str, value: str | None, allowed: Iterable[str], sentence: str) -> Exception:
    """The problem for a name that is not among those allowed; `sentence` introduces these."""
    first = list(islice(allowed, 21))
    names = ", ".join(first[:20]) + (", ..." if len(first) > 20 else "")
    slug = f"unknown-{field}" if value is not None else f"{field}-needed"
    return problem(slug, f"{sentence} {names}.", field=field, value=value, rule=f"one of {names}")


def _is_of_readings(question: Question) -> bool:
    """Whether nothing but the station's own newest readings leads to the answer."""
    return question.request.sequence is None and not question.values and not question.request.covariates


def cached(served: Served, question: Question) -> Prediction | None:
    """The same release on the same readings gives the same answer, so it is computed once."""
    entry = served.answers.get(question.request.station or "") if _is_of_readings(question) else None
    if entry and entry[0] is question.tail and entry[1] == question.adaptation(served):
        return entry[2]
    return None


def remember(served: Served, question: Question, forecast: Prediction) -> bool:
    """Keeps an answer for who asks the same; whether it is the first from these readings."""
    tail, station = question.tail, question.request.station or ""
    if tail is None or not _is_of_readings(question):
        return False
    before = served.answers.get(station)
    served.answers[station] = (tail, question.adaptation(served), forecast)
    return before is None or before[0] is not tail


def prepare(served: Served, question: Question) -> Prepared:
    """The inputs of a question. Raises a problem that names what is wrong with them."""
    features = source(served, question)
    return Prepared(served, question, features, runner(served, question.request), question.adaptation(served))


def _answer(served: Served, question: Question) -> Prediction:
    prepared = prepare(served, question)
    try:
        (levels,) = prepared.graph.answer([prepared.row])
    except ORT_ERRORS:  # what a graph does with some numbers, such as more memory than it may take
        raise no_forecast() from None
    return forecast_of(prepared, levels)


def no_forecast() -> ProblemDetailsException:
    """The problem for what a graph cannot answer."""
    return problem("no-forecast", "The model cannot forecast from these readings.", status=503)


def forecast_of(prepared: Prepared, answer: Levels) -> Prediction:
    """What a graph's answer says to a question, without an id. Raises a 503 problem for what is no forecast."""
    if not np.isfinite(answer.levels).all():
        raise no_forecast()
    served, question, features, graph, adaptation = prepared
    manifest = served.manifest
    changes: list[Adapted | None] = [None] * len(manifest.horizons)
    if adaptation:
        pairs = zip(adaptation.factor, adaptation.shift, strict=True)
        changes = [Adapted(round(factor, 4), round(shift, 4)) for factor, shift in pairs]
    moment = features.grid.time[features.origin]
    origin = None if np.isnat(moment) else from_numpy(moment)
    step = timedelta(seconds=manifest.window.cadence)
    stand_ins = manifest.served_by if graph is served.station else {}
    forecasts = [
        Forecast(
            horizon,
            None if origin is None else origin + horizon * step,
            round(value, 4),
            round(low, 4),
            round(high, 4),
            {f"{level:g}": round(each, 4) for level, each in zip(graph.intervals.levels, own, strict=True)},
            stand_ins.get(horizon),
            change,
        )
        for horizon, value, low, high, own, change in zip(
            manifest.horizons,
            *(each.tolist() for each in answer),
            changes,
            strict=True,
        )
    ]
    lineage = manifest.lineage
    return Prediction(
        id="",
        feed=served.feed.name,
        target=manifest.target,
        unit=manifest.unit,
        station=question.request.station,
        issued_at=served.since,
        origin=origin,
        newest_step=features.newest,
        level=graph.intervals.level,
        model=ModelInfo(
            manifest.kind, manifest.version, lineage.config_hash, lineage.data_version, lineage.training_end
        ),
        degraded=bool(features.reasons),
        reasons=features.reasons,
        notes=features.notes,
        forecasts=forecasts,
        covariates=features.covariates,
    )


def _staleness(served: Served, tail: Tail | None, now: datetime) -> list[Reason]:
    """Whether the whole feed has gone quiet depends on the moment of asking."""
    newest = tail.feed_newest if tail else None
    if newest is None:
        return []
    late = now - from_numpy(newest)
    if late <= served.feed.freshness:
        return []
    detail = (
        f"the feed's newest reading is {duration(late)} old; it should be at most {duration(served.feed.freshness)}"
    )
    return [Reason("stale_feed", detail)]


def _fault(fault: Fault) -> Reason:
    since = f"{to_minute(fault.start)}"
    return Reason("sensor_fault", f"{fault.column} cannot be believed since {since}: {fault.detail}", fault.column)
