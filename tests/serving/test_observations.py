"""POST /observations/{feed} over real HTTP: on disk before the answer, once by key, and every refusal says why."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from aerocast.contracts.declared import publish
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.observations import HttpChannel
from aerocast.ingest.channels.posted import PostStore
from serving.observations import Observations
from tests.factories.bodies import ARROW, arrow_stream
from tests.factories.feeds import small_feed
from tests.harness.disks import fill_disk, small_disk
from tests.harness.problems import assert_problem
from tests.harness.server import Server, metric
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
PATH = "/observations/small"
ONE = {"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": 41.5, "w": 3, "p": None}
BEARER = {"authorization": "Bearer secret"}


def instants(*days: int, zone: str | None = "UTC") -> pa.Array:
    return pa.array([1_704_067_200 + day * 86_400 for day in days], pa.timestamp("s", zone))


@pytest.fixture(scope="module")
def small() -> Feed:
    return small_feed(Path("readings.csv"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small: Feed) -> Iterator[Server]:
    """A server with one feed declared and nothing trained; it needs a token."""
    home = tmp_path_factory.mktemp("home")
    publish(home, small)
    with Server(home, ("--poll-seconds", "0.05"), {"AEROCAST_TOKEN": "secret"}) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=BEARER, timeout=60) as http:
        yield http


def rows(home: Path, feed: Feed) -> list[dict[str, Any]]:
    """What waits, as raw would have it, and takes it away."""
    channel, found = HttpChannel(home, feed.name), []
    for batch in channel.take(feed):
        found += batch.table.to_pylist()
        channel.confirm(batch)
    return found


def test_readings_in_every_format_are_accepted(server: Server, client: httpx.Client, small: Feed) -> None:
    two = [ONE, {**ONE, "station": "BBB", "t": -1e-7}]
    many = arrow_stream(station=["AAA", "BBB"], time=instants(1, 2), t=[1.5, None], w=pa.array([3, 4], pa.int16()))
    texts = arrow_stream(station=pa.array(["AAA"]).dictionary_encode(), time=["2024-01-05T00:00:00,5+0100"], p=[1e3])
    answers = [
        client.post(PATH, json=ONE),
        client.post(PATH, json=two),
        client.post(PATH, content=b"".join(json.dumps(each).encode() + b"\n" for each in two),
                    headers={"content-type": "application/x-ndjson"}),
        client.post(PATH, content=many, headers={"content-type": ARROW}),
        client.post(PATH, content=texts, headers={"content-type": f"{ARROW}; version=1"}),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [202] * 5
    assert [answer.json()["accepted"] for answer in answers] == [1, 2, 2, 2, 1]
    assert len({answer.json()["id"] for answer in answers}) == 5
    until(lambda: metric(client, 'aerocast_observations_waiting{feed="small"}') == 8)
    assert metric(client, 'aerocast_observations_total{feed="small"}') == 8
    found = rows(server.home, small)
    assert [row["t"] for row in found] == ["41.5", "41.5", "-1e-7", "41.5", "-1e-7", "1.5", None, None]
    assert [row["w"] for row in found] == ["3"] * 6 + ["4", None]
    assert [row["line"] for row in found] == list(range(8))
    assert found[5]["time_text"].startswith("2024-01-02T00:00:00")
    assert found[7]["time"].isoformat() == "2024-01-04T23:00:00.500000+00:00"
    assert {row["source"] for row in found} == {"http"}


def test_same_key_is_stored_once_across_restart(serve: Start, tmp_path: Path, small: Feed) -> None:
    publish(tmp_path, small)
    server, http = serve()
    key = {"idempotency-key": "gateway-7/000123"}
    first = http.post(PATH, json=ONE, headers=key)
    again = http.post(PATH, json=ONE, headers=key)
    server.process.kill()
    server.process.wait()
    _, other = serve()
    later = other.post(PATH, json=ONE, headers=key)
    assert first.json() == {"id": first.json()["id"], "accepted": 1, "duplicate": False}
    assert again.json() == later.json() == {**first.json(), "duplicate": True}
    reused = other.post(PATH, json=[ONE, ONE], headers=key)
    assert reused.status_code == 422
    assert reused.json()["type"] == "urn:aerocast:problem:key-reused"
    assert reused.json()["field"] == "Idempotency-Key"
    assert len(rows(tmp_path, small)) == 1
    assert other.post(PATH, json=ONE, headers=key).json()["duplicate"], "taken by the platform, and still known"
    assert metric(other, 'aerocast_observations_total{feed="small"}') == 0
    _damage(server, other, tmp_path, small)


def test_buffer_of_untaken_readings_is_bounded(serve: Start, tmp_path: Path, small: Feed) -> None:
    publish(tmp_path, small)
    _, http = serve(MOST_WAITING="3")
    assert http.post(PATH, json=[ONE] * 3).status_code == 202
    refused = http.post(PATH, json=ONE)
    assert_problem(refused, 429, "too-much-waits", None, None)
    assert int(refused.headers["retry-after"]) > 0
    assert len(rows(tmp_path, small)) == 3
    assert http.post(PATH, json=ONE).status_code == 202


def _damage(server: Server, http: httpx.Client, home: Path, small: Feed) -> None:
    """A buffer that is none any more: this feed says so, others go on."""
    publish(home, small.model_copy(update={"name": "other"}))
    until(lambda: http.post("/observations/other", json=ONE).status_code == 202)
    place = home / "observations" / "small.sqlite"
    for beside in place.parent.glob("small.sqlite*"):
        beside.unlink()
    place.write_bytes(b"no database at all" * 400)
    refused = http.post(PATH, json=ONE)
    assert refused.status_code == 503
    assert "is damaged" in refused.json()["detail"]
    assert http.post("/observations/other", json=ONE).status_code == 202
    until(lambda: any("is damaged" in each["reason"] for each in http.get("/health").json()["left_out"]))
    place.unlink()
    assert http.post(PATH, json=ONE).status_code == 202


CASES: dict[str, tuple[Any, int, str, str | None, int | None]] = {
    "no JSON": (b"{station", 400, "malformed-json", "body", None),
    "nothing": (b"", 400, "malformed-json", "body", None),
    "NaN": (b'{"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": NaN}', 400, "malformed-json", "body", None),
    "too large a number": (b'[{"station": "AAA", "time": "2024-01-05", "t": 1e999}]', 400, "invalid-field", "t", 0),
    "no readings": ([], 400, "no-readings", "body", None),
    "a number": (7, 400, "invalid-field", "body", None),
    "a number among readings": ([ONE, 7], 400, "invalid-field", "body", 1),
    "an object for a number": ([ONE, {**ONE, "t": {"value": 41.5}}], 400, "invalid-field", "t", 1),
    "a list for a number": ({**ONE, "t": [41.5]}, 400, "invalid-field", "t", None),
    "a truth value": ({**ONE, "t": True}, 400, "invalid-field", "t", None),
    "no station": ([{"time": ONE["time"]}], 400, "missing-field", "station", 0),
    "an empty station": ([ONE, ONE, {**ONE, "station": ""}], 400, "invalid-field", "station", 2),
    "a station of blanks": ({**ONE, "station": " \t"}, 400, "invalid-field", "station", None),
    "a station that is a truth value": ({**ONE, "station": True}, 400, "invalid-field", "station", None),
    "an epoch number": ([ONE, {**ONE, "time": 1709352000}], 400, "invalid-field", "time", 1),
    "no time": ({"station": "AAA"}, 400, "missing-field", "time", None),
    "a time without an offset": ([ONE, {**ONE, "time": "2024-01-05T00:00:00"}], 400, "invalid-field", "time", 1),
    "a day that is none": ([{**ONE, "time": "2024-02-31T00:00:00Z"}], 400, "invalid-field", "time", 0),
    "nothing measured": ({"station": "A", "time": ONE["time"], "rain": 1}, 400, "no-measured-field", "fields", None),
    "nothing at all": ({"place": "AAA", "at": ONE["time"]}, 400, "no-measured-field", "fields", None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_malformed_body_is_refused_with_position(name: str, client: httpx.Client) -> None:
    body, status, slug, field, index = CASES[name]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert_problem(client.post(PATH, content=content), status, slug, field, index)


def test_streams_are_validated(client: httpx.Client) -> None:
    when, t, second = instants(1, 2), pa.array([1.0, 2.0]), pa.timestamp("s", "UTC")
    good = arrow_stream(station=["AAA", "BBB"], time=when, t=t)
    for body, slug, field, index in (
        (b"ARROW1", "malformed-arrow", "body", None),
        (good[:-60], "malformed-arrow", "body", None),
        (good[:40] + bytes(40) + good[80:], "malformed-arrow", "body", None),
        (arrow_stream(station=["A", "B"], time=instants(1, 2, zone=None), t=t), "invalid-field", "time", 0),
        (arrow_stream(station=["A", "B"], time=when, t=[True, False]), "invalid-field", "t", None),
        (arrow_stream(station=["A", "B"], time=when, rain=[1, 2]), "no-measured-field", "fields", None),
        (arrow_stream(time=when, t=t), "missing-field", "columns", None),
        (arrow_stream(station=["A", None], time=when, t=t), "invalid-field", "station", 1),
        (arrow_stream(station=["A", "B"], time=["2024-01-05T00:00:00Z", "soon"], t=t), "invalid-field", "time", 1),
        (arrow_stream(station=["A", "B"], time=pa.array([1, None], second), t=t), "invalid-field", "time", 1),
        (arrow_stream(station=["A"], time=pa.array([1 << 55], second), t=t[:1]), "invalid-field", "time", 0),
        (arrow_stream(station=["A"], time=pa.array([1 << 40], second), t=t[:1]), "invalid-field", "time", 0),
        (arrow_stream(station=pa.array([], pa.string()), time=instants(), t=t[:0]), "no-readings", "body", None),
    ):  # fmt: skip
        assert_problem(client.post(PATH, content=body, headers={"content-type": ARROW}), 400, slug, field, index)


def test_invalid_requests_are_refused(server: Server, client: httpx.Client) -> None:
    unknown = assert_problem(client.post("/observations/mars", json=ONE), 404, "unknown-feed", "feed", None)
    assert "small" in unknown["rule"]
    assert_problem(client.post(PATH, content=b"x", headers={"content-type": "text/csv"}), 415, "unsupported-media-type",
          "Content-Type", None)  # fmt: skip
    assert_problem(
        client.post(PATH, json=ONE, headers={"idempotency-key": "k" * 201}), 400, "invalid-key", "Idempotency-Key", None
    )
    large = b" " * (9 << 20)
    assert_problem(client.post(PATH, content=large), 413, "request-entity-too-large", "body", None)
    assert_problem(client.post(PATH, content=iter([large])), 413, "request-entity-too-large", "body", None)
    assert_problem(
        client.post(PATH, json=[{"station": "A", "time": ONE["time"]}] * 100_001),
        413,
        "too-many-readings",
        "body",
        None,
    )
    assert_problem(httpx.post(server.url + PATH, json=ONE), 401, "unauthorized", "Authorization", None)
    assert client.get(PATH).status_code == 405


def test_openapi_describes_endpoint(client: httpx.Client) -> None:
    described = client.get("/schema/openapi.json").json()["paths"]["/v1/observations/{feed}"]["post"]
    assert set(described["requestBody"]["content"]) == {"application/json", "application/x-ndjson", ARROW}
    assert {"202", "400", "401", "404", "413", "415", "422", "429", "503", "507"} <= set(described["responses"])
    assert {one["name"] for one in described["parameters"]} == {"feed", "Idempotency-Key"}


def test_full_disk_acknowledges_nothing_and_loses_nothing(tmp_path: Path, small: Feed) -> None:
    with small_disk(tmp_path / "disk", "3m") as home:
        publish(home, small)
        with (
            Server(home, settings={"AEROCAST_LOG": "false"}) as server,
            httpx.Client(base_url=server.url, timeout=60) as http,
        ):
            assert http.post(PATH, json=ONE).status_code == 202
            fill_disk(home)
            many = [ONE] * 1000
            problem = assert_problem(http.post(PATH, json=many), 507, "disk-full", None, None)
            assert "the disk is full" in problem["detail"]
            (home / "filler").unlink()
            assert http.post(PATH, json=many[:10]).status_code == 202
        assert len(rows(home, small)) == 11
        assert PostStore(home, "small").backlog() == 0


def test_bodies_are_checked_one_at_a_time(tmp_path: Path) -> None:
    """Each takes many times its size meanwhile: twelve at once would not fit in the memory that one may take."""
    lock, alone = threading.Lock(), []

    def work() -> None:
        alone.append(lock.acquire(blocking=False))
        time.sleep(0.02)
        if alone[-1]:
            lock.release()

    async def every() -> None:
        observations = Observations(tmp_path)
        await asyncio.gather(*[observations.check(work) for _ in range(12)])
        observations.close()

    asyncio.run(every())
    assert alone == [True] * 12
