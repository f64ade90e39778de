"""What real devices post is taken: the source's own names, fields more, numbers as text, local time, gzip."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from aerocast.contracts.declared import publish
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.observations import HttpChannel
from tests.factories.bodies import ARROW, arrow_stream
from tests.factories.feeds import declaration
from tests.harness.problems import assert_problem
from tests.harness.server import Server

TIME = "2024-03-02T00:00:00Z"
TEMP = {"name": "temperature", "field": "temp", "source_unit": "degC", "unit": "degC", "range": [-50, 50]}
RH = {"name": "humidity", "field": "rh", "source_unit": "percent", "unit": "percent", "range": [0, 100]}


def feed(name: str, source: dict[str, Any], *columns: dict[str, Any]) -> Feed:
    window = {"steps": 2, "columns": ["temperature"], "look_back": 24}
    made = declaration(Path(), name=name, source={"kind": "push", **source}, columns=list(columns), window=window)
    return Feed.parse(made)


FEEDS = {
    "own": feed("own", {"station_field": "uid", "time_field": "timestamp"}, TEMP, RH),
    "plain": feed("plain", {}, {**TEMP, "aliases": ["t2m"]}, RH),
    "nested": feed(
        "nested",
        {"station_field": "device.id", "time_field": "received_at"},
        {**TEMP, "field": "readings.temp"},
        {**RH, "field": "readings.air.rh"},
    ),
    "local": feed("local", {"timezone": "Europe/Amsterdam"}, TEMP),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("home")
    for each in FEEDS.values():
        publish(made, each)
    return made


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[httpx.Client]:
    with Server(home) as started, httpx.Client(base_url=started.url) as http:
        yield http


def kept(home: Path, name: str) -> list[dict[str, Any]]:
    """What the posts are in raw; takes them away."""
    channel, found = HttpChannel(home, name), []
    for batch in channel.take(FEEDS[name]):
        found += batch.table.to_pylist()
        channel.confirm(batch)
    assert channel.rejections == []
    return found


def instants(rows: list[dict[str, Any]]) -> list[str]:
    return [row["time"].strftime("%d %H:%M") for row in rows]


def test_source_field_names_are_accepted(client: httpx.Client, home: Path) -> None:
    own = {"uid": "AAA", "timestamp": TIME, "temp": 5.5, "rh": 50}
    plain = {"station": "AAA", "time": TIME, "temp": 5.5, "rh": 50}
    mixed = {"uid": " AAA\t", "time": TIME, "temp": "5.5", "rh": "50"}
    for body in (own, plain, mixed, [own, plain, mixed]):
        answer = client.post("/observations/own", json=body)
        assert answer.status_code == 202, answer.text
        assert "ignored" not in answer.json()
    columns = arrow_stream(uid=["AAA"], timestamp=[TIME], temp=[5.5], rh=pa.array([50], pa.int8()))
    assert client.post("/observations/own", content=columns, headers={"content-type": ARROW}).status_code == 202
    rows = kept(home, "own")
    assert [(row["station"], row["temp"], row["rh"]) for row in rows] == [("AAA", "5.5", "50")] * 7
    assert instants(rows) == ["02 00:00"] * 7


def test_aliases_of_field_are_stored_separately_in_raw(client: httpx.Client, home: Path) -> None:
    bodies = [{"station": 2178, "time": TIME, "t2m": 1}, {"station": 2178.0, "time": TIME, "temp": 2, "t2m": None}]
    assert client.post("/observations/plain", json=bodies).status_code == 202
    assert [(row["station"], row["temp"], row["t2m"]) for row in kept(home, "plain")] == [
        ("2178", None, "1"), ("2178", "2", None),
    ]  # fmt: skip


def test_undeclared_fields_are_ignored_and_named(client: httpx.Client, home: Path) -> None:
    reading = {"station": "AAA", "time": TIME, "temp": 5.5, "rh": 50.0}
    answer = client.post("/observations/plain", json=[reading | {"battery_v": 3.7}])
    assert answer.status_code == 202
    assert answer.json()["ignored"] == ["battery_v"]
    odd = {"ok": True, "gps": {"lat": 52.1}, "tags": ["a", None], "station_id": "x", "huge": [1e300]}
    lines = "\n".join(json.dumps(each) for each in (reading, reading | odd, reading | {"battery_v": 1}))
    answer = client.post("/observations/plain", content=lines, headers={"content-type": "application/x-ndjson"})
    assert answer.json()["ignored"] == [*odd, "battery_v"]
    columns = arrow_stream(station=["AAA"], time=[TIME], temp=[5.5], __index_level_0__=[7], ok=[True])
    answer = client.post("/observations/plain", content=columns, headers={"content-type": ARROW})
    assert answer.json()["ignored"] == ["__index_level_0__", "ok"]
    answer = client.post("/observations/plain", json=reading | {f"f{number}": 1 for number in range(500)})
    assert 0 < len(answer.json()["ignored"]) < 100, "an answer stays short"
    channel = HttpChannel(home, "plain")
    (batch,) = channel.take(FEEDS["plain"])
    channel.confirm(batch)
    assert [row["temp"] for row in batch.table.to_pylist()] == ["5.5"] * 6
    (note,) = channel.notes
    assert "battery_v" in note
    assert "__index_level_0__" in note


def test_nested_readings_are_read_by_dotted_names(client: httpx.Client, home: Path) -> None:
    reading = {"temp": 5.5, "air": {"rh": 50, "dew": 1}, "raw": [1]}
    body = {"device": {"id": "AAA", "fw": 3}, "received_at": TIME, "readings": reading, "meta": {"a": {}}}
    answer = client.post("/observations/nested", json=[body, {**body, "readings": {"temp": 6.5}}])
    assert answer.status_code == 202, answer.text
    assert answer.json()["ignored"] == ["device.fw", "readings.air.dew", "readings.raw", "meta"]
    columns = arrow_stream(station=["AAA"], time=[TIME], readings=[{"temp": 7.5, "air": {"rh": 1}, "x": "y"}])
    answer = client.post("/observations/nested", content=columns, headers={"content-type": ARROW})
    assert answer.json().get("ignored") == ["readings.x"], answer.text
    rows = kept(home, "nested")
    found = [(row["readings.temp"], row["readings.air.rh"]) for row in rows]
    assert found == [("5.5", "50"), ("6.5", None), ("7.5", "1")]
    wrong = {**body, "readings": {"temp": {"value": 5.5}}}
    assert_problem(client.post("/observations/nested", json=wrong), 400, "invalid-field", "readings.temp", None)


def test_readings_in_undeclared_object_are_refused(client: httpx.Client) -> None:
    body = {"uid": "AAA", "timestamp": TIME, "readings": {"temp": 5.5, "rh": 50}}
    problem = assert_problem(client.post("/observations/own", json=body), 400, "no-measured-field", "fields", None)
    assert "readings" in problem["value"]
    assert "temp, rh" in problem["rule"]


def test_number_is_stored_as_same_text_in_any_batch(client: httpx.Client, home: Path) -> None:
    base = {"station": "AAA", "time": TIME}
    values = [-999, -999.0, 1e22, 0.1, -1e-7, 2**70, "-999.00", "NaN", "out of order"]
    for body in ([{**base, "rh": value} for value in values], *({**base, "rh": value} for value in values)):
        assert client.post("/observations/plain", json=body).status_code == 202
    floats = arrow_stream(station=["AAA"] * 4, time=[TIME] * 4, rh=[-999.0, 1e22, 0.1, -1e-7])
    assert client.post("/observations/plain", content=floats, headers={"content-type": ARROW}).status_code == 202
    said = [row["rh"] for row in kept(home, "plain")]
    assert said[:9] == said[9:18]
    assert said[18:] == said[1:5]
    assert [float(text) for text in said[:5]] == values[:5]
    assert said[5:9] == [str(2**70), "-999.00", "NaN", "out of order"]


def test_time_spellings_are_accepted(client: httpx.Client, home: Path) -> None:
    texts = [
        "2024-03-01T01:00Z",
        "2024-03-01T05:00:00+0100",
        "2024-03-01 24:00Z",
        "20240301T0700Z",
        "2024-03-01t08:00z",
    ]
    body = [{"station": "AAA", "time": text, "temp": 1} for text in texts]
    assert client.post("/observations/plain", json=body).status_code == 202
    rows = kept(home, "plain")
    assert instants(rows) == ["01 01:00", "01 04:00", "02 00:00", "01 07:00", "01 08:00"]
    assert [row["time_text"] for row in rows] == texts


def test_local_time_is_read_in_declared_zone(client: httpx.Client, home: Path) -> None:
    hours = [f"2024-10-27 0{hour}:00" for hour in (0, 1, 2, 2, 3, 4, 5, 6)]
    body = [{"station": "AAA", "time": text, "temp": 1} for text in hours]
    answer = client.post("/observations/plain", json=body)
    assert "offset" in assert_problem(answer, 400, "invalid-field", "time", 0)["rule"]
    assert client.post("/observations/local", json=body).status_code == 202
    assert client.post("/observations/local", json=body[2]).status_code == 202, "another delivery: the first mention"
    naive = pa.array([1_729_994_400_000], pa.timestamp("ms"))  # 2024-10-27 02:00
    columns = arrow_stream(station=["AAA"], time=naive, temp=[1])
    assert client.post("/observations/local", content=columns, headers={"content-type": ARROW}).status_code == 202
    expected = ["26 22:00", "26 23:00", "27 00:00", "27 01:00", "27 02:00", "27 03:00", "27 04:00", "27 05:00"]
    assert instants(kept(home, "local")) == [*expected, "27 00:00", "27 00:00"]
    skipped = [body[0], {**body[0], "time": "2024-03-31T02:30"}]
    problem = assert_problem(client.post("/observations/local", json=skipped), 400, "invalid-field", "time", 1)
    assert "skip" in problem["rule"]


READING = {"station": "AAA", "time": TIME, "temp": 5.5}
BODY = json.dumps([READING, {**READING, "temp": 6.5}]).encode()


def post(client: httpx.Client, body: bytes, encoding: str, **headers: str) -> httpx.Response:
    return client.post("/observations/plain", content=body, headers={"content-encoding": encoding, **headers})


def test_compressed_bodies_are_accepted(client: httpx.Client, home: Path) -> None:
    members = gzip.compress(BODY[:20]) + gzip.compress(BODY[20:])
    lines = gzip.compress(b"\n".join(json.dumps(READING).encode() for _ in range(3)))
    arrow = gzip.compress(arrow_stream(station=["AAA"], time=[TIME], temp=[7.5]))
    ndjson = {"content-type": "application/x-ndjson"}
    answers = [
        post(client, gzip.compress(BODY), "gzip"),
        post(client, members, "GZIP"),
        post(client, zlib.compress(BODY), "deflate"),
        post(client, BODY, "identity"),
        post(client, lines, "gzip", **ndjson),
        post(client, arrow, "gzip", **{"content-type": ARROW}),
    ]
    assert [answer.json().get("accepted") for answer in answers] == [2, 2, 2, 2, 3, 1]
    assert len(kept(home, "plain")) == 12


def test_idempotency_key_covers_content_in_any_compression(client: httpx.Client, home: Path) -> None:
    key = {"idempotency-key": "gateway-1/7"}
    first, again = post(client, gzip.compress(BODY), "gzip", **key), post(client, BODY, "identity", **key)
    assert again.json() == {**first.json(), "duplicate": True}
    assert post(client, gzip.compress(BODY + b" "), "gzip", **key).status_code == 422
    assert len(kept(home, "plain")) == 2


def test_damaged_or_endless_stream_is_refused(client: httpx.Client, home: Path) -> None:
    whole = gzip.compress(BODY, mtime=0)
    damaged = [whole[:-9], whole[:-4] + b"\0\0\0\0", b"", BODY, whole + b"rest", zlib.compress(BODY), whole * 300]
    for body in damaged:
        assert_problem(post(client, body, "gzip"), 400, "malformed-encoding", "body", None)
    bomb = gzip.compress(b"[" + b" " * (64 << 20) + b"]", 9)
    assert len(bomb) < 1 << 20
    for body in (bomb, gzip.compress(b" " * (5 << 20)) * 2):
        assert_problem(post(client, body, "gzip"), 413, "request-entity-too-large", "body", None)
    answer = post(client, BODY, "br")
    assert_problem(answer, 415, "unsupported-encoding", "Content-Encoding", None)
    assert "gzip" in answer.headers["accept-encoding"]
    assert kept(home, "plain") == []
