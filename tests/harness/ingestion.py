"""An ingesting process that is killed repeatedly: python -m tests.harness.ingestion HOME DECLARATION BROKER...

It imports everything once and starts no thread. For each line on stdin, `SEED SECONDS`, it forks a child that takes
from every channel and cleans bronze, round after round, and kills it after some seconds. `SEED end` lets the child work
until nothing waits any more. For each line it prints one, as JSON: what the child said of its rounds before it died.
"""

import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from aerocast.common.errors import AeroCastError
from aerocast.contracts import clock
from aerocast.feed.declaration import Feed
from aerocast.ingest.brokers import Broker, connect, kafka, nats  # noqa: F401  # their import is half of a short life
from aerocast.ingest.channels import channels_of, claims, inbox, observations  # noqa: F401
from aerocast.ingest.channels.intake import take_all
from aerocast.lake import Lake
from aerocast.storage.settings import Settings
from tests.harness.deliveries import refresh

QUIET = 0.05
CLEAN_EVERY = 2


class Ingest:
    """The steps of the platform from the channels to bronze, in one process, until it is killed."""

    def __init__(self, home: Path, feed: Feed, urls: Sequence[str], say: Callable[[str], None]) -> None:
        self.home, self.feed, self.urls, self.say = home, feed, urls, say
        self.lake = Lake(home)
        self.channels = channels_of(home, feed, Settings(home=str(home)))
        self._brokers: dict[str, Broker] = {}

    def round(self, chance: random.Random, clean: bool) -> None:
        """Take everything that waits and refresh bronze, in random order; the next round repeats what fails."""
        ways: list[tuple[str, Callable[[], Any]]] = [("channels", self.take_doors)]
        ways += [(f"claims of {url.split(':')[0]}", partial(self.take_claims, url)) for url in self.urls]
        ways += [("clean", self.clean)] if clean else []
        chance.shuffle(ways)
        for name, way in ways:
            self.say(name)
            try:
                way()
            except AeroCastError as error:
                self.say(f"failed: {error}")
                self.hang_up()

    def take_doors(self) -> None:
        taken = take_all(self.lake, self.feed, self.channels)
        if taken.failures:
            self.say(f"failed: {taken.failures}")

    def take_claims(self, url: str) -> None:
        taken = claims.take_claims(self.broker(url), self.home, self._find, quiet=QUIET)
        for refused in (*taken.dead, *taken.later):
            self.say(f"failed: {refused.error}")

    def clean(self) -> None:
        with duckdb.connect() as con:
            refresh(con, self.lake, self.feed, clock.now(self.home, self.feed.name, self.feed.end))

    def backlog(self) -> int:
        try:
            return sum(channel.backlog() for channel in self.channels) + sum(
                self.broker(url).backlog(claims.TOPICS) for url in self.urls
            )
        except AeroCastError as error:
            self.say(f"failed: {error}")
            self.hang_up()
            return 1

    def broker(self, url: str) -> Broker:
        if url not in self._brokers:
            self._brokers[url] = connect(url)
        return self._brokers[url]

    def hang_up(self) -> None:
        for broker in self._brokers.values():
            broker.close()
        self._brokers = {}

    def _find(self, name: str) -> Feed | None:
        return self.feed if name == self.feed.name else None


def work(ingest: Ingest, seed: int, *, until_quiet: bool) -> None:
    """Work in rounds; with `until_quiet` until nothing waits."""
    chance, number = random.Random(seed), seed
    while True:
        number += 1
        waiting = ingest.backlog() if until_quiet else sum(channel.backlog() for channel in ingest.channels)
        ingest.say("work" if waiting else "look")
        ingest.round(chance, clean=until_quiet or number % CLEAN_EVERY == 0)
        ingest.say("end")
        if until_quiet and not waiting:
            return ingest.clean()


def child(home: Path, feed: Feed, urls: Sequence[str], pipe: int, seed: int, end: bool) -> None:
    """Run the forked process; never returns."""
    status = 1

    def say(text: str) -> None:
        os.write(pipe, f"{text}\n".encode())

    try:
        work(Ingest(home, feed, urls, say), seed, until_quiet=end)
        status = 0
    except BaseException as error:  # whatever it is: it is told, and the test fails by it
        os.write(pipe, f"died: {error!r}\n".encode())
    finally:
        os._exit(status)


def attempt(home: Path, feed: Feed, urls: Sequence[str], seed: int, seconds: float | None) -> dict[str, Any]:
    """Fork a process, kill it after `seconds` (None: never), and return what it printed."""
    read, write = os.pipe()
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        os.close(read)
        child(home, feed, urls, write, seed, seconds is None)
    os.close(write)
    said, killed = b"", False
    while True:
        left = None if seconds is None else max(0.0, began + seconds - time.monotonic())
        if not killed and not select.select([read], [], [], left)[0]:
            os.kill(pid, signal.SIGKILL)
            killed = True
        if killed or select.select([read], [], [], 0)[0]:
            data = os.read(read, 65536)
            said += data
            if not data:
                break
    os.close(read)
    _, status, used = os.wait4(pid, 0)
    return {
        "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
        "seconds": time.monotonic() - began,
        "cpu": used.ru_utime + used.ru_stime,
        "said": said.decode(errors="replace").splitlines(),
    }


def main(home: str, declaration: str, *urls: str) -> None:
    feed = Feed.model_validate_json(Path(declaration).read_bytes())
    print("{}", flush=True)
    for line in sys.stdin:
        seed, _, wanted = line.strip().partition(" ")
        found = attempt(Path(home), feed, urls, int(seed), None if wanted == "end" else float(wanted))
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
