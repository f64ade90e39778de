"""Our application behind four HTTP servers: what each does with clients that are slow, or too fast, on purpose.

Ours is `python -m serving`: uvicorn with the bounds of serving/connections.py. The peers serve the same application on
the same home, each with the bounds that it can declare: uvicorn alone, granian and hypercorn, which are installed in a
folder beside the project's environment. A round starts each server in turn and measures: 16 clients at full speed;
one well-behaved client (a request each 20 ms) beside 300 heads that grow by a byte a second and 16 stalled bodies of
8 MB, and how many of these connections were ended after 40 s; the same client beside 256 connections at full speed,
and what they were answered. Clients and server share the cores.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from measuring.http import HOST, Load, load, request
from measuring.released import make_home
from measuring.rude import Met, fast, slow
from measuring.servers import started
from measuring.spread import Spread, parser
from measuring.table import show
from server import released

PACKAGES = ("granian>=2.8", "hypercorn>=0.18")
DRIPPING, STALLED, SLOW_SECONDS = 300, 16, 40.0
FAST, FAST_SECONDS = 256, 10.0
OURS = "uvicorn and serving/connections.py"
# What each can declare of: requests at once, seconds for a head, for an upload, and between two requests.
COMMANDS: dict[str, list[str]] = {
    OURS: ["serving", "--host", HOST, "--port", "{port}"],
    "uvicorn": ["uvicorn", "measuring.asgi:app", "--host", HOST, "--port", "{port}", "--limit-concurrency", "1000",
                "--timeout-keep-alive", "75", "--loop", "uvloop", "--http", "httptools", "--log-level", "critical",
                "--no-access-log"],
    "granian": ["granian", "measuring.asgi:app", "--interface", "asgi", "--host", HOST, "--port", "{port}",
                "--http", "1", "--no-ws", "--loop", "uvloop", "--backpressure", "64",
                "--http1-header-read-timeout", "10000", "--no-log"],
    "hypercorn": ["hypercorn", "measuring.asgi:app", "--bind", HOST + ":{port}", "--worker-class", "uvloop",
                  "--keep-alive", "75", "--read-timeout", "15", "--log-level", "CRITICAL"],
}  # fmt: skip


class Round:
    """What one server did: throughput, and what its clients met beside slow and beside fast ones."""

    def __init__(self, port: int, message: bytes, requests: int) -> None:
        self.load: Load = load(port, message, 16, requests)
        self.slow: Met = slow(port, message, DRIPPING, STALLED, SLOW_SECONDS)
        self.fast: Met = fast(port, message, FAST, FAST_SECONDS)


def install(folder: Path) -> dict[str, list[str]]:
    """The commands of the servers that can be had; packages of peers are installed once."""
    if not (folder / "granian").exists():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), *PACKAGES]
        if subprocess.run(pip).returncode:
            print(f"{' and '.join(PACKAGES)} cannot be installed here: measuring without them")
            return {name: command for name, command in COMMANDS.items() if command[0] in ("serving", "uvicorn")}
    return COMMANDS


def show_rounds(rounds: dict[str, list[Round]]) -> None:
    ours = [each.load.rate for each in rounds[OURS]]
    rows = []
    for name, own in rounds.items():
        rates = [each.load.rate for each in own]
        ended = statistics.median(each.slow.ended for each in own)
        rows.append([
            name, Spread.of(rates).text(0), Spread.of(a / b for a, b in zip(rates, ours, strict=True)).text(2),
            Spread.of(each.slow.p99 for each in own).text(0), f"{ended:.0f} of {DRIPPING + STALLED}",
            Spread.of(each.fast.p99 for each in own).text(0),
            _shares(sum((each.fast.statuses for each in own), Counter())),
            _shares(sum((each.slow.own + each.fast.own for each in own), Counter())),
        ])  # fmt: skip
    header = ["", "requests/s", "x ours", "p99 beside slow, ms", "slow ones ended", "p99 beside fast, ms",
              "answers to the fast", "to the well-behaved"]  # fmt: skip
    show("Median (least..greatest)", header, rows)


def _shares(statuses: Counter[str]) -> str:
    total = sum(statuses.values()) or 1
    return ", ".join(f"{status} {100 * count / total:.1f} %" for status, count in sorted(statuses.items())) or "none"


def main() -> None:
    made = parser(__doc__, rounds=3)
    made.add_argument("--requests", type=int, default=8000, help="of the 16 clients in a round (default: %(default)s)")
    cache = Path(tempfile.gettempdir()) / "aerocast-bench-http"
    made.add_argument("--packages", type=Path, default=cache, help="folder of peers (default: %(default)s)")
    options: argparse.Namespace = made.parse_args()
    commands = install(options.packages)
    with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
        home = Path(folder)
        make_home(home)
        current = released(home, "noaa")
        assert current is not None
        manifest = current.manifest
        station = manifest.feed.stations[0].id
        message = request("/predict", {"feed": "noaa", "target": manifest.target, "station": station})
        rounds: dict[str, list[Round]] = {name: [] for name in commands}
        for number in range(options.rounds):
            for name, command in commands.items():
                print(f"round {number + 1}: {name}", flush=True)
                packages = [options.packages.absolute()]
                with started(home, ["-m", *command], packages=packages) as server:
                    rounds[name].append(Round(server.port, message, options.requests))
    show_rounds(rounds)


if __name__ == "__main__":
    main()
