"""The main job as one plain script would do it: pandas from file to grid, then the same training, and nothing else.

No tables, no Dagster, no MLflow, no release, no server: what is left is the least that the job can cost. Cleaning is
what people write by hand: duplicates out, values outside their range and jumps up and back out, gaps filled forward.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pandas as pd

from aerocast.common.units import conversion
from aerocast.features.grid import Grid, WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.feed.model_kind import SEQUENCE
from aerocast.ingest.sources.csv import CsvSource
from aerocast.models.inference import forecast
from aerocast.models.splits import Role
from aerocast.models.trainer import roles, train
from aerocast.promotion.scoring import Score, score
from aerocast.tables import training
from aerocast_assets.feeds import find_feed

Result = TypeVar("Result")


def job(name: str) -> dict[str, float]:
    """Seconds of each step of the feed's main job, first target."""
    import duckdb

    feed, took = find_feed(name), dict[str, float]()

    def lap(step: str, work: Callable[[], Result]) -> Result:
        began = time.perf_counter()
        result = work()
        took[step] = time.perf_counter() - began
        return result

    target = feed.targets[0]
    spec = WindowSpec.of(feed, target)
    grids = lap("read, clean, grid", lambda: regular(feed, cleaned(feed)))
    months = sorted({str(month) for grid in grids.values() for month in np.unique(grid.time.astype("datetime64[M]"))})
    table = lap("windows", lambda: training.table(spec, grids, months))
    graphs = {}
    with duckdb.connect() as con:
        con.register("windows", table)
        for kind in (*feed.candidates, SEQUENCE):
            trained = lap(kind, lambda kind=kind: train(feed, target, kind, con.table("windows"), _silent))
            graphs[kind] = trained.graph
        samples = training.load(spec, con.table("windows"))
    lap("scores", lambda: _scores(feed, spec, samples, graphs))
    return took


def cleaned(feed: Feed) -> pd.DataFrame:
    """Readings in canonical units, columns `station`, `time` and the feed's; what is not credible is null."""
    source = feed.source
    assert isinstance(source, CsvSource)
    fields = {source.station_field: "station", source.time_field: "time"}
    fields |= {column.field: column.name for column in feed.columns}
    frame = pd.read_csv(source.locate(), usecols=list(fields), na_values=list(source.missing)).rename(columns=fields)
    frame["time"] = pd.to_datetime(frame["time"], utc=True)
    frame = frame.drop_duplicates(["station", "time"], keep="last").sort_values(["station", "time"])
    frame = frame[frame["station"].isin(feed.station_ids)]
    for column in feed.columns:
        factor, offset = conversion(column.source_unit, column.unit)
        values = frame[column.name] * factor + offset
        values = values.where(values.between(*column.range))
        if column.max_step is not None:
            own = values.dropna().groupby(frame["station"])
            before, after = values - own.shift(1), values - own.shift(-1)
            jumped = (before.abs() > column.max_step) & (after.abs() > column.max_step) & (before * after > 0)
            values = values.mask(jumped)
        frame[column.name] = values
    return frame


def regular(feed: Feed, frame: pd.DataFrame) -> dict[str, Grid]:
    """Each station's regular grid, gaps filled forward within the feed's policy, with the age of each value."""
    index = pd.date_range(frame["time"].min(), frame["time"].max(), freq=pd.Timedelta(feed.cadence))
    steps = np.arange(len(index))[:, None]
    grids = {}
    for station, own in frame.groupby("station"):
        rows = own.set_index("time").drop(columns="station").reindex(index)[[column.name for column in feed.columns]]
        for vector in feed.vectors:
            speed, angle = rows[vector.speed], np.deg2rad(rows[vector.direction])
            rows[f"{vector.name}_u"] = (-speed * np.sin(angle)).mask(speed == 0, 0.0)
            rows[f"{vector.name}_v"] = (-speed * np.cos(angle)).mask(speed == 0, 0.0)
        measured = rows.notna().to_numpy()
        filled = rows.ffill(limit=feed.gap_policy.max_steps)
        newest = np.maximum.accumulate(np.where(measured, steps, -1), axis=0)
        age = np.where(filled.notna(), steps - newest, np.nan)
        times = index.tz_localize(None).to_numpy().astype("datetime64[s]")
        values = filled.to_numpy(dtype=np.float32)
        grids[str(station)] = Grid(str(station), times, tuple(rows.columns), values, age.astype(np.float32))
    return grids


def _scores(feed: Feed, spec: WindowSpec, samples: training.Samples, graphs: dict[str, bytes]) -> list[Score]:
    test = samples.take(roles(feed, spec, samples) == Role.TEST)
    forecasts = {kind: forecast(graph, test.rows.x, test.names) for kind, graph in graphs.items() if kind != SEQUENCE}
    return score(forecasts, test.rows.y, test.station, spec.horizons)


def _silent(_step: int, _metrics: object) -> None:
    """A plain script logs nothing."""
