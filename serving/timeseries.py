"""KServe's protocol for time series: its requests become a batch of sequences, and the answers its outputs."""

import math
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
from litestar.plugins.problem_details import ProblemDetailsException

from aerocast.common.times import parse
from serving import batch, predictor
from serving.batch import Item, Result
from serving.hot_swap import ServingStore
from serving.loading import Served
from serving.parsing import EARLIEST, LATEST, decode
from serving.problems import invalid, problem
from serving.schemas import Prediction, PredictRequest, Problem
from serving.timeseries_schemas import (
    UNIVARIATE,
    ForecastOutput,
    ForecastRequest,
    ForecastResponse,
    SeriesError,
    SeriesForecast,
    SeriesInput,
    Status,
)

# Months and longer have no length of their own, and no feed has such a cadence.
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
SECONDS |= {"S": 1, "T": 60, "H": 3600, "D": 86_400, "W": 604_800}


def models(store: ServingStore) -> list[str]:
    """The names by which a request may call what serves."""
    return ["/".join(served.key) for served in store.serving()]


def answer(store: ServingStore, body: bytes) -> tuple[ForecastRequest, list[Result]]:
    """The request, and an answer or a problem for each of its series.

    Raises a problem: 400, 404 for another model, 413, 422 for options that it has not.
    """
    batch.check_values(body)
    request = decode(body, ForecastRequest)
    batch.checked_count(request.inputs)
    feed, _, target = request.model.partition("/")
    try:
        served = predictor.choose(store, feed, target or None)
    except ProblemDetailsException as error:
        if error.status_code != 422:
            raise
        rule = f"one of {', '.join(models(store)[:20])}"
        detail = f"There is no model {request.model[:80]!r}; there are {rule[7:]}."
        raise problem("unknown-model", detail, status=404, field="model", value=request.model, rule=rule) from None
    _check_options(served, request)
    return request, batch.predict(store, _items(served, request))


def _check_options(served: Served, request: ForecastRequest) -> None:
    options, first = request.options, served.manifest.horizons[0]
    if options.horizon < first:
        raise invalid("options.horizon", options.horizon, f"at least {first}, the model's first horizon")
    graph = served.sequence or served.station
    low, high = graph.intervals.levels[0], graph.intervals.levels[-1]
    for at, level in enumerate(options.quantiles or ()):
        if not low <= level <= high:
            raise invalid(f"options.quantiles[{at}]", level, f"a level within {low:g} .. {high:g}")


def _items(served: Served, request: ForecastRequest) -> list[Item]:
    """A request of `/v1/predict` for each series, or what is wrong with it."""
    requests: list[Item] = []
    for at, series in enumerate(request.inputs):
        try:
            requests.append(_item(served, series, f"inputs[{at}]"))
        except ProblemDetailsException as error:
            requests.append(batch.problem_of(error))
    return requests


def _item(served: Served, series: SeriesInput, place: str) -> PredictRequest:
    cadence, (feed, target) = served.manifest.window.cadence, served.key
    if SECONDS.get(series.frequency, 0) * series.frequency_multiple != cadence:
        unit = next(unit for unit in ("week", "day", "hour", "minute", "second") if cadence % SECONDS[unit] == 0)
        rule = f"the feed's cadence: {unit}, frequency_multiple {cadence // SECONDS[unit]}"
        raise invalid(f"{place}.frequency", series.frequency, rule)
    rows = _rows(served, series, place)[-served.manifest.window.look_back :]
    station = series.name if series.name in [each.id for each in served.feed.stations] else None
    newest = _newest(series, cadence, place)
    return PredictRequest(station=station, sequence=rows, time=newest, feed=feed, target=target)


def _rows(served: Served, series: SeriesInput, place: str) -> list[list[float]]:
    """The steps; of one series the target's column, and the others count as missing."""
    columns = served.manifest.window.columns
    is_univariate = series.type == UNIVARIATE
    rows: list[list[float]] = []
    at = columns.index(served.manifest.target)
    for number, step in enumerate(series.series):
        if isinstance(step, list) == is_univariate:
            rule = "a number" if is_univariate else f"[{', '.join(columns)}]"
            raise invalid(f"{place}.series[{number}]", step, f"{rule}, as the type {series.type} has it")
        rows.append(
            step if isinstance(step, list) else [step if column == at else math.nan for column in range(len(columns))]
        )
    return rows


def _newest(series: SeriesInput, cadence: int, place: str) -> datetime | None:
    """The time of the newest value."""
    if series.start_timestamp is None:
        return None
    start, rule = parse(series.start_timestamp), f"ISO 8601 with an offset, {EARLIEST.year} to {LATEST.year}"
    length = cadence * (len(series.series) - 1)
    if start is not None and start.tzinfo is not None and EARLIEST <= start < LATEST:
        if length < (LATEST - start).total_seconds():
            return start + timedelta(seconds=length)
        rule += " with all its steps"
    raise invalid(f"{place}.start_timestamp", series.start_timestamp, rule)


def response(request: ForecastRequest, results: Sequence[Result]) -> ForecastResponse:
    """What the protocol answers."""
    outputs = [_output(request, *each) for each in zip(request.inputs, results, strict=True)]
    failures = sum(each.status == "error" for each in outputs)
    status: Status = "completed" if not failures else "error" if failures == len(outputs) else "partial"
    return ForecastResponse(str(uuid.uuid4()), int(time.time()), status, request.model, outputs)


def _output(request: ForecastRequest, series: SeriesInput, result: Result) -> ForecastOutput:
    kind = "time_series_forecast"
    if isinstance(result, Problem):
        return ForecastOutput(kind, str(uuid.uuid4()), "error", [], error_of(result))
    content = _content(request, series, result.prediction)
    is_whole = request.options.horizon == len(content.horizons) == content.horizons[-1]
    return ForecastOutput(kind, result.prediction.id, "completed" if is_whole else "partial", [content])


def _content(request: ForecastRequest, series: SeriesInput, prediction: Prediction) -> SeriesForecast:
    own = [each for each in prediction.forecasts if each.horizon <= request.options.horizon]
    quantiles: dict[str, list[float]] | None = None
    if request.options.quantiles is not None:
        quantiles = {f"{level}": [] for level in request.options.quantiles}
        for each in own:
            levels, values = [float(level) for level in each.quantiles], list(each.quantiles.values())
            for level in dict.fromkeys(request.options.quantiles):
                quantiles[f"{level}"].append(round(float(np.interp(level, levels, values)), 4))
    first = own[0].time
    return SeriesForecast(
        type=UNIVARIATE,
        name=series.name,
        mean_forecast=[each.value for each in own],
        frequency=series.frequency,
        start_timestamp=f"{first.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if first else "",
        quantiles=quantiles,
        horizons=[each.horizon for each in own],
        degraded=prediction.degraded,
        reasons=[reason.code for reason in prediction.reasons],
    )


def error_of(problem: Problem) -> SeriesError:
    """A problem in the protocol's words."""
    return SeriesError(problem.detail, problem.type.rpartition(":")[2], str(problem.status), problem.field)


def with_error(error: ProblemDetailsException) -> ProblemDetailsException:
    """The problem with the protocol's `error` beside its own fields."""
    own = error.extra if isinstance(error.extra, dict) else {}
    error.extra = {**own, "error": msgspec.to_builtins(error_of(batch.problem_of(error)))}
    return error
