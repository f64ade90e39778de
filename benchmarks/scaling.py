"""Cost grows linearly with readings: raw, bronze, silver and windows at 1, 10 and 100 times the recorded readings.

The recorded year is repeated in earlier years (and, in one size, at ten times the stations), written as one CSV, and
taken to clean hourly grids three ways, each in a fresh process: by the platform's domain functions and lake, as the
assets run them (every layer a Delta table), by one DuckDB statement, and by pandas (measuring/scaled.py says what the
two scripts leave out). Shown: rows a second, the most memory (RSS) in each step, and how time grew: the exponent k of
seconds ~ rows^k from the size before, where 1 is linear. Windows are made of the newest months that hold at most
`--windows` rows: 100 times would take minutes, and their cost in a longer history is what matters.
The larger sizes run fewer rounds; 100 times is 2.6 million readings.
"""

import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from measuring.processes import answer
from measuring.scaled import WAYS, Step, scaled_feed, write
from measuring.spread import Spread, parser, ratio
from measuring.table import show

OURS, PEERS = "ours", ("duckdb", "pandas")
COMPARED = ("raw", "bronze", "silver")  # what the scripts do, too


class Size(NamedTuple):
    """How often the recorded year and its stations are repeated; a size runs `rounds` // `shared` rounds."""

    years: int
    groups: int
    shared: int

    @property
    def name(self) -> str:
        return f"{self.years * self.groups}x, {self.years} year{'s' * (self.years > 1)}, {3 * self.groups} stations"


SIZES = (Size(1, 1, 1), Size(1, 10, 2), Size(10, 1, 2), Size(100, 1, 3))
WINDOWS_OF_MANY = 30_000  # rows of windows where there are many stations

Measured = dict[str, list[list[Step]]]


def measure(size: Size, rounds: int, most: int, folder: Path) -> tuple[int, Measured]:
    """Readings, and the steps of each way, a round after the other."""
    source = folder / f"{size.years}-{size.groups}.csv"
    readings = write(size.years, size.groups, source)
    most = min(most, WINDOWS_OF_MANY) if size.groups > 1 else most
    found: Measured = {way: [] for way in WAYS}
    for _ in range(max(1, rounds // size.shared)):
        for way in WAYS:
            arguments = [way, str(size.years), str(size.groups), str(source), str(most)]
            told = answer([__file__, "--child", *arguments])
            found[way].append([Step(*step) for step in told])
    source.unlink()
    return readings, found


def child(way: str, years: str, groups: str, source: str, most: str) -> None:
    """One way at one size, as JSON."""
    with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
        steps = WAYS[way](scaled_feed(int(years), int(groups), Path(source)), Path(folder), int(most))
    print(json.dumps(steps))


def exponent(rows: float, seconds: float, rows_before: float, seconds_before: float) -> float:
    """k of seconds ~ rows^k between two sizes."""
    return math.log(seconds / seconds_before) / math.log(rows / rows_before)


def show_size(size: Size, readings: int, found: Measured, before: Measured | None) -> None:
    """One row a step of each way, and how long ours takes beside each peer."""
    rows = []
    for way, rounds in found.items():
        for at, step in enumerate(rounds[0]):
            speed = Spread.of(steps[at].rows / steps[at].seconds for steps in rounds)
            took = Spread.of(steps[at].seconds for steps in rounds)
            peak = Spread.of(steps[at].mib for steps in rounds)
            cells = [f"{step.rows:,}", took.text(2, " s"), speed.text(0), peak.text(0, " MiB"), ""]
            if before and step.rows > 2 * before[way][0][at].rows:
                old = Spread.of(steps[at].seconds for steps in before[way])
                cells[-1] = f"{exponent(step.rows, took.median, before[way][0][at].rows, old.median):.2f}"
            rows.append([f"{way}: {step.name}", *cells])
    title = f"{readings:,} readings ({size.name}), {len(found[OURS])} round(s)"
    show(title, ["", "rows out", "seconds", "rows/s", "peak memory", "exponent"], rows)
    ours = [_seconds(steps, lambda step: step.name in COMPARED) for steps in found[OURS]]
    for peer in PEERS:
        theirs = [_seconds(steps, lambda _: True) for steps in found[peer]]
        print(f"  {' + '.join(COMPARED)} takes {ratio(ours, theirs).text(1)} x {peer}'s clean grid", flush=True)


def _seconds(steps: list[Step], counts: Callable[[Step], bool]) -> float:
    return sum(step.seconds for step in steps if counts(step))


def main() -> None:
    made = parser(__doc__, rounds=3)
    made.add_argument("--windows", type=int, default=270_000, help="most rows of windows (default: %(default)s)")
    made.add_argument("--largest", type=int, default=100, help="leave out larger sizes (default: %(default)s)")
    made.add_argument("--child", nargs=5, metavar="ARG", help="run one way at one size, and print it as JSON")
    options = made.parse_args()
    if options.child:
        child(*options.child)
        return
    before: Measured | None = None
    with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
        for size in SIZES:
            if size.years * size.groups > options.largest:
                continue
            readings, found = measure(size, options.rounds, options.windows, Path(folder))
            show_size(size, readings, found, before if size.groups == 1 else None)
            before = found if size.groups == 1 else before


if __name__ == "__main__":
    main()
