"""Many requests in one: the answers of the same requests alone, from one run of the graph, as JSON and as Arrow."""

import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.plugins.problem_details import ProblemDetailsException

from aerocast.storage.home import Home
from serving import batch, predictor
from serving.graph import GraphRunner
from serving.hot_swap import ServingStore
from serving.schemas import PredictRequest, Problem
from tests.factories.bodies import ARROW
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.problems import assert_problem
from tests.harness.server import Server, logged_answers, metric

PATH = "/v1/predict/batch"
STEP = [40.0, 9.0, 1015.0]
OWN = ("id", "issued_at")


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server of its own: once an Arrow stream came, it holds pyarrow."""
    home = tmp_path_factory.mktemp("home")
    publish(home, 1, bias=1.0)
    write_tail(home)
    with Server(home) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ServingStore:
    """Two targets of noaa, and another feed with the same stations."""
    home: Home = tmp_path_factory.mktemp("home")
    publish(home, 1, bias=1.0)
    publish(home, 2, bias=2.0, target="pressure")
    publish(home, 3, bias=3.0, feed="midwest")
    for feed in ("noaa", "midwest"):
        write_tail(home, feed)
    store = ServingStore(home)
    store.poll()
    return store


STEPS = st.lists(st.lists(st.floats(-500, 2000, width=32), min_size=3, max_size=3), min_size=4, max_size=49)
REQUESTS = st.one_of(
    st.builds(
        PredictRequest,
        station=st.sampled_from(["JFK", "LGA", "EWR", "XXX"]),
        feed=st.sampled_from(["noaa", "midwest", "none", None]),
        target=st.sampled_from(["temperature", "pressure", None]),
    ),
    st.builds(
        PredictRequest,
        sequence=STEPS,
        station=st.sampled_from(["JFK", None]),
        feed=st.just("noaa"),
        time=st.sampled_from([None, datetime.fromisoformat("2013-07-01T12:00:00Z")]),
    ),
)


def outcome(store: ServingStore, request: PredictRequest) -> Any:
    try:
        return predictor.predict(store, request)
    except ProblemDetailsException as error:
        return batch.problem_of(error)


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, Problem) or isinstance(other, Problem):
        assert one == other
        return
    for name in ("feed", "target", "station", "origin", "degraded", "reasons", "notes", "model", "unit"):
        assert getattr(one.prediction, name) == getattr(other.prediction, name), name
    for mine, yours in zip(one.prediction.forecasts, other.prediction.forecasts, strict=True):
        assert (mine.horizon, mine.time, mine.quantiles.keys()) == (yours.horizon, yours.time, yours.quantiles.keys())
        numbers = [[each.value, each.lower, each.upper, *each.quantiles.values()] for each in (mine, yours)]
        assert np.allclose(*numbers, rtol=1e-4, atol=1e-3)


@settings(deadline=None, max_examples=60)
@given(st.lists(REQUESTS, min_size=1, max_size=8))
def test_batch_is_its_requests_alone(store: ServingStore, requests: list[PredictRequest]) -> None:
    for served in store.serving():
        served.answers.clear()
    together = batch.predict(store, requests)
    for served in store.serving():
        served.answers.clear()
    for mine, request in zip(together, requests, strict=True):
        assert_same(mine, outcome(store, request))


def test_one_run_of_each_graph_answers_all(store: ServingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    original = GraphRunner._levels
    monkeypatch.setattr(GraphRunner, "_levels", lambda self, x: (runs.append(len(x)), original(self, x))[1])
    items = [PredictRequest(sequence=[STEP] * 5, feed="noaa", target=target) for target in ("temperature", "pressure")]
    assert len(batch.predict(store, items * (batch.MOST_ITEMS // 2))) == batch.MOST_ITEMS
    assert runs == [batch.MOST_ITEMS // 2] * 2


def test_same_station_twice_is_first_once(store: ServingStore) -> None:
    for served in store.serving():
        served.answers.clear()
    requests = [PredictRequest(station="JFK", feed="noaa")] * 3
    results = batch.predict(store, requests) + batch.predict(store, requests)
    assert [each.is_first for each in results if isinstance(each, predictor.Answered)] == [True] + [False] * 5


def ask(http: httpx.Client, body: Any, **headers: str) -> list[dict[str, Any]]:
    answer = http.post(PATH, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def test_wrong_items_have_their_problem_and_others_are_answered(http: httpx.Client) -> None:
    items = [{"station": "JFK"}, {"station": "XXX"}, {}, {"stations": 1}, 7, {"sequence": [STEP] * 5}]
    answers = ask(http, items)
    assert [each["index"] for each in answers] == list(range(6))
    assert ["prediction" in each for each in answers] == [True, False, False, False, False, True]
    for item, answer in zip(items, answers, strict=True):
        alone = http.post("/v1/predict", json=item)
        refusal = {name: value for name, value in alone.json().items() if value is not None}
        assert answer.get("problem") == (None if alone.status_code == 200 else refusal)


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"[]", 422, "no-requests"),
        (b"{}", 422, "invalid-field"),
        (b"[", 400, "malformed-json"),
        (b'[{"station": NaN x}]', 400, "malformed-json"),
        (b"[" + b'{"station": "JFK"},' * batch.MOST_ITEMS + b"{}]", 413, "too-many-requests"),
        (b"[" + b"[]," * 400_000 + b"[]]", 413, "too-many-values"),
        (b"[" + b" " * (batch.MAX_BODY + 1) + b"]", 413, "request-entity-too-large"),
    ],
    ids=["empty", "no list", "cut off", "no number", "items", "values", "bytes"],
)
def test_body_that_is_no_batch_is_refused(http: httpx.Client, body: bytes, status: int, slug: str) -> None:
    answer = http.post(PATH, content=body, headers={"content-type": "application/json"})
    assert_problem(answer, status, slug, "body", None)


def test_form_of_answer_follows_header_fields(http: httpx.Client) -> None:
    stream = arrow(station=["JFK"])
    for accept, kind, expected in [
        (None, "application/json", "application/json"),
        ("*/*", ARROW, ARROW),
        (ARROW, "application/json", ARROW),
        ("application/json;q=1", ARROW, "application/json"),
        ("text/html, application/*", ARROW, ARROW),
    ]:
        headers = {"content-type": kind} | ({"accept": accept} if accept else {})
        body = stream if kind == ARROW else b'[{"station": "JFK"}]'
        answer = http.post(PATH, content=body, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (200, expected), answer.text
    answer = http.post(PATH, json=[{"station": "JFK"}], headers={"accept": "text/html"})
    assert_problem(answer, 406, "not-acceptable", "Accept", None)
    answer = http.post(PATH, content=b"a", headers={"content-type": "text/csv"})
    assert_problem(answer, 415, "unsupported-media-type", "Content-Type", None)


def arrow(compression: str | None = None, **columns: Any) -> bytes:
    sink, table = io.BytesIO(), pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_arrow_stream_says_what_json_says(http: httpx.Client) -> None:
    time = datetime.fromisoformat("2013-07-01T12:00:00+02:00")
    items = [
        {"station": "JFK"},
        {"station": "XXX"},
        {"sequence": [STEP] * 5, "time": time.isoformat()},
        {"station": "LGA", "feed": "noaa"},
    ]
    stream = arrow(
        station=pa.array(["JFK", "XXX", None, "LGA"]).dictionary_encode(),
        feed=[None, None, None, "noaa"],
        time=pa.array([None, None, time, None], pa.timestamp("ms", "Europe/Berlin")),
        sequence=pa.array([None, None, [STEP] * 5, None], pa.list_(pa.list_(pa.float32(), 3))),
        covariates=pa.nulls(4, pa.map_(pa.string(), pa.list_(pa.float64()))),
    )
    answer = http.post(PATH, content=stream, headers={"content-type": ARROW})
    assert answer.status_code == 200, answer.text
    table = pa.ipc.open_stream(answer.content).read_all()
    rows = table.to_pylist(maps_as_pydicts="strict")
    assert [row["index"] for row in rows] == [0, 0, 0, 1, 2, 2, 2, 3, 3, 3]
    for expected in ask(http, items):
        own = [row for row in rows if row["index"] == expected["index"]]
        if problem := expected.get("problem"):
            assert [(row["status"], row["problem"], row["field"]) for row in own] == [
                (problem["status"], problem["detail"], problem["field"])
            ]
            continue
        prediction = expected["prediction"]
        assert {row["status"] for row in own} == {200}
        assert {tuple(row["reasons"]) for row in own} == {tuple(each["code"] for each in prediction["reasons"])}
        for row, one in zip(own, prediction["forecasts"], strict=True):
            assert row["time"] == datetime.fromisoformat(one["time"])
            assert (row["horizon"], row["value"], row["lower"]) == (one["horizon"], one["value"], one["lower"])
            assert row["quantiles"] == one["quantiles"]


def test_covariates_of_arrow_reach_the_request(http: httpx.Client) -> None:
    """This release knows nothing ahead, so it says so, as to JSON."""
    kind = pa.map_(pa.string(), pa.list_(pa.float64()))
    stream = arrow(station=["JFK"], covariates=pa.array([[("sun", [1.0, 2.0, 3.0])]], kind))
    headers = {"content-type": ARROW, "accept": "application/json"}
    (answer,) = http.post(PATH, content=stream, headers=headers).json()
    assert answer == ask(http, [{"station": "JFK", "covariates": {"sun": [1, 2, 3]}}])[0]
    assert answer["problem"]["field"] == "covariates.sun"


LONG = pa.DictionaryArray.from_arrays(pa.array([0] * 128, pa.int16()), pa.array(["9" * 1_000_000]))
HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "another text": b"ARROW1 and more",
    "cut off": arrow(station=["JFK"])[:-40],
    "long texts": arrow(station=LONG),
    "zeros": arrow("zstd", station=["0" * 100_000] * 100),
    "empty lists": arrow("zstd", sequence=pa.array([[[]] * 600_000], pa.list_(pa.list_(pa.float64())))),
    "many numbers": arrow("zstd", sequence=pa.array([[[1.0] * 1_200_000]], pa.list_(pa.list_(pa.float64())))),
    "another type": arrow(station=[1, 2]),
    "time without zone": arrow(station=["JFK"], time=pa.array([0], pa.timestamp("s"))),
    "a sequence of texts": arrow(sequence=["a"]),
    "covariates that are a list": arrow(station=["JFK"], covariates=[[1.0]]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_stream_is_refused(http: httpx.Client, name: str) -> None:
    answer = http.post(PATH, content=HOSTILE[name], headers={"content-type": ARROW})
    assert answer.status_code == 400, answer.text[:500]
    assert answer.json()["rule"]


def test_stream_of_too_many_rows_and_with_unknown_columns_is_refused_as_json(http: httpx.Client) -> None:
    answer = http.post(PATH, content=arrow("zstd", station=["JFK"] * 10**6), headers={"content-type": ARROW})
    assert answer.status_code in (400, 413)
    answer = http.post(PATH, content=arrow(station=["JFK"] * 129), headers={"content-type": ARROW})
    assert_problem(answer, 413, "too-many-requests", "body", None)
    headers = {"content-type": ARROW, "accept": "application/json"}
    (answer_of,) = http.post(PATH, content=arrow(station=["JFK"], place=["x"]), headers=headers).json()
    assert answer_of["problem"]["type"] == "urn:aerocast:problem:unknown-field"


@pytest.fixture
def logging(tmp_path: Path) -> Iterator[tuple[Server, httpx.Client]]:
    publish(tmp_path)
    write_tail(tmp_path)
    settings_ = {"AEROCAST_LOG_SECONDS": "0.1", "AEROCAST_TOKEN": "secret"}
    with Server(tmp_path, settings=settings_) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        yield server, client


def test_log_has_what_single_requests_would_log(tmp_path: Path, logging: tuple[Server, httpx.Client]) -> None:
    server, http = logging
    items = [{"station": "JFK"}, {"station": "JFK"}, {"station": "XXX"}, {"sequence": [STEP] * 5}, {"station": "LGA"}]
    strange = [each.get("prediction", {}).get("id") for each in ask(http, items)]
    own = [each.get("prediction", {}).get("id") for each in ask(http, items, authorization="Bearer secret")]
    assert metric(http, "predictions_total") == 8
    server.__exit__()
    ids = [one.id for one in logged_answers(tmp_path)]
    assert sorted(ids) == sorted([strange[0], strange[4], *(each for each in own if each)])
