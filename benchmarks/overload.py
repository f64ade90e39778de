"""A minute at twice what one worker can answer, beside 300 clients that drip: who is answered what, and how soon.

The capacity is what 16 connections are answered by sequence, each asking again at once. Then a process of its own sends
twice as many requests a second on a schedule, from 256 connections, while 300 heads grow by a byte a second, one
well-behaved client asks each 20 ms, and another posts readings. Ends with the targets, reached or MISSED: everybody is
answered 200 or 429; the well-behaved client's p99 is below 100 ms; memory grows by less than a tenth from the tenth
second on; every reading that was accepted is found on the disk. Clients and server share the cores.
"""

import argparse
import http.client
import json
import tempfile
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import psutil
from measuring.doors import readings
from measuring.http import HOST, load, request
from measuring.released import make_home
from measuring.rude import NOT_ANSWERED, Met, Paced, paced, slow
from measuring.servers import started
from measuring.spread import Spread, parser
from measuring.table import show, verdict
from server import released
from server_peers import sequence

from aerocast.contracts import declared
from aerocast.ingest.channels.posted import PostStore
from aerocast_assets.feeds import find_feed

FEED, TIMES, DRIPPING, CONNECTIONS, CLIENTS = "noaa", 2.0, 300, 256, 16
STEADY = 10  # seconds until everybody is at work
MOST_P99, MOST_GROWTH = 100.0, 1.1
ACCEPTED = "202"
OK = ("200", ACCEPTED, "429")


class Beside(threading.Thread):
    """Posts a reading each 50 ms, and looks at the server's memory (MiB) each second, until `done` is set."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.port, self.process, self.done = port, process, threading.Event()
        self.memory: list[float] = []
        self.posts: defaultdict[str, set[bytes]] = defaultdict(set)

    def run(self) -> None:
        feed, number, looked = find_feed(FEED), 0, 0.0
        while not self.done.wait(0.05):
            columns = readings(feed, 1, number)
            body = json.dumps({name: values[0] for name, values in columns.items()}).encode()
            self.posts[self._post(body)].add(body)
            number += 1
            if time.monotonic() - looked >= 1:
                looked = time.monotonic()
                self.memory.append(self.process.memory_info().rss / (1 << 20))

    def _post(self, body: bytes) -> str:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        try:
            connection.request("POST", f"/v1/observations/{FEED}", body, {"Content-Type": "application/json"})
            return str(connection.getresponse().status)
        except OSError:
            return NOT_ANSWERED
        finally:
            connection.close()


class Minute(NamedTuple):
    """What one minute was like; `lost` readings were accepted and are not on the disk."""

    capacity: float
    met: Met
    flood: Paced
    beside: Beside
    lost: int

    @property
    def growth(self) -> float:
        steady = self.beside.memory[min(STEADY, len(self.beside.memory) // 2) :]
        return max(steady) / steady[0]

    @property
    def statuses(self) -> Counter[str]:
        """Of all that were answered, or not."""
        posts = Counter({status: len(bodies) for status, bodies in self.beside.posts.items()})
        return self.flood.statuses + self.met.own + posts


def minute(home: Path, message: bytes, seconds: float) -> Minute:
    """One minute, with a server of its own."""
    with started(home) as (process, port, _), ProcessPoolExecutor(1, get_context("spawn")) as others:
        load(port, message, CLIENTS, 1000)
        capacity = load(port, message, CLIENTS, 8000).rate
        beside = Beside(port, process)
        beside.start()
        flood = others.submit(paced, port, message, CONNECTIONS, TIMES * capacity, seconds)
        met = slow(port, message, DRIPPING, 0, seconds)
        offered = flood.result()
        beside.done.set()
        beside.join()
    stored = {post.body for part in PostStore(home, FEED).parts() for post in part.posts}
    return Minute(capacity, met, offered, beside, len(beside.posts[ACCEPTED] - stored))


def _shares(statuses: Counter[str]) -> str:
    return ", ".join(f"{status} {100 * count / statuses.total():.2f} %" for status, count in sorted(statuses.items()))


def show_all(minutes: list[Minute]) -> None:
    rows = [
        ["capacity, requests/s", Spread.of(each.capacity for each in minutes).text(0)],
        ["sent, times the capacity", Spread.of(each.flood.rate / each.capacity for each in minutes).text(2)],
        ["answers to the flood", _shares(sum((each.flood.statuses for each in minutes), Counter()))],
        ["answers to the well-behaved", _shares(sum((each.met.own for each in minutes), Counter()))],
        ["its p50, ms", Spread.of(each.met.p50 for each in minutes).text(1)],
        ["its p99, ms", Spread.of(each.met.p99 for each in minutes).text(1)],
        ["dripping clients ended", Spread.of(each.met.ended for each in minutes).text(0)],
        ["memory in the end, MiB", Spread.of(each.beside.memory[-1] for each in minutes).text(0)],
        ["readings accepted", Spread.of(len(each.beside.posts[ACCEPTED]) for each in minutes).text(0)],
    ]
    show("Median (least..greatest)", ["", ""], rows)
    others = sum(count for each in minutes for status, count in each.statuses.items() if status not in OK)
    p99, growth = Spread.of(each.met.p99 for each in minutes), Spread.of(each.growth for each in minutes)
    lost = sum(each.lost for each in minutes)
    targets = [
        ["answers but 200, 202 and 429", f"{others}", "0", verdict(others == 0)],
        ["p99 of the well-behaved, ms", p99.text(1), f"< {MOST_P99:g}", verdict(p99.high < MOST_P99)],
        ["memory : at the tenth second", growth.text(2), f"< {MOST_GROWTH:g}", verdict(growth.high < MOST_GROWTH)],
        ["accepted readings not found", f"{lost}", "0", verdict(lost == 0)],
    ]
    show("Targets", ["", "", "target", ""], targets)


def main() -> None:
    made = parser(__doc__, rounds=1)
    made.add_argument("--seconds", type=float, default=60.0, help="of overload (default: %(default)s)")
    options: argparse.Namespace = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
        home = Path(folder) / "home"
        make_home(home)
        declared.publish(home, find_feed(FEED))
        current = released(home, FEED)
        assert current is not None
        manifest = current.manifest
        body = {"feed": FEED, "target": manifest.target, "sequence": sequence(current, manifest.window.steps)}
        minutes = [minute(home, request("/predict", body), options.seconds) for _ in range(options.rounds)]
    show_all(minutes)


if __name__ == "__main__":
    main()
