"""The newest readings of a feed's stations, step by step, as forecasts see them: what was measured, and its age."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import numpy as np
from litestar import get
from litestar.datastructures import State
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from aerocast.common.times import from_numpy
from aerocast.features.grid import Grid, Place
from serving import inputs, predictor
from serving.hot_swap import ServingStore
from serving.loading import Served
from serving.parameters import AnyStation, Feed
from serving.refusals import ABSENT

MOST_STEPS = 500
_NOWHERE = Place("", "UTC")


class ColumnReadings(Struct, frozen=True):
    """A column of one station, a value a step."""

    column: Annotated[str, Meta(examples=["temperature"])]
    unit: Annotated[str, Meta(examples=["degF"])]
    values: Annotated[
        list[float | None],
        Meta(description="What was measured, oldest first; null: nothing, whatever fills the gap."),
    ]
    age: Annotated[
        int | None,
        Meta(description="Of the value that a forecast takes, in steps; null: there is none.", examples=[0]),
    ]


class StationReadings(Struct, frozen=True):
    """The newest whole steps of a station."""

    station: Annotated[str, Meta(examples=["JFK"])]
    latitude: Annotated[float | None, Meta(description="In degrees, where it is declared.", examples=[40.6398])]
    longitude: Annotated[float | None, Meta(examples=[-73.7789])]
    newest_reading: Annotated[datetime | None, Meta(description="UTC; null: none is known.")]
    late: Annotated[bool, Meta(description="Whether that is older than the feed allows, now.")]
    times: Annotated[list[datetime], Meta(description="The steps, UTC, oldest first.")]
    columns: list[ColumnReadings]


class Readings(Struct, frozen=True):
    """The newest readings of a feed; `now` is the feed's own present."""

    feed: Annotated[str, Meta(examples=["noaa"])]
    now: datetime
    cadence_seconds: Annotated[int, Meta(description="From one step to the next.", examples=[3600])]
    freshness_seconds: Annotated[float, Meta(description="How old a newest reading may be.", examples=[21600.0])]
    stations: list[StationReadings]


@get("/readings", tags=["state"], summary="The newest readings of stations", responses=ABSENT)
async def newest_readings(
    state: State,
    feed: Feed = None,
    station: AnyStation = None,
    steps: Annotated[int, QueryParameter(ge=1, le=MOST_STEPS, description="At most so many steps.")] = 48,
) -> Readings:
    """Of each station the newest whole steps, with what was measured in them, and how old each column's value is that a
    forecast takes.

    They are in the feed's units, and passed its rules; a step that is not over yet is not there.
    """
    served = predictor.choose(state.store, feed, None, station)
    if station is not None:
        inputs.check_station(served.feed, station)
    return await asyncio.to_thread(_readings, state.store, served, station, steps)


def _readings(store: ServingStore, served: Served, station: str | None, steps: int) -> Readings:
    feed, tail, now = served.feed, store.tail(served.feed.name), store.now(served.feed)
    grids: Mapping[str, Grid] = tail.grids if tail else {}
    units = {column.name: column.unit for column in feed.columns}
    rows = []
    for each in feed.stations:
        if station in (None, each.id):
            grid, newest = grids.get(each.id), tail.newest.get(each.id) if tail else None
            reading = None if newest is None else from_numpy(newest)
            place = served.places.get(each.id, _NOWHERE)
            rows.append(
                StationReadings(
                    each.id,
                    place.latitude,
                    place.longitude,
                    reading,
                    reading is None or now - reading > feed.freshness,
                    [from_numpy(time) for time in grid.time[-steps:]] if grid else [],
                    [_column(grid.tail(steps), at, units) for at in range(len(grid.columns))] if grid else [],
                )
            )
    cadence = served.manifest.window.cadence
    return Readings(feed.name, now, cadence, feed.freshness.total_seconds(), rows)


def _column(grid: Grid, at: int, units: Mapping[str, str]) -> ColumnReadings:
    name, values, age = grid.columns[at], grid.values[:, at], grid.age[:, at]
    is_measured = (age == 0) & np.isfinite(values)
    numbers = [round(value, 4) if here else None for value, here in zip(values.tolist(), is_measured, strict=True)]
    newest = float(age[-1]) if len(age) and np.isfinite(values[-1]) and np.isfinite(age[-1]) else None
    return ColumnReadings(name, units.get(name, ""), numbers, None if newest is None else round(newest))
