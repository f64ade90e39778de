"""Requests that arrive together: each gets its own answer, as if it had come alone, from one run of the graph."""

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.plugins.problem_details import ProblemDetailsException

from aerocast.storage.home import Home
from serving import batch
from serving.batch import MOST_ITEMS
from serving.graph import GraphRunner
from serving.hot_swap import ServingStore
from serving.schemas import PredictRequest
from serving.together import Together
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.server import Server
from tests.serving.test_batch import REQUESTS, STEP, assert_same, outcome


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ServingStore:
    home: Home = tmp_path_factory.mktemp("home")
    publish(home, 1, bias=1.0)
    publish(home, 2, bias=2.0, target="pressure")
    write_tail(home)
    store = ServingStore(home)
    store.poll()
    return store


def forget(store: ServingStore) -> None:
    for served in store.serving():
        served.answers.clear()


async def ask(together: Together, request: PredictRequest) -> Any:
    try:
        return await together.predict(request)
    except ProblemDetailsException as error:
        return batch.problem_of(error)


async def at_once(store: ServingStore, requests: list[PredictRequest]) -> list[Any]:
    together = Together(store)
    return await asyncio.gather(*(ask(together, each) for each in requests))


@settings(deadline=None, max_examples=40)
@given(st.lists(REQUESTS, min_size=1, max_size=8))
def test_each_is_answered_as_if_alone(store: ServingStore, requests: list[PredictRequest]) -> None:
    forget(store)
    answers = asyncio.run(at_once(store, requests))
    forget(store)
    for mine, request in zip(answers, requests, strict=True):
        assert_same(mine, outcome(store, request))


@pytest.mark.parametrize("count", [1, 5, MOST_ITEMS + 3])
def test_what_arrives_together_takes_one_run_for_as_many_as_a_graph_takes(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    runs: list[int] = []
    original = GraphRunner._levels
    monkeypatch.setattr(GraphRunner, "_levels", lambda self, x: (runs.append(len(x)), original(self, x))[1])
    request = PredictRequest(sequence=[STEP] * 5, feed="noaa", target="temperature")
    answers = asyncio.run(at_once(store, [request] * count))
    assert runs == [count] if count <= MOST_ITEMS else [MOST_ITEMS, count - MOST_ITEMS]
    assert len({each.prediction.id for each in answers}) == count


def test_who_has_gone_takes_no_other_answer_along(store: ServingStore) -> None:
    async def some_leave() -> list[Any]:
        together = Together(store)
        request = PredictRequest(sequence=[STEP] * 5, feed="noaa", target="temperature")
        tasks = [asyncio.create_task(ask(together, request)) for _ in range(6)]
        await asyncio.sleep(0)
        for each in tasks[::2]:
            each.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(some_leave())
    assert all(isinstance(each, asyncio.CancelledError) for each in answers[::2])
    assert all(each.prediction.forecasts for each in answers[1::2])


def test_fault_of_ours_is_told_to_all_and_the_next_are_answered(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = PredictRequest(sequence=[STEP] * 5, feed="noaa", target="temperature")

    async def broken() -> list[Any]:
        together = Together(store)
        with monkeypatch.context() as patch:
            patch.setattr(GraphRunner, "answer", lambda *_: 1 / 0)
            failed = await asyncio.gather(*(together.predict(request) for _ in range(3)), return_exceptions=True)
        return [*failed, await together.predict(request)]

    *failed, answered = asyncio.run(broken())
    assert [type(each) for each in failed] == [ZeroDivisionError] * 3
    assert answered.prediction.forecasts


def test_many_connections_get_their_own_answers(home: Home) -> None:
    publish(home, 1, bias=1.0)
    write_tail(home)

    async def ask_all(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            bodies = [{"sequence": [[20.0 + at, 9.0, 1015.0]] * 5} for at in range(24)]
            answers = await asyncio.gather(*(client.post("/v1/predict", json=body) for body in bodies))
            alone = [await client.post("/v1/predict", json=body) for body in bodies]
        for mine, other in zip(answers, alone, strict=True):
            assert mine.status_code == other.status_code == 200
            values = [[each["value"] for each in answer.json()["forecasts"]] for answer in (mine, other)]
            assert values[0] == pytest.approx(values[1], abs=1e-3)

    with Server(home) as server:
        asyncio.run(ask_all(server.url))
