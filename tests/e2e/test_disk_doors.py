"""A disk that is full while readings arrive: what was acknowledged is there once as soon as there is room again."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts import clock
from aerocast.feed.declaration import Feed
from aerocast.ingest.brokers import connect
from aerocast.ingest.channels import channels_of, claims
from aerocast.ingest.channels.claim_objects import ClaimPrefixes
from aerocast.ingest.channels.intake import take_all
from aerocast.ingest.channels.posted import PostRefusal, PostStore, Why
from aerocast.lake import Lake
from aerocast.storage.settings import Settings
from aerocast.tables.quality import audit
from tests.harness.brokers import start_nats
from tests.harness.deliveries import refresh
from tests.harness.disks import fill_disk, small_disk
from tests.harness.sender import FEED, Reading, encode, reading_key, readings

LEFT = (0, 4 << 10, 40 << 10, 400 << 10, 4200 << 10, 4600 << 10)  # bytes left of it; a table needs some to begin


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "24m") as disk:
        yield disk


class Doors:
    """Every door of a home, used directly; `sent` is what was acknowledged."""

    def __init__(self, home: Path, feed: Feed, url: str, outside: Path) -> None:
        self.home, self.feed, self.outside = home, feed, outside
        self.posted, self.broker, self.lake = PostStore(home, FEED), connect(url), Lake(home)
        self.inbox = home / "inbox" / FEED
        self.inbox.mkdir(parents=True)
        self.stock = readings(random.Random(3))
        self.sent: list[Reading] = []
        self.refused: Counter[str] = Counter()
        self.number = 0

    def send(self) -> None:
        """Some readings through each door; a door without room refuses them, and then they were not sent."""
        for way in (self.post, self.put, self.claim):
            self.number += 1
            rows = [self.stock.pop() for _ in range(5)]
            try:
                way(rows)
            except (PostRefusal, OSError, AeroCastError) as error:
                self.refused[way.__name__ if getattr(error, "why", Why.DISK) is Why.DISK else str(error)] += 1
            else:
                self.sent += rows

    def post(self, rows: list[Reading]) -> None:
        self.posted.post(f"key {self.number}", encode(rows, ".jsonl"), "ndjson", len(rows))

    def put(self, rows: list[Reading]) -> None:
        part = self.inbox / f"{self.number}.part"
        try:
            part.write_bytes(encode(rows, ".csv"))
            part.rename(self.inbox / f"{self.number}.csv")
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def claim(self, rows: list[Reading]) -> None:
        path = self.outside / f"{self.number}.parquet"
        path.write_bytes(encode(rows, ".parquet"))
        claims.announce(self.broker, claims.TRAINING_TOPIC, self.feed, [path], self.outside)

    def take(self) -> list[str]:
        """One round of the platform; what went wrong."""
        wrong = []
        try:
            taken = take_all(self.lake, self.feed, channels_of(self.home, self.feed, Settings(home=str(self.home))))
            wrong += taken.failures.values()
        except AeroCastError as error:
            wrong.append(str(error))
        prefixes = ClaimPrefixes.of(self.home, str(self.outside))
        claimed = claims.take_claims(self.broker, self.home, lambda name: self.feed, quiet=0.1, prefixes=prefixes)
        assert not claimed.dead
        return [*wrong, *(refused.error for refused in claimed.later)]

    def clean(self) -> None:
        with duckdb.connect() as con:
            refresh(con, self.lake, self.feed, clock.now(self.home, FEED, self.feed.end))


def test_acknowledged_readings_survive_full_disk(
    disk: Path, push_feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aerocast.ingest.brokers.nats.AGAIN", 0.1)
    with start_nats(tmp_path) as broker:
        doors = Doors(disk / "home", push_feed, broker.url, tmp_path)
        doors.send()
        assert doors.take() == []
        told = []
        for left in LEFT:
            doors.send()
            filler = fill_disk(disk, left)
            doors.send()
            told += doors.take()
            filler.unlink()
        assert doors.refused["post"], "an acknowledgement needs room"
        assert set(doors.refused) <= {"post", "put"}
        assert any("full" in each or "No space" in each for each in told), told
        doors.send()
        for _ in range(3):  # what the broker was told to keep for later comes a little later
            left_over = doors.take()
        assert left_over == []
        doors.clean()
        doors.broker.close()
    doors.posted.close()
    with duckdb.connect() as con:
        raw, good, bad = (doors.lake.relation(con, f"{FEED}/{layer}") for layer in ("raw", "bronze", "quarantine"))
        assert Counter(raw.select("station, time_text").fetchall()) == Counter(map(reading_key, doors.sent))
        assert audit(con, push_feed, raw, good, bad).balanced
        kept = good.count("*").fetchall()[0][0] + bad.filter('"column" IS NULL').count("*").fetchall()[0][0]
        assert kept == len(doors.sent)


def test_truncated_file_is_taken_once_complete(push_feed: Feed, home: Path) -> None:
    inbox, lake = home / "inbox" / FEED, Lake(home)
    inbox.mkdir(parents=True)
    rows = readings(random.Random(3), hours=10)
    for ending in (".parquet", ".csv", ".csv.gz", ".jsonl.gz"):
        data = encode(rows, ending)
        (inbox / f"file{ending}").write_bytes(data[:-3])
    cut = take_all(lake, push_feed, channels_of(home, push_feed, Settings(home=str(home))))
    assert not cut.rows
    assert len(cut.rejections) == 4, cut.rejections
    for name in ("file.parquet", "again.parquet"):
        (inbox / name).write_bytes(encode(rows, ".parquet"))
        taken = take_all(lake, push_feed, channels_of(home, push_feed, Settings(home=str(home))))
        assert taken.rows.total() == len(rows)
    assert sum(lake.rows(f"{FEED}/raw").values()) == 2 * len(rows), "put there again it is another delivery"
    assert sorted(path.name for path in (inbox / "done").iterdir()) == ["again.parquet", "file.parquet"]
