"""How many forecasts a second one worker answers, beside its own limit and the servers that others would use.

All serve one release on loopback, asked by 16 connections in one run, by turns in each round:
- `empty`: our server with an endpoint of the same schemas that computes nothing, the limit (measuring/empty.py);
- ours, for a station (kept for each reading and release) and for a sequence (computed each time), with the prediction
  log and without it;
- `mlflow models serve` with the release's graph as an ONNX model, given ready rows of features: it makes none;
- FastAPI with a GRU in eager PyTorch (measuring/eager.py), which keeps no log and makes no features, either.
Then 1,000 sequences as batches of 128, in JSON and Arrow, beside onnxruntime alone on their ready rows. Clients and
server share the cores. Ends with the targets, reached or MISSED.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from measuring.http import HOST, Load, load, post, request
from measuring.released import make_home
from measuring.servers import OURS as SERVING
from measuring.servers import Started, started
from measuring.spread import Spread, parser, ratio
from measuring.table import show, verdict
from server import released

from aerocast.models.inference import runner
from aerocast.releases.release import Release

CLIENTS, BATCH, ROWS = 16, 128, 1000
STATION, SEQUENCE = "by station", "by sequence"
EMPTY = "empty endpoint"
OURS, SILENT, MLFLOW, EAGER = "ours", "ours, no log", "mlflow models serve", "FastAPI, eager torch"
TARGETS = ((STATION, EMPTY, 0.8), (SEQUENCE, EMPTY, 0.5), (SEQUENCE, MLFLOW, 10.0), (SEQUENCE, EAGER, 3.0))


@dataclass
class Figures:
    """What rounds have shown of one server."""

    start: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    loads: dict[str, list[Load]] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """A command with `{port}`, the path that answers once it is up, more environment, and what it is asked."""

    command: tuple[str, ...]
    path: str
    more: dict[str, str]
    asked: dict[str, bytes]

    def started(self, home: Path) -> AbstractContextManager[Started]:
        """As `measuring.servers.started`."""
        return started(home, self.command, self.path, self.more)


def contenders(folder: Path, current: Release, features: list[float]) -> dict[str, Contender]:
    """Everybody, with the requests that each is asked."""
    manifest = current.manifest
    common = {"feed": manifest.feed.name, "target": manifest.target}
    bodies = {
        STATION: {**common, "station": manifest.feed.stations[0].id},
        SEQUENCE: {**common, "sequence": sequence(current, manifest.window.steps)},
    }

    def asked(path: str) -> dict[str, bytes]:
        return {name: request(path, body) for name, body in bodies.items()}

    model = save_model(folder, current)
    plain = request("/predict", {"sequence": bodies[SEQUENCE]["sequence"]})
    return {
        EMPTY: Contender(("-m", "measuring.empty", *SERVING[2:]), "/health", {}, asked("/empty")),
        OURS: Contender(SERVING, "/health", {}, asked("/predict")),
        SILENT: Contender(SERVING, "/health", {"AEROCAST_LOG": "false"}, asked("/predict")),
        MLFLOW: Contender(
            ("-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local", "-h", HOST, "-p", "{port}",
             "-w", "1"),
            "/ping", {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            {SEQUENCE: request("/invocations", {"inputs": {"features": [features]}})},
        ),
        EAGER: Contender(
            ("-m", "uvicorn", "measuring.eager:app", "--host", HOST, "--port", "{port}", "--log-level", "critical"),
            "/health", {}, {SEQUENCE: plain},
        ),
    }  # fmt: skip


def sequence(current: Release, steps: int, seed: int = 0) -> list[list[float]]:
    """Plausible steps of the window's columns."""
    made, window = np.random.default_rng(seed), current.manifest.window
    ranges = {column.name: column.range for column in current.manifest.feed.columns}
    middle = np.array([sum(ranges[name]) / 2 for name in window.columns])
    values: list[list[float]] = np.round(middle + made.normal(0, 1, (steps, len(middle))), 2).tolist()
    return values


def save_model(folder: Path, current: Release) -> Path:
    """The graph for sequences as MLflow stores it."""
    import mlflow.onnx
    import onnx

    graph = current.manifest.graphs.sequence
    assert graph is not None
    path = folder / "model"
    mlflow.onnx.save_model(onnx.load_model_from_string(current.files[graph.file]), str(path))
    return path


