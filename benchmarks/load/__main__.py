"""Runs `make load`: clients that mix what clients do, and what they met: requests a second, p50, p99, failures.

Clients are locust's, in an environment of its own that is made once (it brings a web framework that nothing here
needs); what they do is in locustfile.py. Without `--url` the server is one of its own, on a temporary home with a
release of noaa, 3,000 past forecasts, and a feed that takes readings. A server at `--url` is only read: no readings are
posted. The token is `AEROCAST_TOKEN`. Ends with status 1 if a request failed for another reason than 429, or none was
answered.
"""

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from measuring.feeds import Prepared, prepare
from measuring.http import HOST
from measuring.peer_environment import Missing, interpreter
from measuring.released import publish
from measuring.servers import started
from measuring.table import show

from aerocast.client import ClientError
from aerocast.client.transport import Transport
from aerocast.common.times import from_numpy
from aerocast.contracts import declared, prediction_history
from serving.config import read_settings

PACKAGES = ("locust==2.47.0",)
FOLDER = Path(tempfile.gettempdir()) / "aerocast-bench-load"
LOCUSTFILE = Path(__file__).with_name("locustfile.py")
PAST = 1000  # forecasts a station


class Target(NamedTuple):
    """A server: its address, the token that it wants, and a reading that may be posted to it, without a station."""

    url: str
    token: str
    reading: dict[str, object] | None


@contextmanager
def foreign_server(url: str) -> Iterator[Target]:
    """A server that runs already, to which nothing is posted."""
    yield Target(url, read_settings().token, None)


@contextmanager
def own_server() -> Iterator[Target]:
    """A server as `make run` leaves one."""
    with tempfile.TemporaryDirectory(prefix="aerocast-load-") as folder:
        home, prepared = Path(folder), prepare("noaa")
        publish(home, prepared, ["linear"])
        declared.publish(home, prepared.feed)
        write_history(home, prepared)
        newest = max(from_numpy(grid.time[-1]) for grid in prepared.grids.values()) + prepared.feed.cadence
        fields = {column.field: 10.0 for column in prepared.feed.columns}
        with started(home) as server:
            yield Target(f"http://{HOST}:{server.port}", "", {"time": f"{newest:%Y-%m-%dT%H:%M:%SZ}", **fields})


def write_history(home: Path, prepared: Prepared) -> None:
    """The newest hours as persistence forecast them, as evaluation exports them."""
    feed, target = prepared.feed, prepared.spec.target
    rows = []
    for station, grid in prepared.grids.items():
        values = grid.values[:, grid.columns.index(target)].astype(float)
        for at in range(len(values) - PAST, len(values)):
            time, value, actual = from_numpy(grid.time[at]), values[at - 1], values[at]
            if math.isfinite(value) and math.isfinite(actual):
                rows.append(
                    dict.fromkeys(prediction_history.COLUMNS, "")
                    | {"time": f"{time:%Y-%m-%dT%H:%M:%SZ}", "target": target, "station": station, "horizon": "1"}
                    | {"issued_at": f"{time - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}", "forecast": str(value)}
                    | {"actual": str(actual), "actual_from": "measured", "error": str(actual - value)}
                    | {"shadow": "false", "degraded": "false", "id": f"{station}-{at}", "asked": "1"}
                )
    rows.sort(key=prediction_history.Key.of)
    folder = prediction_history.place(home, feed.name)
    folder.mkdir(parents=True)
    for month in sorted({row["time"][:7] for row in rows}):
        with (folder / f"{month}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, prediction_history.COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(row for row in rows if row["time"][:7] == month)


def plan(url: str, token: str, reading: dict[str, object] | None) -> dict[str, Any]:
    """What the clients need to know of the server's first feed. Raises ClientError, SystemExit where none is served."""
    transport = Transport(url, token, timeout=30, patience=30)
    try:
        feeds = [feed for feed in transport.get("/v1/feeds") if feed["targets"]]
    finally:
        transport.close()
    if not feeds:
        raise SystemExit(f"{url} serves no feed yet")
    feed, ranges = feeds[0], {column["name"]: column["range"] for column in feeds[0]["columns"]}
    return {
        "feed": feed["name"],
        "stations": [station["id"] for station in feed["stations"] if station["newest_reading"]],
        "steps": feed["window"]["steps"],
        "middle": [sum(ranges[name]) / 2 for name in feed["window"]["columns"]],
        "reading": reading,
    }


def attack(python: Path, url: str, token: str, whole: dict[str, Any], users: int, seconds: int) -> dict[str, Any]:
    """What locust's clients met. Raises SystemExit where it wrote no figures."""
    with tempfile.TemporaryDirectory(prefix="aerocast-load-plan-") as folder:
        figures, document = Path(folder) / "figures.json", Path(folder) / "plan.json"
        document.write_text(json.dumps({**whole, "figures": str(figures)}))
        command = [str(python), "-m", "locust", "--headless", "-f", str(LOCUSTFILE), "--host", url, "--only-summary"]
        command += ["-u", str(users), "-r", str(users), "-t", f"{seconds}s", "--loglevel", "ERROR"]
        env = {**os.environ, "PYTHONPATH": "", "LOAD_PLAN": str(document), "LOAD_TOKEN": token}
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if not figures.exists():
            raise SystemExit(f"locust ended with status {done.returncode}:\n{done.stdout[-2000:]}")
        found: dict[str, Any] = json.loads(figures.read_text())
        return found


def report(found: dict[str, Any], users: int, seconds: int) -> int:
    """Prints the figures; 1 for a request that failed, or where none was answered."""
    rows = [
        [each["name"], f"{each['requests']:,}", f"{each['rate']:,.0f}"]
        + [f"{each[name]:,.0f} ms" for name in ("p50", "p99")]
        + [f"{each[name]:,}" for name in ("busy", "failures")]
        for each in found["figures"]
    ]
    header = ["", "requests", "requests/s", "p50", "p99", "429", "failures"]
    show(f"{users} clients, {seconds} seconds", header, rows)
    for error in found["errors"]:
        print(f"  {error}")
    total = found["figures"][-1]
    return int(total["failures"] > 0 or total["requests"] <= total["busy"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make load", description=__doc__)
    parser.add_argument("--url", default="", help="a server that runs; default: one of its own")
    parser.add_argument("--users", type=int, default=32, help="clients at once (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=30, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of what clients choose (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        python = interpreter(FOLDER, PACKAGES)
        with foreign_server(options.url) if options.url else own_server() as (url, token, reading):
            whole = plan(url, token, reading) | {"seed": options.seed}
            found = attack(python, url, token, whole, options.users, options.seconds)
    except (Missing, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    return report(found, options.users, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
