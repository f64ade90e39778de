"""Bad requests: every one a 4xx problem document that names field, value and rule; never a 500."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import TestClient

from serving import views
from serving.app import create_app
from tests.harness.problems import problem_of

STEP = [40.0, 9.0, 1015.0]
GOOD = [STEP] * 5


def sequence(row: int, column: int, value: str) -> bytes:
    """A good sequence as JSON text with one number replaced."""
    rows = [[str(number) for number in STEP] for _ in range(5)]
    rows[row][column] = value
    return f'{{"sequence": [{", ".join("[" + ", ".join(one) + "]" for one in rows)}]}}'.encode()


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


CASES = {
    "empty body": (b"", 400, "malformed-json", "body"),
    "not JSON": (b"{station: JFK}", 400, "malformed-json", "body"),
    "cut JSON": (b'{"station": "JF', 400, "malformed-json", "body"),
    "not UTF-8": (b'{"station": "\xff\xfe"}', 400, "malformed-json", "body"),
    "lone surrogate": (b'{"station": "\\ud800"}', 400, "malformed-json", "body"),
    "two documents": (b'{"station": "JFK"} {}', 400, "malformed-json", "body"),
    "NaN": (sequence(1, 0, "NaN"), 400, "malformed-json", "sequence[1][0]"),
    "Infinity": (sequence(1, 0, "Infinity"), 400, "malformed-json", "sequence[1][0]"),
    "-Infinity": (sequence(1, 0, "-Infinity"), 400, "malformed-json", "sequence[1][0]"),
    "too large a number": (sequence(2, 1, "1e999"), 422, "invalid-field", "sequence[2][1]"),
    "null in a sequence": (sequence(2, 2, "null"), 422, "invalid-field", "sequence[2][2]"),
    "text in a sequence": (sequence(4, 0, '"warm"'), 422, "invalid-field", "sequence[4][0]"),
    "a number as text": (sequence(4, 0, '"40"'), 422, "invalid-field", "sequence[4][0]"),
    "true in a sequence": (sequence(0, 0, "true"), 422, "invalid-field", "sequence[0][0]"),
    "a list in a sequence": (sequence(0, 0, "[1]"), 422, "invalid-field", "sequence[0][0]"),
    "a row too short": (body(sequence=[STEP, STEP, STEP[:2], STEP, STEP]), 422, "invalid-field", "sequence[2]"),
    "a row too long": (body(sequence=[*GOOD[1:], [*STEP, 1]]), 422, "invalid-field", "sequence[4]"),
    "a flat sequence": (body(sequence=STEP), 422, "invalid-field", "sequence[0]"),
    "no steps": (body(sequence=[]), 422, "invalid-field", "sequence"),
    "too few steps": (body(sequence=[STEP] * 4), 422, "invalid-field", "sequence"),
    "too many steps": (body(sequence=[STEP] * 49), 422, "invalid-field", "sequence"),
    "a sequence that is text": (body(sequence="JFK"), 422, "invalid-field", "sequence"),
    "deep nesting": (b'{"sequence": ' + b"[" * 50_000, 422, "invalid-field", "sequence[0][0]"),
    "deep nesting elsewhere": (b'{"more": ' + b"[" * 50_000, 422, "unknown-field", "more"),
    "all impossible": (body(sequence=[[4000.0, 9.0, 1015.0]] * 5), 422, "invalid-field", "sequence"),
    "beyond float32": (body(sequence=[[1e300, 9.0, 1015.0]] * 5), 422, "invalid-field", "sequence"),
    "unknown station": (body(station="LAX"), 422, "unknown-station", "station"),
    "empty station": (body(station=""), 422, "unknown-station", "station"),
    "station of a path": (body(station="../JFK"), 422, "unknown-station", "station"),
    "a station that is a number": (body(station=5), 422, "invalid-field", "station"),
    "unknown feed": (body(station="JFK", feed="mars"), 422, "unknown-feed", "feed"),
    "unknown target": (body(station="JFK", target="pressure"), 422, "unknown-target", "target"),
    "unknown field": (body(statoin="JFK"), 422, "unknown-field", "statoin"),
    "an unknown station's sequence": (body(station="LAX", sequence=GOOD), 422, "unknown-station", "station"),
    "none": (b"{}", 422, "station-or-sequence", "station, sequence"),
    "both null": (body(station=None, sequence=None), 422, "station-or-sequence", "station, sequence"),
    "a list": (b"[]", 422, "invalid-field", "body"),
    "a number": (b"7", 422, "invalid-field", "body"),
    "null": (b"null", 422, "invalid-field", "body"),
    "time without offset": (body(sequence=GOOD, time="2013-07-01T12:00:00"), 422, "invalid-field", "time"),
    "time that is none": (body(sequence=GOOD, time="noon"), 422, "invalid-field", "time"),
    "time as a number": (body(sequence=GOOD, time=1372680000), 422, "invalid-field", "time"),
    "time too early": (body(sequence=GOOD, time="0001-01-01T00:00:00Z"), 422, "invalid-field", "time"),
    "time too late": (body(sequence=GOOD, time="9999-12-31T23:59:59Z"), 422, "invalid-field", "time"),
    "time with a station": (body(station="JFK", time="2013-07-01T12:00:00Z"), 422, "invalid-field", "time"),
    "too large a body": (body(station="J" * 300_000), 413, "request-entity-too-large", "body"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_request_names_field_value_and_rule(http: httpx.Client, case: str) -> None:
    content, status, slug, field = CASES[case]
    answer = http.post("/predict", content=content, headers={"content-type": "application/json"})
    problem = problem_of(answer, status, slug)
    assert problem["field"] == field
    assert problem["rule"]


def test_problem_repeats_value_as_sent(http: httpx.Client) -> None:
    for value in ("null", '"warm"', "true"):
        problem = http.post("/predict", content=sequence(1, 2, value)).json()
        assert problem["value"] == json.loads(value)
    problem = http.post("/predict", json={"station": "LAX"}).json()
    assert (problem["value"], problem["rule"]) == ("LAX", "one of JFK, LGA, EWR")


@pytest.mark.parametrize("path", ["/predict", "/eval", "/observations/small"])
def test_answer_does_not_carry_long_names_back(http: httpx.Client, path: str) -> None:
    answer = http.post(path, content=b'{"actual": 1, "' + b"k" * 250_000 + b'": 1}')
    assert 400 <= answer.status_code < 500
    assert len(answer.content) < 5000


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"])
def test_other_content_types_are_refused(http: httpx.Client, kind: str) -> None:
    problem = problem_of(http.post("/predict", content=b'{"station": "JFK"}', headers={"content-type": kind}), 415,
                    "unsupported-media-type")  # fmt: skip
    assert (problem["field"], problem["value"], problem["rule"]) == ("Content-Type", kind, "application/json")


@pytest.mark.parametrize("kind", [None, "application/json", "application/JSON; charset=utf-8", "application/ld+json"])
def test_json_content_types_are_accepted(http: httpx.Client, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    assert http.post("/predict", content=b'{"station": "JFK"}', headers=headers).status_code == 200


def test_chunked_body_has_same_limit(http: httpx.Client) -> None:
    answer = http.post("/predict", content=(b"x" * 10_000 for _ in range(60)))
    assert problem_of(answer, 413, "request-entity-too-large")["field"] == "body"


@pytest.mark.parametrize("path", ["/nothing", "/predict/JFK", "/%2e%2e/etc/passwd", "/schema/x"])
def test_unknown_path_is_404(http: httpx.Client, path: str) -> None:
    problem_of(http.get(path), 404, "not-found")


def test_wrong_method_is_405(http: httpx.Client) -> None:
    for method, path, allowed in (
        ("GET", "/predict", "POST"),
        ("POST", "/health", "GET"),
        ("DELETE", "/models", "GET"),
    ):
        answer = http.request(method, path)
        problem_of(answer, 405, "method-not-allowed")
        assert allowed in answer.headers["allow"]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1001"])
def test_invalid_query_parameter_is_refused(http: httpx.Client, query: str) -> None:
    assert problem_of(http.get(f"/models?{query}"), 400, "bad-request")["field"] == "limit"


def test_models_of_unknown_feed_are_404(http: httpx.Client) -> None:
    for query, field in (("feed=mars", "feed"), ("feed=..", "feed"), ("target=rain", "target")):
        assert problem_of(http.get(f"/models?{query}"), 404, "unknown-release")["field"] == field


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
ROWS = st.lists(st.lists(st.floats(width=32, allow_nan=False) | JSON, min_size=2, max_size=4), max_size=8)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "station": JSON | st.just("JFK"),
        "sequence": JSON | ROWS,
        "time": JSON | st.datetimes().map(lambda time: time.isoformat() + "Z"),
        "feed": JSON | st.just("noaa"),
        "target": JSON | st.just("temperature"),
    },
)


@given(FIELDS | JSON)
def test_any_json_gets_answer_or_problem(http: httpx.Client, content: Any) -> None:
    _answered(http.post("/predict", content=json.dumps(content).encode()))


@given(st.binary(max_size=200))
def test_any_bytes_get_problem(http: httpx.Client, content: bytes) -> None:
    _answered(http.post("/predict", content=content))


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=5, max_size=48))
def test_any_numbers_get_finite_forecast_or_problem(http: httpx.Client, rows: list[tuple[float, ...]]) -> None:
    answer = http.post("/predict", json={"sequence": rows})
    _answered(answer)
    if answer.status_code == 200:
        for one in answer.json()["forecasts"]:
            assert one["lower"] <= one["value"] <= one["upper"]


def _answered(answer: httpx.Response) -> None:
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"field", "rule", "detail"} <= set(answer.json())


def test_fault_of_server_is_counted_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a client did wrong nothing is counted then."""

    def fail(*_: object) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(views, "models", fail)
    with TestClient(
        create_app(tmp_path, 0.5, None), base_url="http://localhost", raise_server_exceptions=False
    ) as client:
        assert (client.get("/models").status_code, client.get("/nowhere").status_code) == (500, 404)
        counts = re.findall(r'^aerocast_problems_total\{status="(\d+)"\} (\S+)$', client.get("/metrics").text, re.M)
    assert dict(counts) == {"500": "1.0", "404": "1.0"}
