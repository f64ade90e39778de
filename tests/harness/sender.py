"""Senders for crash tests: readings through every channel, with re-sent requests, files and claims, in any order.

What was acknowledged is counted: `raw` says which rows each channel must have brought to raw, how often; `readings`
which readings there are, by station and time as they were sent, `winds` those of them whose wind is not credible.
"""

import gzip
import hashlib
import json
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.ingest.brokers import Broker, connect
from aerocast.ingest.channels import claims
from tests.factories.feeds import START, STATIONS

Reading = dict[str, Any]
FEED = "small"
HOURS = 24 * 91
STORM = 470.0  # m/s, which no anemometer survives
ARROW = "application/vnd.apache.arrow.stream"


def readings(chance: random.Random, hours: int = HOURS) -> list[Reading]:
    """One reading an hour and station, shuffled; three in twenty are invalid in different ways."""
    found = []
    for station in STATIONS:
        for hour in range(hours):
            time = f"{START + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}"
            found.append({"station": station, "time": time, "t": 10 + hour % 24 / 4, "w": hour % 7 / 2, "p": 1013.0})
    chance.shuffle(found)
    for number, each in enumerate(found):
        if number % 20 == 0:
            each["w"] = STORM
        elif number % 20 == 7:
            each["time"] = f"about noon {number}"
        elif number % 20 == 13:
            each["station"] = "ZZZ"
    return found


def reading_key(reading: Reading) -> tuple[str, str]:
    """The station and time that identify a reading."""
    return reading["station"], reading["time"]


class Sender:
    """Sends some readings at a time, through a channel by chance, and some of it again."""

    def __init__(self, home: Path, feed: Feed, server: str, brokers: Sequence[str], chance: random.Random) -> None:
        self.home, self.feed, self.chance, self.urls = home, feed, chance, brokers
        self.inbox = home / "inbox" / FEED
        self.inbox.mkdir(parents=True, exist_ok=True)
        self.outbox = home / "outbox"
        self.outbox.mkdir(exist_ok=True)
        self.http = httpx.Client(base_url=server, timeout=30)
        self.stock = readings(chance)
        self.raw: Counter[tuple[str, str, str]] = Counter()
        self.readings: set[tuple[str, str]] = set()
        self.winds: set[tuple[str, str]] = set()
        self.refused: list[str] = []
        self.by_door: Counter[str] = Counter()
        self._again: list[Any] = []
        self._sent: list[list[Reading]] = []
        self._number = 0
        self._brokers: dict[str, Broker] = {}

    def send(self) -> None:
        """One delivery; by chance one that was sent before, or readings that another channel has brought."""
        if self._again and self.chance.random() < 0.3:
            self._again.pop(self.chance.randrange(len(self._again)))()
            return
        if self._sent and self.chance.random() < 0.1:
            rows = self.chance.choice(self._sent)
        else:
            rows = [self.stock.pop() for _ in range(self.chance.randint(1, 6))]
        self._number += 1
        self._sent = [*self._sent[-20:], rows]
        # The server refuses at once what is no time or no station of the feed; nobody else is there to be told.
        told = any("noon" in each["time"] or each["station"] not in STATIONS for each in rows)
        kind = self.chance.choices(["http", "inbox", "claim"], [0 if told else 5, 3, 2])[0]
        getattr(self, f"_{kind}")(rows, f"{kind}-{self._number}")
        self.by_door[kind] += 1
        self._count(kind, rows)

    def _count(self, kind: str, rows: Sequence[Reading]) -> None:
        for each in rows:
            self.raw[(kind, *reading_key(each))] += 1
            self.readings.add(reading_key(each))
            if each["w"] == STORM:
                self.winds.add(reading_key(each))

    def send_the_rest(self) -> None:
        """Send all outstanding repetitions."""
        while self._again:
            self._again.pop()()

    def close(self) -> None:
        self.http.close()
        for broker in self._brokers.values():
            broker.close()

    def _http(self, rows: list[Reading], name: str) -> None:
        body, kind = json.dumps(rows).encode(), "application/json"
        if self.chance.random() < 0.3:
            body, kind = _arrow(rows), ARROW

        def post(timeout: float = 30.0) -> None:
            headers = {"content-type": kind, "idempotency-key": name}
            answer = self.http.post(f"/observations/{FEED}", content=body, headers=headers, timeout=timeout)
            assert answer.status_code in (200, 202), answer.text

        if self.chance.random() < 0.2:
            with suppress(httpx.TimeoutException):
                post(0.001)  # the client gives up and does not know whether it was heard
        post()
        if self.chance.random() < 0.5:
            self._again.append(post)

    def _inbox(self, rows: list[Reading], name: str) -> None:
        ending = self.chance.choice([".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet"])
        data = encode(rows, ending)
        if self.chance.random() < 0.15:
            self._put(f"cut-{name}.parquet", encode(rows, ".parquet")[:-40])
            self.refused.append(f"cut-{name}.parquet")
        self._put(f"{name}{ending}", data, manifest=self.chance.random() < 0.4)
        if self.chance.random() < 0.4:
            self._again.append(lambda: self._put_again(rows, f"again-{name}{ending}", data))

    def _put_again(self, rows: Sequence[Reading], name: str, data: bytes) -> None:
        """Put a file with known content under a new name, which is a new delivery."""
        self._put(name, data)
        self._count("inbox", rows)

    def _put(self, name: str, data: bytes, *, manifest: bool = False) -> None:
        """Put a file by renaming it, or in pieces after its manifest."""
        if not manifest:
            beside = self.inbox / f"{name}.part"
            beside.write_bytes(data)
            beside.rename(self.inbox / name)
            return
        said = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        (self.inbox / f".{name}.json").write_text(json.dumps(said))
        (self.inbox / f".{name}.json").rename(self.inbox / f"{name}.manifest.json")
        with (self.inbox / name).open("wb", buffering=0) as file:
            for start in range(0, len(data), 1 + len(data) // 3):
                file.write(data[start : start + 1 + len(data) // 3])

    def _claim(self, rows: list[Reading], name: str) -> None:
        path = self.outbox / f"{name}.parquet"
        path.write_bytes(encode(rows, ".parquet"))
        topic = self.chance.choice(claims.TOPICS)
        self.announce(topic, path)
        if self.chance.random() < 0.4:
            self._again.append(lambda: self.announce(topic, path))

    def announce(self, topic: str, path: Path) -> None:
        """Announce to one broker until it accepts; an unreachable broker may have received it twice."""
        url = self.chance.choice(self.urls)
        for _ in range(20):
            try:
                if url not in self._brokers:
                    self._brokers[url] = connect(url)
                claims.announce(self._brokers[url], topic, self.feed, [path], self.home, path.stem)
                return
            except AeroCastError:
                if url in self._brokers:
                    self._brokers.pop(url).close()
        raise AssertionError("the broker never took the claim")


def encode(rows: Sequence[Reading], ending: str) -> bytes:
    """The content of a file with these readings."""
    table, sink = pa.Table.from_pylist(list(rows)), pa.BufferOutputStream()
    if ending == ".parquet":
        pq.write_table(table, sink)
    elif ending.startswith(".csv"):
        pa_csv.write_csv(table, sink)
    else:
        sink.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    data = sink.getvalue().to_pybytes()
    return gzip.compress(data, mtime=0) if ending.endswith(".gz") else data


def _arrow(rows: Sequence[Reading]) -> bytes:
    table, sink = pa.Table.from_pylist(list(rows)), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
