"""Changes of unit seen on single readings: false alarms on real records, and how many of injected ones are found.

Every numeric column of real records (in `AEROCAST_TEST_DATA`, default `../shared/data`) is read as it is: what is found
there is a false alarm. Then, at random places, 60 readings are put into another unit of the column's dimension and
rounded as the record is; found means with the right unit and from the right reading on. Beside it, on the same
readings, the plain rule that people write first: a step larger than is credible.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from measuring.spread import parser
from measuring.table import show

from aerocast.feed.column import Column
from aerocast.ingest.sources.csv import CsvSource
from aerocast.monitoring.drift.conversions import mistakes
from aerocast.monitoring.drift.jumps import Series, unit_jumps
from aerocast_assets.feeds import find_feed

DATA = Path(os.environ.get("AEROCAST_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
LENGTH = 60  # readings in the other unit
AROUND = 50


class Record(NamedTuple):
    """One column of one station: its readings, the feed's step, and the decimals it is kept with."""

    name: str
    column: Column
    cadence: timedelta
    series: Series
    decimals: int


def column(name: str, unit: str, step: float) -> Column:
    return Column(name=name, field=name, source_unit=unit, unit=unit, range=(-1e9, 1e9), max_step=step)


HOURLY = (
    column("temp", "degF", 25), column("dewp", "degF", 30), column("humid", "percent", 40),
    column("wind_speed", "mph", 40), column("pressure", "hPa", 15),
)  # fmt: skip
FIVE_MINUTES = (column("temp_f", "degF", 20), column("rh_pct", "percent", 40), column("wind_mph", "mph", 40))
BEIJING = (column("temp", "degC", 12), column("pres", "hPa", 15), column("wspm", "m/s", 15))


def records() -> Iterator[Record]:
    """What there is to read; a record that is absent is left out, and named."""
    hour, minutes = timedelta(hours=1), timedelta(minutes=5)
    source = find_feed("noaa").source
    assert isinstance(source, CsvSource)
    airports = pd.read_csv(source.locate())
    for station, rows in airports.groupby("origin"):
        yield from _columns(f"noaa {station}", rows, "time_hour", hour, HOURLY)
    for name, file, time, cadence, columns in (
        ("Madison", "kmsn_asos_5min_2016/KMSN_201603_201611.parquet", "time_utc", minutes, FIVE_MINUTES),
        ("Portland", "pnw_asos_2014/PDX_2014.parquet", "time_utc", hour, HOURLY),
        ("Beijing", "beijing_multisite/Tiantan.parquet", "time_local", hour, BEIJING),
    ):
        if (DATA / file).exists():
            yield from _columns(name, pd.read_parquet(DATA / file).rename(columns=str.lower), time, cadence, columns)
        else:
            print(f"left out, not there: {file}")


def _columns(name: str, rows: Any, time: str, cadence: timedelta, columns: tuple[Column, ...]) -> Iterator[Record]:
    placed = rows.assign(at=pd.to_datetime(rows[time], utc=True).dt.tz_localize(None)).sort_values("at")
    for each in columns:
        known = placed.drop_duplicates("at").dropna(subset=[each.name])
        series = Series(known["at"].to_numpy("datetime64[us]"), known[each.name].to_numpy(float))
        whole = np.allclose(series.value[:500], np.round(series.value[:500]))
        yield Record(f"{name} {each.name}", each, cadence, series, 0 if whole else 1)


def _feed(record: Record) -> Any:
    """All that the rule reads of a feed."""
    return SimpleNamespace(cadence=record.cadence)


def steps(record: Record, value: np.ndarray) -> int:
    """How often the plain rule speaks: neighbours within an hour further apart than is credible."""
    near = np.diff(record.series.time) <= np.timedelta64(1, "h")
    return int((near & (np.abs(np.diff(value)) > (record.column.max_step or 0))).sum())


def injected(record: Record, unit: tuple[str, float, float], trials: int, rng: np.random.Generator) -> int:
    """How many of the trials are found, with unit and instant."""
    other, factor, offset = unit
    found, feed = 0, _feed(record)
    for at in rng.integers(AROUND, len(record.series.value) - LENGTH - AROUND, trials):
        part = slice(at - AROUND, at + LENGTH + AROUND)
        value = record.series.value[part].copy()
        wrong = slice(AROUND, AROUND + LENGTH)
        value[wrong] = np.round((value[wrong] - offset) / factor, record.decimals)
        series = Series(record.series.time[part], value)
        faults = unit_jumps(feed, record.column, "S", series)
        begun = pd.Timestamp(series.time[AROUND], tz="UTC")
        found += any(fault.start == begun and f" {other} " in fault.detail for fault in faults)
    return found


def main() -> None:
    options = parser(__doc__, rounds=60).parse_args()
    rng, rows, readings, alarms, plain = np.random.default_rng(0), [], 0, 0, 0
    for record in records():
        feed = _feed(record)
        false = unit_jumps(feed, record.column, "S", record.series)
        loud = steps(record, record.series.value)
        readings, alarms, plain = readings + len(record.series.value), alarms + len(false), plain + loud
        units = mistakes(record.column.source_unit, record.column.unit)
        shares = {unit[0]: injected(record, unit, options.rounds, rng) / options.rounds for unit in units}
        told = ", ".join(f"{other} {share:.0%}" for other, share in shares.items())
        rows.append([record.name, f"{len(record.series.value):,}", str(len(false)), str(loud), told])
    title = f"{options.rounds} injected changes a unit"
    show(title, ["", "readings", "false alarms", "a plain step rule's", "found"], rows)
    print(f"  {alarms} false alarms in {readings:,} real readings; a plain step rule has {plain}")


if __name__ == "__main__":
    main()