def measure(home: Path, everybody: Mapping[str, Contender], rounds: int, requests: int) -> dict[str, Figures]:
    """Starts each in turn, a round after the other."""
    found: dict[str, Figures] = {name: Figures() for name in everybody}
    for number in range(rounds):
        for name, contender in everybody.items():
            print(f"round {number + 1}: {name}", flush=True)
            with contender.started(home) as (process, port, seconds):
                own = found[name]
                own.start.append(seconds)
                for kind, message in contender.asked.items():
                    load(port, message, 1, 20)  # what is made at the first request is no figure
                    own.loads.setdefault(kind, []).append(load(port, message, CLIENTS, requests))
                held = [process, *process.children(recursive=True)]
                own.memory.append(sum(each.memory_info().rss for each in held) / (1 << 20))
    return found


def batches(home: Path, current: Release, contender: Contender, rounds: int) -> dict[str, list[float]]:
    """Rows a second: a batch of sequences in JSON and in Arrow, and onnxruntime alone on ready rows."""
    import pyarrow as pa

    manifest = current.manifest
    steps = manifest.window.steps
    parts = [{"target": manifest.target, "sequence": sequence(current, steps, seed)} for seed in range(BATCH)]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(parts)
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    path, kind = f"/v1/predict/batch?feed={manifest.feed.name}", "application/vnd.apache.arrow.stream"
    messages = {"JSON": request(path, parts), "Arrow": post(path, sink.getvalue().to_pybytes(), kind)}
    times = -(-ROWS // BATCH)
    graph = manifest.graphs.sequence
    assert graph is not None
    run, x = runner(current.files[graph.file]), np.zeros((BATCH, len(graph.features)), dtype=np.float32)
    rates: dict[str, list[float]] = {"onnxruntime alone": [], **{name: [] for name in messages}}
    with contender.started(home) as (_, port, _):
        for _ in range(rounds):
            rates["onnxruntime alone"].append(_rate(lambda: run(x), times))
            for name, message in messages.items():
                load(port, message, 1, 1)
                rates[name].append(load(port, message, 1, times).rate * BATCH)
    return rates


def _rate(action: Callable[[], object], times: int) -> float:
    action()
    began = time.perf_counter()
    for _ in range(times):
        action()
    return times * BATCH / (time.perf_counter() - began)


def show_all(found: Mapping[str, Figures]) -> list[tuple[str, Spread, float]]:
    """Prints who did what; the targets with their ratios."""
    rows = []
    for name, own in found.items():
        for kind, loads in own.loads.items():
            limit = [each.rate for each in found[EMPTY].loads[kind]]
            rows.append([
                f"{name}, {kind}", Spread.of(each.rate for each in loads).text(0),
                ratio([each.rate for each in loads], limit).text(), Spread.of(each.p50 for each in loads).text(1),
                Spread.of(each.p99 for each in loads).text(1), Spread.of(own.memory).text(0),
                Spread.of(own.start).text(1),
            ])  # fmt: skip
    header = ["", "requests/s", "x empty", "p50, ms", "p99, ms", "memory, MiB", "start, s"]
    show(f"One worker, {CLIENTS} connections, median (least..greatest)", header, rows)

    def beside(kind: str, peer: str, figure: Callable[[Load], float]) -> Spread:
        return ratio(*([figure(each) for each in found[who].loads[kind]] for who in (OURS, peer)))

    targets = [(f"{kind}, ours : {peer}", beside(kind, peer, lambda each: each.rate), at) for kind, peer, at in TARGETS]
    slow = [
        (f"p99 {kind}, {EMPTY} : ours", beside(kind, EMPTY, lambda each: 1 / each.p99), 0.5)
        for kind in (STATION, SEQUENCE)
    ]
    return targets + slow


def main() -> None:
    made = parser(__doc__, rounds=3)
    made.add_argument("--requests", type=int, default=4000, help="of each kind in a round (default: %(default)s)")
    options: argparse.Namespace = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
        home = Path(folder) / "home"
        make_home(home)
        current = released(home, "noaa")
        assert current is not None
        assert current.manifest.graphs.sequence is not None
        everybody = contenders(Path(folder), current, [0.0] * len(current.manifest.graphs.sequence.features))
        found = measure(home, everybody, options.rounds, options.requests)
        rates = batches(home, current, everybody[OURS], options.rounds)
    targets = show_all(found)
    alone = rates["onnxruntime alone"]
    show(
        f"{ROWS:,} sequences in batches of {BATCH}",
        ["", "rows/s", "x onnxruntime alone"],
        [[name, Spread.of(own).text(0), ratio(own, alone).text(3)] for name, own in rates.items()],
    )
    targets += [
        (f"batch in {name}, rows a second : onnxruntime alone", ratio(rates[name], alone), 0.5)
        for name in ("JSON", "Arrow")
    ]
    rows = [[name, own.text(), f">= {at:g}", verdict(own.median >= at)] for name, own, at in targets]
    show("Targets", ["", "median (least..greatest)", "target", ""], rows)


if __name__ == "__main__":
    main()
