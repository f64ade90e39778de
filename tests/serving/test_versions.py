"""The API below /v1 and at its older paths, and the document that describes it with examples."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from serving.app import create_app
from serving.routes import older_paths
from serving.samples import Sampler
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.problems import problem_of
from tests.harness.server import Server, metric

Start = Callable[..., tuple[Server, httpx.Client]]
MOMENTS = ("id", "issued_at", "now", "age_seconds")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Litestar]]:
    """A server that has no release."""
    app = create_app(tmp_path_factory.mktemp("empty"), 0.5, None)
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def content(answer: httpx.Response) -> Any:
    """What an answer says beside the moment in which it is given."""
    body = answer.json()
    return {name: value for name, value in body.items() if name not in MOMENTS} if isinstance(body, dict) else body


@pytest.mark.parametrize(
    "path", ["/feeds", "/models?limit=3", "/routine-retrain-check", "/models?feed=none", "/reports/a/b/c"]
)
def test_older_path_gives_same_answer(http: httpx.Client, path: str) -> None:
    newer, older = http.get(f"/v1{path}"), http.get(path)
    assert newer.status_code == older.status_code
    assert content(newer) == content(older)


@given(
    st.fixed_dictionaries({}, optional={"station": st.sampled_from(["JFK", "EWR", "X"]), "feed": st.text(max_size=5)})
)
def test_older_path_of_predict_gives_same_answer(http: httpx.Client, body: dict[str, str]) -> None:
    newer, older = http.post("/v1/predict", json=body), http.post("/predict", json=body)
    assert newer.status_code == older.status_code
    assert content(newer) == content(older)


def test_both_paths_count_in_the_same_metric(http: httpx.Client) -> None:
    before = metric(http, "predictions_total")
    for path in ("/predict", "/v1/predict", "/v1/explain"):
        assert http.post(path, json={"station": "JFK"}).status_code == 200
    assert metric(http, "predictions_total") == before + 3


def test_state_of_server_has_no_version(http: httpx.Client) -> None:
    assert http.get("/v1/health").json()["status"] == http.get("/health").json()["status"] == "ok"
    for path in ("/v1/metrics", "/v1/docs", "/v1/schema", "/v1", "/v2/feeds", "/v1/v1/feeds"):
        problem_of(http.get(path), 404, "not-found")
    assert http.head("/v1/feeds").status_code == 200


def test_writing_needs_token_at_each_path(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path)
    write_tail(tmp_path)
    _, client = serve(TOKEN="secret")
    for path in ("/eval", "/v1/eval", "/v1/observations/noaa", "/v1/routine-retrain-check"):
        problem_of(client.post(path, json={"predicted": 1, "actual": 2}), 401, "unauthorized")


def parts(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All that needs an example: parameters, bodies and answers, with where they are."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            place = f"{method} {path}"
            yield from ((f"{place} {each['name']}", each) for each in operation.get("parameters", []))
            answers = {"body": operation.get("requestBody", {}), **operation["responses"]}
            for name, each in answers.items():
                yield from ((f"{place} {name} {kind}", own) for kind, own in each.get("content", {}).items())


@pytest.mark.parametrize("is_served", [True, False])
def test_everything_has_an_example(http: httpx.Client, empty: TestClient[Litestar], is_served: bool) -> None:
    document = (http if is_served else empty).get("/schema/openapi.json").json()
    assert [place for place, each in parts(document) if not each.get("examples")] == []
    assert {path.split("/")[1] for path in document["paths"]} == {"v1", "health", "metrics"}
    identifiers = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(identifiers) == len({*identifiers})


def test_problem_example_says_its_own_status(http: httpx.Client) -> None:
    document = http.get("/schema/openapi.json").json()
    for place, each in parts(document):
        for example in each["examples"].values():
            if "problem+json" in place:
                assert str(example["value"]["status"]) in place


def test_yaml_document_says_the_same(empty: TestClient[Litestar]) -> None:
    document = yaml.safe_load(empty.get("/schema/openapi.yaml").content)
    assert json.loads(json.dumps(document))["paths"].keys() == empty.get("/schema/openapi.json").json()["paths"].keys()
    assert all(each["examples"] for _, each in parts(document))


SCALARS = st.sampled_from(["string", "integer", "number", "boolean"]).map(lambda kind: {"type": kind})
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        inner.map(lambda own: {"type": "array", "items": own}),
        inner.map(lambda own: {"anyOf": [own, {"type": "null"}]}),
        st.dictionaries(st.sampled_from(["feed", "kind", "x"]), inner, min_size=1).map(
            lambda fields: {"type": "object", "properties": fields}
        ),
    ),
    max_leaves=8,
)
TYPES = {"string": str, "integer": int, "number": float, "boolean": bool}


def fits(value: Any, schema: dict[str, Any]) -> bool:
    if "anyOf" in schema:
        return value is None or fits(value, schema["anyOf"][0])
    if schema["type"] == "array":
        return isinstance(value, list) and all(fits(each, schema["items"]) for each in value)
    if schema["type"] == "object":
        return all(fits(value[name], field) for name, field in schema["properties"].items())
    return isinstance(value, TYPES[schema["type"]])


@given(SCHEMAS)
def test_sample_fits_its_schema(schema: dict[str, Any]) -> None:
    value = Sampler({}, {"feed": "noaa"}).value(schema)
    assert fits(value, schema)


def test_older_paths_are_those_without_version() -> None:
    assert "/predict" in older_paths()
    assert not any(path.startswith("/v1") for path in older_paths())
