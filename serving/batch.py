"""Many requests in one: each answered as alone, from one pass of the features and one run of each graph."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from litestar.plugins.problem_details import ProblemDetailsException

from serving import predictor
from serving.graph import ORT_ERRORS, PIECE, GraphRunner
from serving.hot_swap import ServingStore
from serving.parsing import addressed, decode, parse
from serving.predictor import Answered, Prepared
from serving.problems import problem
from serving.schemas import Prediction, PredictRequest, Problem

MOST_ITEMS = PIECE  # one run of a graph
MAX_BODY = 4 << 20
MOST_VALUES = 500_000  # in JSON: each takes a hundred bytes of memory, however short it is

T = TypeVar("T")
R = TypeVar("R")
Item = PredictRequest | Problem
Result = Answered | Problem


class Query(NamedTuple):
    """A request; `values` of the client stand for what the station measured in its newest step, by column."""

    request: PredictRequest
    values: Mapping[str, float] | None = None


class BatchAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one request of a batch is answered: a prediction, or the problem that it alone would be refused with."""

    index: int
    prediction: Prediction | None = None
    problem: Problem | None = None


class _Pending(NamedTuple):
    """The place in the batch, and what is asked of a graph."""

    place: int
    prepared: Prepared


def requests(body: bytes, feed: str | None, target: str | None) -> list[Item]:
    """The requests of a JSON body, or what is wrong with each. Raises a problem for a body that is no list of some."""
    check_values(body)
    parts = checked_count(decode(body, list[msgspec.Raw]))
    return [_item(bytes(part), feed, target) for part in parts]


def check_values(body: bytes) -> None:
    """Raises a 413 problem for a JSON body that would take many times its size once its values are objects."""
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        detail, rule = f"The body holds more than {MOST_VALUES} values.", f"at most {MOST_VALUES} values"
        raise problem("too-many-values", detail, status=413, field="body", rule=rule)


def checked(parts: Sequence[Any], feed: str | None, target: str | None) -> list[Item]:
    """Requests from the columns of a table, as plain dictionaries without what is null."""
    return [_item(msgspec.json.encode(part), feed, target) for part in parts]


def checked_count(parts: list[T]) -> list[T]:
    """At least one, and not more than MOST_ITEMS. Raises a problem."""
    if not parts:
        raise problem("no-requests", "The body holds no requests.", field="body", rule="at least one request")
    if len(parts) > MOST_ITEMS:
        detail, rule = f"The body holds {len(parts)} requests; send at most {MOST_ITEMS}.", f"at most {MOST_ITEMS}"
        raise problem("too-many-requests", detail, status=413, field="body", value=len(parts), rule=f"{rule} requests")
    return parts


def _item(body: bytes, feed: str | None, target: str | None) -> Item:
    try:
        return addressed(parse(body), feed, target)
    except ProblemDetailsException as error:
        return problem_of(error)


def predict(store: ServingStore, items: Sequence[Item]) -> list[Result]:
    """An answer, or a problem, for each item, in their order."""
    queries = [Query(each) for each in items if not isinstance(each, Problem)]
    results = iter(answer_all(store, queries, problem_of))
    return [each if isinstance(each, Problem) else next(results) for each in items]


def answer_all(
    store: ServingStore, questions: Sequence[Query], refusal: Callable[[ProblemDetailsException], R]
) -> list[Answered | R]:
    """An answer, or what `refusal` makes of a problem, for each question, in their order."""
    results: list[Answered | R | None] = [None] * len(questions)
    pending: dict[int, list[_Pending]] = {}
    for index, (request, values) in enumerate(questions):
        try:
            served, question = predictor.pose(store, request, values)
            if forecast := predictor.cached(served, question):
                results[index] = predictor.completed(served, question, forecast, is_first=False)
                continue
            prepared = predictor.prepare(served, question)
            pending.setdefault(id(prepared.graph), []).append(_Pending(index, prepared))
        except ProblemDetailsException as error:
            results[index] = refusal(error)
    for group in pending.values():
        for index, result in _run(group[0].prepared.graph, group, refusal):
            results[index] = result
    return [each for each in results if each is not None]


def _run(
    graph: GraphRunner, group: Sequence[_Pending], refusal: Callable[[ProblemDetailsException], R]
) -> list[tuple[int, Answered | R]]:
    """The answers of one graph; one that it cannot give spoils no other."""
    try:
        answers = graph.answer([each.prepared.row for each in group])
    except ORT_ERRORS:  # which row it was nobody knows: each is asked alone
        if len(group) == 1:
            return [(group[0].place, refusal(predictor.no_forecast()))]
        return [result for each in group for result in _run(graph, [each], refusal)]
    results: list[tuple[int, Answered | R]] = []
    for (index, prepared), levels in zip(group, answers, strict=True):
        served, question = prepared.served, prepared.question
        try:
            forecast = predictor.forecast_of(prepared, levels)
        except ProblemDetailsException as error:
            results.append((index, refusal(error)))
            continue
        is_first = predictor.remember(served, question, forecast)
        results.append((index, predictor.completed(served, question, forecast, is_first)))
    return results


def answers(results: Sequence[Result]) -> list[BatchAnswer]:
    """The results as they go over the wire."""
    return [
        BatchAnswer(index, problem=each) if isinstance(each, Problem) else BatchAnswer(index, each.prediction)
        for index, each in enumerate(results)
    ]


def problem_of(error: ProblemDetailsException) -> Problem:
    """What is wrong, as data: an exception would hold all that its frames hold, such as a long sequence."""
    extra = error.extra if isinstance(error.extra, dict) else {}
    return Problem(error.type_ or "", error.title or "", error.status_code, error.detail, **extra)
