"""How many observations a second are acknowledged: over HTTP on the disk, over a broker when its claim is, and in raw.

HTTP: a server of its own on an empty home that knows the feed `midwest`; single readings from 1, 16 and 64 concurrent
clients, and batches of 1,000 as JSON and as an Arrow stream from 4. An answer comes when the readings are on the disk,
so beside it stands what the disk can do: one line written and synced after the other. Clients run on the same cores.
Brokers: claims are published one by one, each acknowledged, and in batches; then Parquet objects of 1,000 and of
100,000 readings are announced and taken into raw, exactly once: readings a second from the first message to the last
commit. NATS is a real server; Kafka the mock cluster of its client library, which keeps nothing on a disk.
"""

import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from aerocast.contracts import declared
from aerocast.feed.declaration import Feed
from aerocast.ingest.brokers import Broker, Letter, connect
from aerocast.ingest.channels import claims
from aerocast_assets.feeds import find_feed
from measuring.http import Load, load, post
from measuring.spread import Spread
from measuring.standing import BROKERS, Absent, server
from measuring.table import show

BATCH = 1000
QUIET = 0.5  # seconds without a message that end a consumption
ARROW = "application/vnd.apache.arrow.stream"
OBJECTS = {1_000: 50, 100_000: 5}  # readings in an object, and how many of them
START = datetime(2026, 1, 1, tzinfo=UTC)

Rates = dict[str, list[float]]


def readings(feed: Feed, count: int, first: int = 0) -> dict[str, list[Any]]:
    """Columns of readings as a client sends them, 5 minutes apart, one station after the other."""
    stations = feed.station_ids
    steps = range(first, first + count)
    times = [START + timedelta(minutes=5) * (step // len(stations)) for step in steps]
    return {
        "station": [stations[step % len(stations)] for step in steps],
        "time": [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in times],
        **{column.field: [round(step % 90 / 10 + 1, 1) for step in steps] for column in feed.columns},
    }


def as_json(columns: dict[str, list[Any]]) -> bytes:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return json.dumps(rows[0] if len(rows) == 1 else rows).encode()


def as_arrow(columns: dict[str, list[Any]]) -> bytes:
    table, sink = pa.table(columns), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def over_http(feed: Feed, rounds: int, requests: int) -> None:
    """Requests and readings a second, and how long an answer takes."""
    path, one, many = f"/observations/{feed.name}", readings(feed, 1), readings(feed, BATCH)
    single, batch = post(path, as_json(one), "application/json"), post(path, as_json(many), "application/json")
    stream = post(path, as_arrow(many), ARROW)
    asked = [(f"one reading, {clients} client{'s' * (clients > 1)}", single, clients, 1) for clients in (1, 16, 64)]
    asked += [("1,000 as JSON, 4 clients", batch, 4, BATCH), ("1,000 as Arrow, 4 clients", stream, 4, BATCH)]
    found: dict[str, list[Load]] = {name: [] for name, *_ in asked}
    synced = []
    with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
        home = Path(folder)
        declared.publish(home, feed)
        with server(home) as port:
            load(port, single, 1, 50)
            for _ in range(rounds):
                synced.append(_syncs(home / "line"))
                for name, message, clients, each in asked:
                    found[name].append(
                        load(port, message, clients, requests if each == 1 else max(clients, requests // 20))
                    )
    rows = [
        [
            name,
            Spread.of(each.p50 for each in found[name]).text(2, " ms"),
            Spread.of(each.p99 for each in found[name]).text(2, " ms"),
            Spread.of(each.rate for each in found[name]).text(0),
            Spread.of(each.rate * size for each in found[name]).text(0),
        ]
        for name, _, _, size in asked
    ]
    disk = Spread.of(synced)
    rows.append(["the disk: a line written and synced", "", "", disk.text(0), disk.text(0)])
    show("Acknowledged over HTTP", ["", "p50", "p99", "requests/s", "readings/s"], rows)


def _syncs(path: Path, count: int = 200) -> float:
    """Lines a second that are on the disk one by one."""
    began = time.perf_counter()
    with open(path, "ab", buffering=0) as stream:
        for _ in range(count):
            stream.write(b"x" * 150)
            os.fdatasync(stream.fileno())
    return count / (time.perf_counter() - began)


def over_broker(feed: Feed, url: str, folder: Path, messages: int, found: Rates) -> None:
    """Adds one round's figures."""
    topic = f"bench-{uuid4().hex}"
    one, many = ([Letter(uuid4().hex, b"x" * 300) for _ in range(messages)] for _ in range(2))
    with connect(url) as broker:

        def one_by_one() -> None:
            for letter in one:
                broker.publish(topic, letter.body, letter.id)

        _rate(found, "claims/s published, one by one", messages, one_by_one)
        _rate(found, "claims/s published, all at once", messages, lambda: broker.publish_all(topic, many))
        _rate(found, "claims/s handed over and committed", 2 * messages, lambda: _drain(broker, topic, 2 * messages))
        for size, count in OBJECTS.items():
            files, home = [_object(feed, folder, size, number) for number in range(count)], folder / uuid4().hex
            name = f"readings/s into raw, {size:,} an object"
            _rate(found, name, size * count, partial(_ingest, feed, broker, files, home), QUIET)


def _rate(found: Rates, name: str, count: int, work: Callable[[], object], idle: float = 0.0) -> None:
    """How often a second, the `idle` seconds at the end of the work not counted."""
    began = time.perf_counter()
    work()
    found.setdefault(name, []).append(count / (time.perf_counter() - began - idle))


def _drain(broker: Broker, topic: str, count: int) -> None:
    messages = broker.consume([topic], 5.0)
    for _ in range(count):
        broker.commit(next(messages))
    messages.close()


def _object(feed: Feed, folder: Path, size: int, number: int) -> Path:
    path = folder / f"{uuid4().hex}.parquet"
    pq.write_table(pa.table(readings(feed, size, first=number * size)), path)
    return path


def _ingest(feed: Feed, broker: Broker, files: list[Path], home: Path) -> None:
    """Announced, fetched, verified and appended; until the last is committed."""
    claims.announce(broker, claims.TRAINING_TOPIC, feed, files, home)
    taken = claims.take_claims(
        broker, home, lambda name: feed if name == feed.name else None, [claims.TRAINING_TOPIC], quiet=0.5
    )
    if taken.rows[feed.name] != sum(pq.read_metadata(file).num_rows for file in files):
        raise SystemExit(
            f"{taken.rows[feed.name]} readings came into raw; dead: {taken.dead[:3]}, later: {taken.later[:3]}"
        )


def brokers(feed: Feed, rounds: int, messages: int) -> None:
    """A column a broker."""
    found: dict[str, Rates] = {}
    for name, start in BROKERS.items():
        with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
            try:
                with start(Path(folder)) as url:
                    for _ in range(rounds):
                        over_broker(feed, url, Path(folder), messages, found.setdefault(name, {}))
            except Absent as absent:
                print(f"{name}: {absent}")
    if found:
        kinds = list(next(iter(found.values())))
        rows = [[kind, *(Spread.of(rates[kind]).text(0) for rates in found.values())] for kind in kinds]
        show("Acknowledged by brokers", ["", *found], rows)


def measure(rounds: int, requests: int = 2000, messages: int = 1000) -> None:
    """Both tables: single requests over HTTP a round, and claims over each broker a round."""
    feed = find_feed("midwest")
    over_http(feed, rounds, requests)
    brokers(feed, rounds, messages)
