"""Raw to silver to windows at 1, 10 and 100 million generated readings, beside DuckDB, pandas and PySpark by hand.

Readings are generated into raw, a Delta table, which is not timed (measuring/generated.py says what they are like: 5
stations over 2 years, 16 over 6, 50 over 19). From the same files each way makes bronze, quarantine, the hourly grid
and the table of windows, in a fresh process, one way after the other in each round: `ours` by the domain functions and
the lake as the assets run them; `duckdb`, the limit, one script in SQL; `pandas`; `pyspark` on two cores in an
environment of its own. The peers write plain Parquet: no versions, no marks, nothing that survives a kill. All judge
value by value, and merge deliveries column by column. Rows, values in quarantine by rule and column, bronze's flags and
sums of every column that they wrote are compared, and the benchmark fails where they differ. Seconds are the work
alone: no imports, no table of units, no start of Spark; `of a core` is what was used of all cores together. Peak
memory is the process's (RSS), of Spark its JVM's too. The exponent k of seconds ~ rows^k is from the size before: 1 is
linear. Then come the doors (measuring/doors.py): observations acknowledged a second through HTTP and through each
broker; `--rows=` measures them alone. The largest size takes about 12 GB of the folder for temporary files, and half an
hour.
"""

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from measuring import doors, spark
from measuring.contest import LAYERS, Totals, differences, job, kept, stored, totals
from measuring.generated import SIZES, Size, folder_size, generate, generated_feed
from measuring.processes import answer, peak_mib
from measuring.spread import Spread, parser, ratio
from measuring.table import show, verdict

WAYS = ("ours", "duckdb", "pandas", "pyspark")
LIMIT, FASTER, MOST = 1.5, 5.0, 4096.0  # of the limit's time, than the others, MiB of ours


class Run(NamedTuple):
    """One way, once: wall seconds, and those of all cores; `steps` are ours alone, name -> rows, seconds."""

    seconds: float
    busy: float
    mib: float
    steps: dict[str, tuple[int, float]]


Found = dict[str, list[Run]]


class Peers(NamedTuple):
    """The largest size, in millions, that a way runs; the Python with PySpark or why there is none; seconds for it."""

    largest: dict[str, int]
    python: Path | str
    patience: float


def child(way: str, millions: int, home: Path, out: Path) -> Run:
    """One way in this process."""
    from aerocast.lake import Lake

    feed = generated_feed(SIZES[millions])
    if way == "ours":
        from measuring.ingesting import exported, load, ours

        load(home)
        busy = time.process_time()
        steps = ours(feed, home)
        busy = time.process_time() - busy
        all_steps = [*steps, exported(feed, home)]
        shown = {step.name: (step.rows, step.seconds) for step in all_steps}
        return Run(sum(step.seconds for step in steps), busy, max(step.mib for step in all_steps), shown)
    from measuring import by_duckdb, by_pandas

    told, work = job(feed, Lake(home)), {"duckdb": by_duckdb.run, "pandas": by_pandas.run}[way]
    began, busy = time.perf_counter(), time.process_time()
    work(told, out)
    return Run(time.perf_counter() - began, time.process_time() - busy, peak_mib(), {})


class Contest:
    """One size: raw made once, every way in turn, and each one's tables compared with ours."""

    def __init__(self, millions: int, folder: Path, peers: Peers) -> None:
        from aerocast.lake import Lake

        self.millions, self.home, self.out, self.peers = millions, folder, folder / "out", peers
        self.feed, self.lake = generated_feed(SIZES[millions]), Lake(folder)
        began = time.perf_counter()
        self.readings = generate(self.lake, self.feed)
        size = folder_size(folder) / 1e6
        print(f"\n{self.readings:,} readings made in {time.perf_counter() - began:.0f} s, {size:,.0f} MB", flush=True)
        self.ours: Totals = {}

    def measure(self, way: str) -> Run:
        """Raises SystemExit if the way did not do what ours did, spark.Missing if it could not be done."""
        for layer in LAYERS if way == "ours" else ():
            shutil.rmtree(self.home / "lake" / "bench" / layer, ignore_errors=True)
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        found = self._spark() if way == "pyspark" else self._python(way)
        if way == "ours":
            self.ours = totals(self.feed, kept(self.lake))
        elif different := differences(self.ours, totals(self.feed, stored(self.out))):
            raise SystemExit("\n".join([f"{way} and ours differ:", *different[:20]]))
        shutil.rmtree(self.out)
        return found

    def _python(self, way: str) -> Run:
        arguments = [__file__, "--child", way, str(self.millions), str(self.home), str(self.out)]
        return Run(*answer(arguments))

    def _spark(self) -> Run:
        if isinstance(self.peers.python, str):
            raise spark.Missing(f"not installed: {self.peers.python}")
        told = self.home / "job.json"
        told.write_text(json.dumps(job(self.feed, self.lake)))
        done = spark.run(self.peers.python, told, self.out, self.peers.patience)
        return Run(done["seconds"], done["busy"], done["mib"], {})


def exponent(rows: float, seconds: float, rows_before: float, seconds_before: float) -> float:
    """k of seconds ~ rows^k between two sizes."""
    return math.log(seconds / seconds_before) / math.log(rows / rows_before)


