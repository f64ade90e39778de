"""kill -9 while readings arrive through every door: afterwards each reading sent is there exactly once.

`tests.harness.sender` sends and keeps the books, `tests.harness.ingestion` is what is killed.
"""

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from aerocast.contracts import declared
from aerocast.feed.declaration import Feed
from aerocast.ingest.brokers import connect
from aerocast.ingest.channels import channels_of, claims
from aerocast.lake import Lake
from aerocast.storage.settings import Settings
from aerocast.tables.quality import audit
from tests import PROJECT
from tests.harness.brokers import RunningBroker, start_kafka, start_nats
from tests.harness.sender import FEED, STORM, Sender
from tests.harness.server import Server

KILLS = 205
A_LIFE = 2  # deliveries sent while a child lives
LONGEST = 1.2  # rounds that a child may live for
RESTART_AT = KILLS // 2  # the broker is killed and started again
UNFINISHED = KILLS // 3  # lives, at least, that were ended in the middle of work
LAYERS = ("raw", "bronze", "quarantine")


class Killed:
    """The process that forks a child a time and kills it (see `tests.harness.ingestion`)."""

    def __init__(self, home: Path, feed: Feed, brokers: Sequence[RunningBroker]) -> None:
        declaration = home / "declaration.json"
        declaration.write_text(feed.model_dump_json())
        command = [sys.executable, "-m", "tests.harness.ingestion", str(home), str(declaration)]
        self.process = subprocess.Popen(
            [*command, *(each.url for each in brokers)],
            cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.answer()

    def ask(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert not any(line.startswith("died") for line in found.get("said", [])), found["said"][-3:]
        return found

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(120)


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[list[RunningBroker]]:
    with start_nats(tmp_path) as nats, start_kafka(tmp_path) as kafka:
        yield [nats, kafka]


def test_readings_sent_between_kills_are_stored_exactly_once(
    push_feed: Feed, home: Path, brokers: list[RunningBroker], chance: random.Random
) -> None:
    declared.publish(home, push_feed)
    with Server(home) as server:
        sender = Sender(home, push_feed, server.url, [each.url for each in brokers], chance)
        killed = Killed(home, push_feed, brokers)
        lives = list(_lives(sender, killed, brokers[0], chance))
        sender.send_the_rest()
        killed.ask(f"{chance.randrange(2**31)} end")
        last = killed.answer()
        killed.close()
        sender.close()
    unfinished = list(filter(_unfinished, lives))
    ended_in = Counter(said[-1] if said else "before anything" for said in lives)
    print(f"{len(lives)} lives, {len(unfinished)} ended in the middle of work: {dict(ended_in)}; sent {sender.by_door}")
    assert not last["killed"]
    _all_is_there_once(sender, home, push_feed)
    _nothing_waits(sender, home, push_feed, brokers)


def _lives(sender: Sender, killed: Killed, broker: RunningBroker, chance: random.Random) -> Iterator[list[str]]:
    """What each killed child said; a kill may come at any moment of a round, and enough come in the middle of work."""
    number = unfinished = 0
    for first in range(2):
        sender.send()
        killed.ask(f"{first} end")
        a_round = killed.answer()["seconds"] / 3  # of the second one: it works, looks once more, and cleans
    while number < KILLS or unfinished < UNFINISHED:
        killed.ask(f"{chance.randrange(2**31)} {chance.uniform(0, LONGEST * a_round):.4f}")
        if number == RESTART_AT:
            broker.restart()
        for _ in range(A_LIFE):
            sender.send()
        found = killed.answer()
        assert found["killed"]
        number += 1
        unfinished += _unfinished(found["said"])
        yield found["said"]


def _unfinished(said: list[str]) -> bool:
    """Whether a life ended in the middle of work."""
    return "work" in said and "end" not in said[said.index("work") :][-1:]


def _all_is_there_once(sender: Sender, home: Path, feed: Feed) -> None:
    lake = Lake(home)
    with duckdb.connect() as con:
        tables = [lake.relation(con, f"{FEED}/{layer}") for layer in LAYERS]
        door = "split_part(replace(source, 'file:', 'claim/'), '/', 1)"
        delivered = Counter(tables[0].select(f"{door}, station, time_text").fetchall())
        assert delivered == sender.raw, "raw has what each door was given, and nothing twice"
        good = tables[1].select("station, strftime(time, '%Y-%m-%dT%H:%M:%SZ')").fetchall()
        bad = tables[2].filter('"column" IS NULL').select("station, time_text").fetchall()
        assert Counter(good + bad) == Counter(sender.readings)
        assert len(bad) > len(sender.readings) // 20, "some were sent to be put aside"
        winds = tables[2].filter("\"column\" = 'windspeed'").select("station, time_text, value::DOUBLE").fetchall()
        assert set(winds) == {(*each, STORM) for each in sender.winds}, "and values of others, one by one"
        counted = audit(con, feed, *tables)
    assert counted.balanced
    assert counted.rows_in == sender.raw.total()


def _nothing_waits(sender: Sender, home: Path, feed: Feed, brokers: Sequence[RunningBroker]) -> None:
    assert [door.backlog() for door in channels_of(home, feed, Settings(home=str(home)))] == [0, 0]
    for broker in brokers:
        with connect(broker.url) as connection:
            assert connection.backlog(claims.TOPICS) == 0
    left = [path.name for path in sender.inbox.iterdir() if path.is_file() and not path.name.startswith(".")]
    assert left == []
    rejected = {path.name for path in (sender.inbox / "rejected").glob("*.reason.json")}
    assert rejected == {f"{name}.reason.json" for name in sender.refused}
