"""What the minute of asking costs: forecasts and drift on an hourly grid of real 5-minute readings (KMSN, 2016).

A linear model is trained on all hours before the newest 48 days, which judge it: nothing is tuned on them. In these
days it is asked each hour at :00, :05, :20, :40 and :55, each time from the readings that had arrived by then, through
the platform's own wholeness, silver, features and graph. A line a minute and horizon: RMSE (degF), its ratio to that at
the full hour, coverage of the 90 % interval, and persistence and seasonal naive from the same origins. Then how often
the daily examinations called concept drift in these days, in which nothing changed.

`--partial` adds what happens if the step that is not over is taken for whole. No seed: nothing here is drawn.
"""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing import get_context

os.environ["OMP_NUM_THREADS"] = "1"

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from measuring.champions import Champion, learn, rmse, utc
from measuring.series import DATA, STATION, declare
from measuring.table import show, verdict
from numpy.typing import NDArray

from aerocast.features.features import features
from aerocast.features.grid import Grid, WindowSpec
from aerocast.features.windows import valid_origins
from aerocast.feed.declaration import Feed
from aerocast.monitoring.drift.errors import Outcomes
from aerocast.monitoring.drift.examine import examine, profile, steps_needed
from aerocast.tables import silver, wholeness

MINUTES = (0, 5, 20, 40, 55)
DAYS = 48
FIELDS = {"temperature": "temp_f", "humidity": "rh_pct", "windspeed": "wind_mph"}
MOST = 1.05  # of the full hour's RMSE
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Asked:
    """Forecasts of one minute: origins and their ends (n,), levels and the ends of their intervals, less
    the levels (n, H), the baselines' levels.
    """

    minute: int
    partial: bool
    origin: NDArray[np.datetime64]
    level: Numbers
    low: Numbers
    high: Numbers
    persistence: Numbers
    seasonal: Numbers


def feed_of() -> Feed:
    units = {
        "temperature": ("degF", -60.0, 130.0),
        "humidity": ("percent", 0.0, 101.0),
        "windspeed": ("mph", 0.0, 150.0),
    }
    place = {"latitude": 43.14, "longitude": -89.35, "timezone": "America/Chicago"}
    return declare("kmsn", units, "temperature", place=place, horizons=(1, 3, 6))


def readings() -> pa.Table:
    """Bronze of the recording, oldest first."""
    stored = pq.read_table(DATA / "kmsn_asos_5min_2016" / "KMSN_201603_201611.parquet").sort_by("time_utc")
    time = stored["time_utc"].cast(pa.timestamp("us", "UTC"))
    columns = {name: stored[field].cast(pa.float64()) for name, field in FIELDS.items()}
    months = pc.strftime(time, "%Y-%m")
    return pa.table({"station": pa.repeat(STATION, len(time)), "time": time, **columns, "month": months})


def gridded(con: duckdb.DuckDBPyConnection, feed: Feed, bronze: pa.Table, extent: silver.Extent) -> Grid:
    months = pc.unique(bronze["month"]).to_pylist()
    built = silver.build(con, feed, con.from_arrow(bronze), months, extent)
    return silver.grids(con, feed, built)[STATION]


def whole(feed: Feed, bronze: pa.Table) -> Grid:
    """The grid of a recording that is over."""
    with duckdb.connect() as con:
        return gridded(con, feed, bronze, silver.Extent.of_recording(feed, *_span(bronze)))


def _span(bronze: pa.Table) -> tuple[datetime, datetime]:
    return bronze["time"][0].as_py(), bronze["time"][-1].as_py()


def ask(champion: Champion, feed: Feed, bronze: pa.Table, start: datetime, minute: int, partial: bool) -> Asked:
    """Asks each hour from `start` on at this minute, from what had arrived then."""
    spec, moments = champion.spec, bronze["time"].cast(pa.int64()).to_numpy()
    back = (spec.look_back + 2 + feed.gap_policy.max_steps) * feed.cadence
    rows, origins = [], []
    with duckdb.connect() as con:
        con.execute("SET threads = 1")
        for hour in range(DAYS * 24):
            now = start + hour * feed.cadence + timedelta(minutes=minute)
            first, after = np.searchsorted(moments, [_us(now - back), _us(now) + 1])
            seen = bronze.slice(first, after - first)
            known = wholeness.of_readings(con, feed, con.from_arrow(seen))
            extent = wholeness.extent(feed, _span(seen), known, now)
            grid = gridded(con, feed, seen, silver.Extent.of_recording(feed, *_span(seen)) if partial else extent)
            grid = grid.tail(spec.look_back)
            if at := valid_origins(spec, grid)[-1:].tolist():
                rows.append(features(spec, grid, np.array(at))[0])
                origins.append(grid.time[at[0]])
    x = np.array(rows)
    level, low, high = champion.answer(x)
    names = champion.names
    last = x[:, [names.index(f"{spec.target}_lag0")]]
    before = x[:, [names.index(f"{spec.target}_season{spec.season}_{horizon}") for horizon in spec.horizons]]
    seasonal = np.where(np.isnan(before), last, before)
    persistence = np.repeat(last, before.shape[1], axis=1)
    return Asked(minute, partial, np.array(origins), level, low, high, persistence, seasonal)


def _us(time: datetime) -> int:
    return round(time.timestamp() * 1e6)