def show_size(
    size: Size, readings: int, found: Found, absent: dict[str, str], before: tuple[int, Found] | None
) -> None:
    """A row a way, ours step by step below it, and how ours stands to each peer."""
    rows = [_row(way, readings, found[way], before) for way in found]
    rows += [[f"{way}: {why}", *[""] * 6] for way, why in absent.items()]
    for name in found["ours"][0].steps:
        took = Spread.of(run.steps[name][1] for run in found["ours"])
        rows.append([f"  ours: {name}", took.text(2, " s"), *[""] * 4, f"{found['ours'][0].steps[name][0]:,}"])
    header = ["", "seconds", "of a core", "readings/s", "peak memory", "exponent", "rows out"]
    show(f"{readings:,} readings ({size.name}), {len(found['ours'])} round(s)", header, rows)
    ours = [run.seconds for run in found["ours"]]
    for way in [way for way in found if way != "ours"]:
        theirs = [run.seconds for run in found[way]]
        if way == "duckdb":
            took = ratio(ours, theirs)
            print(f"  ours takes {took.text(2)} x duckdb's time: {LIMIT:g} is {verdict(took.median <= LIMIT)}")
        else:
            won = ratio(theirs, ours[: len(theirs)])
            print(f"  ours is {won.text(1)} x as fast as {way}: {FASTER:g} is {verdict(won.median >= FASTER)}")
    most = max(run.mib for run in found["ours"])
    print(f"  ours holds at most {most:,.0f} MiB: under {MOST:,.0f} is {verdict(most < MOST)}", flush=True)


def _row(way: str, readings: int, runs: list[Run], before: tuple[int, Found] | None) -> list[str]:
    took, speed = Spread.of(run.seconds for run in runs), Spread.of(readings / run.seconds for run in runs)
    grown = ""
    if before and way in before[1]:
        grown = f"{exponent(readings, took.median, before[0], Spread.of(r.seconds for r in before[1][way]).median):.2f}"
    busy, peak = Spread.of(run.busy for run in runs), Spread.of(run.mib for run in runs)
    return [way, took.text(2, " s"), busy.text(1, " s"), speed.text(0), peak.text(0, " MiB"), grown, ""]


def contest(millions: int, rounds: int, peers: Peers) -> tuple[int, Found, dict[str, str]]:
    """Readings, the runs of each way, and why others are absent."""
    found: Found = {}
    absent = {way: f"not run above {most} million" for way, most in peers.largest.items() if millions > most}
    with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
        made = Contest(millions, Path(folder), peers)
        for _ in range(rounds):
            for way in WAYS:
                once = way == "pyspark" and millions > 1 and way in found  # many minutes a run
                if way in absent or once:
                    continue
                try:
                    found.setdefault(way, []).append(made.measure(way))
                    print(f"  {way}: {found[way][-1].seconds:.1f} s", flush=True)
                except spark.Missing as missing:
                    absent[way] = str(missing)
                    found.pop(way, None)
    return made.readings, found, absent


def peers(options: argparse.Namespace, smallest: float) -> Peers:
    """Who takes part; PySpark is looked for only if some size is small enough."""
    python: Path | str = "no size is small enough"
    if smallest <= options.pyspark:
        try:
            python = spark.interpreter(options.spark_env)
        except spark.Missing as missing:
            python = str(missing)
    return Peers({"pandas": options.pandas, "pyspark": options.pyspark}, python, options.patience)


def main() -> None:
    made = parser(__doc__, rounds=3)
    made.add_argument("--rows", default="1,10,100", help="sizes in millions (default: %(default)s)")
    made.add_argument("--pandas", type=int, default=100, help="largest size for pandas (default: %(default)s)")
    made.add_argument("--pyspark", type=int, default=10, help="largest size for PySpark (default: %(default)s)")
    made.add_argument("--patience", type=float, default=3600, help="seconds for PySpark (default: %(default)s)")
    cache = Path(tempfile.gettempdir()) / "aerocast-bench-pyspark"
    made.add_argument("--spark-env", type=Path, default=cache, help="PySpark's environment (default: %(default)s)")
    made.add_argument("--doors", action=argparse.BooleanOptionalAction, default=True, help="measure the doors, too")
    made.add_argument("--child", nargs=4, metavar="ARG", help="run one way at one size, and print it as JSON")
    options = made.parse_args()
    if options.child:
        way, millions, home, out = options.child
        print(json.dumps(child(way, int(millions), Path(home), Path(out))))
        return
    sizes = [int(part) for part in options.rows.split(",") if part]
    if unknown := [size for size in sizes if size not in SIZES]:
        sys.exit(f"--rows: {unknown[0]} is none of {', '.join(map(str, SIZES))}")
    invited, before = peers(options, min(sizes, default=math.inf)), None
    for size in sizes:
        readings, found, absent = contest(size, options.rounds if size < 100 else 1, invited)
        show_size(SIZES[size], readings, found, absent, before)
        before = readings, found
    if options.doors:
        doors.measure(options.rounds)


if __name__ == "__main__":
    main()
