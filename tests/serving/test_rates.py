"""Limits on how often a client may ask: the bucket by its definition, and over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.contracts import tokens
from serving import rates
from serving.rates import Buckets, place_of
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.problems import problem_of
from tests.harness.server import Server
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
OUTCOME = {"predicted": 40.0, "actual": 41.0}


@given(st.integers(1, 50), st.lists(st.floats(0, 90), max_size=200))
def test_no_span_of_time_gives_more_than_bucket_and_its_refill(most: int, pauses: list[float]) -> None:
    buckets, now, taken = Buckets(most), 0.0, list[float]()
    for pause in pauses:
        now += pause
        if not buckets.take("a", now):
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= most + (taken[last] - taken[first]) * most / 60 + 1e-6


@given(st.integers(1, 50), st.integers(0, 200))
def test_who_waits_as_long_as_told_is_served(most: int, before: int) -> None:
    buckets = Buckets(most)
    waits = [buckets.take("a", 0.0) for _ in range(before)]
    assert waits[:most] == [0.0] * min(most, before)
    wait = buckets.take("a", 0.0)
    assert (wait > 0) == (before >= most)
    assert wait == 0 or buckets.take("a", wait + 1e-6) == 0


def test_clients_do_not_take_from_each_other() -> None:
    buckets = Buckets(1)
    assert buckets.take("a", 0.0) == 0.0
    assert buckets.take("a", 0.0) > 0.0
    assert buckets.take("b", 0.0) == 0.0


def test_no_limit_is_none() -> None:
    assert not any(Buckets(0).take("a", 0.0) for _ in range(1000))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_CLIENTS", 10)
    buckets = Buckets(1)
    for number in range(100):
        buckets.take(str(number), 0.0)
    assert len(buckets._levels) == 10


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("odd:thing", "odd:thing"),
        ("", ""),
    ],
)
def test_place_of_address(address: str, place: str) -> None:
    assert place_of(address) == place


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish(tmp_path)
    write_tail(tmp_path)
    return tmp_path


def test_writes_and_reads_have_limits_of_their_own(home: Path, serve: Start) -> None:
    _, http = serve(MOST_WRITES="2", MOST_READS="5")
    answers = [http.post("/v1/eval", json=OUTCOME) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert problem_of(answers[2], 429, "too-many-requests")["rule"] == "at most 2 a minute"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30
    # The server was asked for its health until it answered.
    statuses = [http.post("/v1/predict", json={"station": "JFK"}).status_code for _ in range(6)]
    assert statuses[0] == 200
    assert statuses[-1] == 429


def test_tokens_are_counted_apart(home: Path, serve: Start) -> None:
    secrets = [tokens.create(home, "write", datetime.now(UTC))[1] for _ in range(2)]
    _, http = serve(MOST_WRITES="1")
    for secret in secrets:
        sent = {"authorization": f"Bearer {secret}"}
        assert [http.post("/v1/eval", json=OUTCOME, headers=sent).status_code for _ in range(2)] == [200, 429]


def test_guesses_of_tokens_are_counted(home: Path, serve: Start) -> None:
    server, _ = serve("--host", "0.0.0.0", TOKEN="secret", MOST_WRITES="3")
    with httpx.Client(base_url=server.url.replace("0.0.0.0", "127.0.0.1"), timeout=60) as http:
        guess = {"authorization": "Bearer guess"}
        statuses = [http.post("/v1/eval", json=OUTCOME, headers=guess).status_code for _ in range(4)]
        assert statuses == [401, 401, 401, 429]
        known = {"authorization": "Bearer secret"}
        until(lambda: http.post("/v1/eval", json=OUTCOME, headers=known).status_code == 200)