def actual(spec: WindowSpec, history: Grid, asked: Asked) -> Numbers:
    """What was measured (n, H); NaN where it was not."""
    column = history.columns.index(spec.target)
    measured = np.where(history.age[:, column] == 0, history.values[:, column], np.nan)
    step = np.timedelta64(spec.cadence, "s")
    at = ((asked.origin - history.time[0]) // step)[:, None] + np.array(spec.horizons)
    inside = at < len(measured)
    return np.where(inside, measured[np.where(inside, at, 0)], np.nan)


def errors_of(champion: Champion, history: Grid, asked: Asked) -> list[list[str]]:
    """A row a horizon."""
    known, rows = actual(champion.spec, history, asked), []
    for at, horizon in enumerate(champion.spec.horizons):
        error = {name: rmse((known - getattr(asked, name))[:, [at]]) for name in ("level", "persistence", "seasonal")}
        own = np.isfinite(known[:, at])
        wrong = (known - asked.level)[own, at]
        inside = (asked.low[own, at] <= wrong) & (wrong <= asked.high[own, at])
        name = f":{asked.minute:02d}" + (" as if whole" if asked.partial else "")
        rows.append([name, str(horizon), *(f"{value:.3f}" for value in error.values()), f"{inside.mean():.1%}"])
    return rows


def verdicts(feed: Feed, champion: Champion, history: Grid, asked: Asked, start: np.datetime64) -> list[str]:
    """The diagnosis of each day that has outcomes enough to examine, of forecasts whose outcomes were whole by then."""
    spec, manifest = champion.spec, champion.release.manifest
    step = np.timedelta64(spec.cadence, "s")
    past = profile(feed, _until(history, start))
    due = asked.origin[:, None] + np.array(spec.horizons) * step
    errors = actual(spec, history, asked) - asked.level
    naive = actual(spec, history, asked) - asked.persistence
    said = []
    for day in range(1, DAYS + 1):
        now = start + np.timedelta64(day, "D") + np.timedelta64(asked.minute, "m")
        recent = _until(history, now - step + np.timedelta64(1, "s")).tail(steps_needed(feed))
        row, which = np.nonzero(np.isfinite(errors) & (due <= recent.time[-1]))
        order = np.lexsort((which, due[row, which]))
        row, which = row[order], which[order]
        outcomes = Outcomes(
            due[row, which],
            np.array(spec.horizons)[which],
            errors[row, which],
            asked.low[row, which],
            asked.high[row, which],
            naive[row, which],
            manifest.graphs.station.intervals.level,
        )
        diagnosis, _ = examine(feed, spec.target, STATION, outcomes, recent, past, manifest, utc(now))
        if diagnosis.coverage is not None:
            said.append(diagnosis.verdict)
    return said


def _until(history: Grid, end: np.datetime64) -> Grid:
    rows = slice(0, int(np.searchsorted(history.time, end)))
    return Grid(history.station, history.time[rows], history.columns, history.values[rows], history.age[rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partial", action="store_true", help="also as if the step that is not over were whole")
    options = parser.parse_args()
    feed, bronze = feed_of(), readings()
    history = whole(feed, bronze)
    last = history.time[-1].astype("datetime64[D]")
    begin = (last - np.timedelta64(DAYS + 1, "D")).astype("datetime64[s]")
    champion = learn(feed, _until(history, begin), None).champion
    if champion is None:
        raise SystemExit("no model beats the baselines")
    print(f"{len(bronze):,} readings, trained on {history.time[0]} to {begin}, asked for {DAYS} days from then on")
    asks = [(minute, partial) for partial in ([False, True] if options.partial else [False]) for minute in MINUTES]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        parts = [pool.submit(ask, champion, feed, bronze, utc(begin), *each) for each in asks]
        found = [part.result() for part in parts]
    report(feed, champion, history, found, begin)


def report(feed: Feed, champion: Champion, history: Grid, found: Sequence[Asked], begin: np.datetime64) -> None:
    whole_hour = errors_of(champion, history, found[0])
    rows, worst = [], 0.0
    for asked in found:
        for row, base in zip(errors_of(champion, history, asked), whole_hour, strict=True):
            ratio = float(row[2]) / float(base[2])
            worst = worst if asked.partial else max(worst, ratio)
            rows.append([*row[:3], f"{ratio:.3f}", row[5], row[3], row[4]])
    header = ["asked at", "h", "RMSE", "to :00", "covers", "persistence", "seasonal naive"]
    show(f"Forecasts of {feed.targets[0]}, {len(found[0].origin):,} a minute", header, rows)
    print(f"  the worst ratio is {worst:.3f}, target at most {MOST}: {verdict(worst <= MOST)}")
    table, drifts = [], 0
    for asked in found:
        said = verdicts(feed, champion, history, asked, begin)
        count = said.count("concept_drift")
        drifts += 0 if asked.partial else count
        name = f":{asked.minute:02d}" + (" as if whole" if asked.partial else "")
        table.append([name, str(len(said)), str(count), ", ".join(sorted(set(said)))])
    show(f"Daily examinations in {DAYS} quiet days", ["asked at", "examined", "concept drift", "verdicts"], table)
    print(f"  concept drifts: {drifts}, target 0: {verdict(drifts == 0)}")


if __name__ == "__main__":
    main()
