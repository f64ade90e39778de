"""Bodies that take many times their size once they are read: refused, and the server's memory stays bounded."""

import gzip
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from aerocast.contracts import declared
from tests.factories.bodies import ARROW
from tests.factories.feeds import small_feed
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.server import Server

pytestmark = pytest.mark.e2e

MOST = 400  # megabytes
AT_ONCE = 12
TIME = "2024-01-01T00:00:00Z"
READING = b'{"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": 1'


def stream(batches: int = 1, compression: str | None = None, **columns: object) -> bytes:
    sink, table = io.BytesIO(), pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        for _ in range(batches):
            writer.write_table(table)
    return sink.getvalue()


def repeated(text: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int16()), pa.array([text]))


def array(*parts: bytes) -> bytes:
    return b"[" + b",".join(parts) + b"]"


JSON, LINES, ZIPPED = {}, {"content-type": "application/x-ndjson"}, {"content-encoding": "gzip"}
STREAM = {"content-type": ARROW}
LONG = "9" * 4_000_000
BOMBS: dict[str, tuple[dict[str, str], Callable[[], bytes]]] = {
    "empty objects": (JSON, lambda: array(*[b"{}"] * 2_700_000)),
    "fewer empty objects": (JSON, lambda: array(*[b"{}"] * 490_000)),
    "short texts": (JSON, lambda: array(*[b'"aa"'] * 990_000)),
    "short texts without an end": (JSON, lambda: array(*[b'"aa"'] * 990_000)[:-1]),
    "empty arrays": (JSON, lambda: b'{"a": ' + array(*[b"[]"] * 490_000) + b"}"),
    "many names": (JSON, lambda: b"{" + b",".join(b'"%06d":1' % number for number in range(700_000)) + b"}"),
    "many readings": (JSON, lambda: array(*[READING + b"}"] * 100_000)),
    "fields that nobody declared": (JSON, lambda: array(*[READING + b', "x": 1}'] * 100_000)),
    "empty lines": (LINES, lambda: b"\n" * 8_000_000),
    "lines of empty objects": (LINES, lambda: b"{}\n" * 990_000),
    "empty objects in gzip": (ZIPPED, lambda: gzip.compress(array(*[b"{}"] * 2_700_000), 1)),
    "a long station": (STREAM, lambda: stream(station=repeated(LONG, 1500), time=[TIME] * 1500, t=[1.0] * 1500)),
    "a long value": (STREAM, lambda: stream(station=["A"] * 1500, time=[TIME] * 1500, t=repeated(LONG, 1500))),
    "zeros": (STREAM, lambda: stream(1, "zstd", station=["A"] * 1000, time=[TIME] * 1000, t=["0" * 1_000_000] * 1000)),
    "many batches": (STREAM, lambda: stream(20_000, station=["AAA"], time=[TIME], t=[1.0])),
    "many rows": (STREAM, lambda: stream(1, "zstd", station=["A"] * 10**6, time=[TIME] * 10**6, t=[1.0] * 10**6)),
}


EMPTY, STEPS = [[[]] * 600_000], pa.list_(pa.list_(pa.float64()))
BATCHES: dict[str, tuple[dict[str, str], Callable[[], bytes]]] = {
    "empty requests": (JSON, lambda: array(*[b"{}"] * 490_000)),
    "empty steps": (JSON, lambda: b'[{"sequence": ' + array(*[b"[]"] * 240_000) + b"}]"),
    "short steps": (JSON, lambda: b'[{"sequence": ' + array(*[b"[1]"] * 240_000) + b"}]"),
    "long texts": (STREAM, lambda: stream(station=repeated(LONG, 128))),
    "zeros in a batch": (STREAM, lambda: stream(1, "zstd", station=["0" * 1_000_000] * 1000)),
    "empty steps in Arrow": (STREAM, lambda: stream(1, "zstd", sequence=pa.array(EMPTY, STEPS))),
    "many requests": (STREAM, lambda: stream(1, "zstd", station=["A"] * 10**6)),
    "many columns": (STREAM, lambda: stream(**{f"c{number}": ["A"] for number in range(5000)})),
}


def statuses_at_once(url: str, body: bytes, headers: dict[str, str]) -> set[int]:
    """Of the same post, sent by many at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        posts = [pool.submit(httpx.post, url, content=body, headers=headers, timeout=240) for _ in range(AT_ONCE)]
        return {each.result().status_code for each in posts}


def test_no_batch_takes_much_memory(home: Path) -> None:
    publish(home)
    write_tail(home)
    with Server(home) as server:
        for name, (headers, build) in BATCHES.items():
            body = build()
            assert len(body) <= 4 << 20, name
            statuses = statuses_at_once(f"{server.url}/v1/predict/batch", body, headers)
            assert statuses <= {200, 400, 413, 422, 429}, (name, statuses)
            assert server.memory("VmHWM") < MOST, name
        assert httpx.post(f"{server.url}/v1/predict/batch", json=[{"station": "JFK"}]).status_code == 200


def test_no_body_takes_much_memory(home: Path) -> None:
    publish(home)
    write_tail(home)
    declared.publish(home, small_feed(home))
    with Server(home) as server:
        for name, (headers, build) in BOMBS.items():
            body = build()
            assert len(body) <= 8 << 20, name
            statuses = statuses_at_once(f"{server.url}/observations/small", body, headers)
            is_well_formed = name in ("many readings", "fields that nobody declared")
            assert statuses - {429} <= ({202} if is_well_formed else {400, 413}), (name, statuses)
            assert server.memory("VmHWM") < MOST, name
        assert httpx.post(f"{server.url}/predict", json={"station": "JFK"}).status_code == 200
