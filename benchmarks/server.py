"""How fast the server starts and answers, and what it holds in memory, beside its almost empty endpoint `/health`.

Each round starts a fresh `python -m serving` on one home and measures: process start to the first 200 of /health, RSS
then, RSS after 1000 predictions of all sorts, and for 1 and for 16 concurrent clients latency and requests a second of
/health (the peer: all that HTTP, framework and client cost), /predict for a station, and /predict for a sequence of
the fewest and of the most steps. A station's answer is computed once for each new reading and release, and is kept; a
sequence's is computed each time. The client runs on the same cores and so takes its share. Targets: start under 2 s,
RSS under 150 MB. The home is a copy of what $AEROCAST_HOME serves of the feed (the server logs every answer, and these
answers are none of the loop's), else a temporary one with a `linear` model and the graph for sequences. At last one
server takes up many releases in turn: its memory must not grow with them.
"""

import json
import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
from measuring.http import HOST, Load, load, request
from measuring.servers import PATIENCE, started
from measuring.spread import Spread, parser, ratio
from measuring.table import show, verdict

from aerocast.releases import release
from aerocast.releases.release import Release

START_TARGET, MEMORY_TARGET, GROWTH_TARGET = 2.0, 150.0, 10.0
RELOADS = 160
WARM_UP = 1000
CLIENTS = (1, 16)
PEER = "GET /health"


def questions(current: Release) -> dict[str, bytes]:
    """The requests to measure, the peer first."""
    manifest = current.manifest
    ranges = {column.name: column.range for column in manifest.feed.columns}
    step = [round(sum(ranges[name]) / 2, 1) for name in manifest.window.columns]
    common = {"feed": manifest.feed.name, "target": manifest.target}
    asked = {PEER: request("/health")}
    asked["/predict station"] = request("/predict", {**common, "station": manifest.feed.stations[0].id})
    for steps in (manifest.window.steps, manifest.window.look_back):
        asked[f"/predict {steps} steps"] = request("/predict", {**common, "sequence": [step] * steps})
    return asked


def released(home: Path, feed: str) -> Release | None:
    """What serves the feed's first released target in this home."""
    for place in sorted((home / "releases" / feed).glob("*/current.json")):
        if pointer := release.current(home, feed, place.parent.name):
            return release.load(home, feed, place.parent.name, pointer.version)
    return None


def measure(home: Path, rounds: int, requests: int, asked: dict[str, bytes]) -> dict[str, list[float]]:
    """Seconds to start and MiB held, and prints what each endpoint did."""
    own: dict[str, list[float]] = {"start": [], "rss": [], "rss after": []}
    loads: dict[tuple[int, str], list[Load]] = {(clients, name): [] for clients in CLIENTS for name in asked}
    for _ in range(rounds):
        with started(home) as (process, port, seconds):
            own["start"].append(seconds)
            own["rss"].append(process.memory_info().rss / (1 << 20))
            predicts = [message for name, message in asked.items() if name != PEER]
            for message in predicts:
                load(port, message, 1, -(-WARM_UP // len(predicts)))
            own["rss after"].append(process.memory_info().rss / (1 << 20))
            for clients, name in loads:
                loads[clients, name].append(load(port, asked[name], clients, requests))
    for clients in CLIENTS:
        show_loads(clients, {name: loads[clients, name] for name in asked})
    return own


def growth(home: Path, current: Release) -> float:
    """MiB that a server grows while it takes up RELOADS releases, each asked once, after the first ten."""
    manifest, before = current.manifest, 0.0
    key = manifest.feed.name, manifest.target
    message = questions(current)[f"/predict {manifest.window.steps} steps"]
    with started(home) as (process, port, _):
        for number in range(RELOADS):
            lineage = msgspec.structs.replace(manifest.lineage, config_hash=f"{number:08x}{'ab' * 28}")
            version = release.write(home, msgspec.structs.replace(manifest, lineage=lineage), current.files)
            release.promote(home, *key, version)
            while not _serves(port, version):
                time.sleep(0.02)
            load(port, message, 1, 1)
            if number == 10:
                before = process.memory_info().rss / (1 << 20)
        return process.memory_info().rss / (1 << 20) - before


def _serves(port: int, version: str) -> bool:
    with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=PATIENCE) as answer:
        return any(each["version"] == version for each in json.load(answer)["releases"])


def show_loads(clients: int, loads: dict[str, list[Load]]) -> None:
    """One row an endpoint; the ratio is latency beside /health in the same round."""
    peer = [each.p50 for each in loads[PEER]]
    rows = [
        [
            name,
            Spread.of(each.p50 for each in found).text(2, " ms"),
            Spread.of(each.p99 for each in found).text(2, " ms"),
            Spread.of(each.rate for each in found).text(0),
            ratio([each.p50 for each in found], peer).text(),
        ]
        for name, found in loads.items()
    ]
    many = f"{clients} client{'s' if clients > 1 else ''} at once"
    show(f"Answers, {many}, median (least..greatest)", ["", "p50", "p99", "requests/s", "p50 x /health"], rows)


def main() -> None:
    made = parser(__doc__, rounds=5)
    made.add_argument("--feed", default="noaa")
    made.add_argument("--home", type=Path, default=Path(os.environ.get("AEROCAST_HOME", ".aerocast")))
    made.add_argument("--requests", type=int, default=2000, help="of each kind in a round (default: %(default)s)")
    options = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
        home = Path(folder)
        if released(options.home, options.feed):
            shutil.copytree(options.home / "releases" / options.feed, home / "releases" / options.feed)
            shutil.copytree(options.home / "tail", home / "tail")
        else:
            from measuring.released import make_home

            make_home(home, options.feed)
        current = released(home, options.feed)
        assert current is not None
        graph = current.files[current.manifest.graphs.station.file]
        print(f"Release {current.version}: {current.manifest.kind}, graph of {len(graph) / 1024:,.0f} KiB")
        own = measure(home, options.rounds, options.requests, questions(current))
        grown = growth(home, current)
    start, before, after = (Spread.of(own[name]) for name in ("start", "rss", "rss after"))
    rows = [
        ["process start to first 200 of /health", start.text(2, " s"), f"< {START_TARGET:.0f} s",
         verdict(start.median < START_TARGET)],
        ["RSS then", before.text(0, " MiB"), f"< {MEMORY_TARGET:.0f} MB", verdict(_mb(before) < MEMORY_TARGET)],
        [f"RSS after {WARM_UP} predictions", after.text(0, " MiB"), f"< {MEMORY_TARGET:.0f} MB",
         verdict(_mb(after) < MEMORY_TARGET)],
        [f"growth over {RELOADS} releases taken up", f"{grown:.1f} MiB", f"< {GROWTH_TARGET:.0f} MiB",
         verdict(grown < GROWTH_TARGET)],
    ]  # fmt: skip
    show(f"The process, {options.rounds} rounds", ["", "median (least..greatest)", "target", ""], rows)


def _mb(mebibytes: Spread) -> float:
    return mebibytes.high * (1 << 20) / 1e6


if __name__ == "__main__":
    main()
