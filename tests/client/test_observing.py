"""Readings that the client posts: what comes back, in whatever form they are sent."""

import itertools
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.client import Client, RequestRefusal
from aerocast.client.observing import MOST_OBJECTS, parts
from aerocast.contracts import tail
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import channels_of
from aerocast.ingest.channels.intake import take_all
from aerocast.lake import Lake
from aerocast.storage.settings import Settings
from aerocast.tables.silver import grids
from tests.client.conftest import feed_of
from tests.factories.releases import NAMES, STATIONS
from tests.harness.deliveries import LATER, refresh
from tests.harness.server import Server
from tests.harness.waits import until

HOUR = timedelta(hours=1)
FIELDS = dict(zip(NAMES, ("t", "w", "p"), strict=True))
FIRST = datetime(2024, 1, 2, tzinfo=UTC)
STEPS = 8
# Each example has hours of its own: a value that was delivered once is not withdrawn by a null.
HOURS = itertools.count(0, STEPS)

values = st.fixed_dictionaries(
    {
        "t": st.none() | st.integers(-30, 110).map(float),
        "w": st.none() | st.integers(0, 400).map(lambda number: number / 4),
        "p": st.none() | st.integers(900, 1050).map(float),
    }
)
# By station, the hours with a reading; the newest one is measured, so that it ends the grid.
readings = st.dictionaries(
    st.sampled_from(STATIONS),
    st.tuples(st.dictionaries(st.integers(0, STEPS - 2), values), values.filter(lambda row: row["t"] is not None)),
    min_size=1,
)


def show(home: object, feed: Feed) -> None:
    """What the platform does with posts: from the channel to the rows that the server reads."""
    lake = Lake(home)
    take_all(lake, feed, channels_of(home, feed, Settings(home=str(home))))
    with duckdb.connect() as con:
        for layer in ("bronze", "silver"):
            refresh(con, lake, feed, LATER, layer)
        silver = lake.relation(con, f"{feed.name}/silver")
        tail.write_grids(home, feed.name, grids(con, feed, silver, last=48))


@pytest.mark.e2e  # through the platform's tables to the server, a dozen times
@settings(max_examples=12, deadline=None)
@given(readings, st.sampled_from(["table", "frame", "dictionaries"]))
def test_observed_table_comes_back_as_readings(
    server: Server, hours_by_station: dict[str, tuple[dict[int, dict[str, float | None]], dict[str, float]]], form: str
) -> None:
    begin = FIRST + next(HOURS) * HOUR
    rows = [
        {"station": station, "time": begin + at * HOUR, **own}
        for station, (early, newest) in hours_by_station.items()
        for at, own in sorted({**early, STEPS - 1: newest}.items())
    ]
    types = [("station", pa.string()), ("time", pa.timestamp("us", "UTC")), *((each, pa.float64()) for each in "twp")]
    table = pa.Table.from_pylist(rows, pa.schema(types))
    feed = feed_of(server.home)
    with Client(server.url) as client:
        receipt = client.observe("noaa", {"table": table, "frame": table.to_pandas()}.get(form, rows))
        assert (receipt.accepted, receipt.duplicates, receipt.ignored) == (len(rows), 0, ())
        show(server.home, feed)
        expected = {
            (row["station"], row["time"], name): row[field]
            for row in rows
            for name, field in FIELDS.items()
            if row[field] is not None
        }

        def answered() -> dict[tuple[str, datetime, str], float]:
            return {
                (row["station"], row["time"], name): row[name]
                for row in client.readings("noaa").to_pylist()
                for name in NAMES
                if row["time"] >= begin and row[name] is not None
            }

        until(lambda: answered().keys() == expected.keys(), 30)
        assert answered() == pytest.approx(expected, abs=1e-3)


def test_same_key_is_kept_once(client: Client) -> None:
    rows = [{"station": "JFK", "time": "2024-03-01T00:00:00Z", "t": np.float32(4.5), "p": np.nan}]
    first, again = (client.observe("noaa", rows, key="gateway/7") for _ in range(2))
    assert (first.accepted, first.duplicates) == (1, 0)
    assert (again.accepted, again.duplicates, again.ids) == (1, 1, first.ids)


def test_fields_of_other_names_are_named(client: Client) -> None:
    index = pd.DatetimeIndex(["2024-03-02T00:00:00Z", "2024-03-02T01:00:00Z"], name="time")
    frame = pd.DataFrame({"station": "JFK", "t": [1.0, 2.0], "mood": [0, 1]}, index=index)
    assert client.observe("noaa", frame)[:3] == (2, 0, ("mood",))


def test_refusal_counts_from_the_first_of_all_readings(client: Client) -> None:
    whole = {"station": "JFK", "time": "2024-03-03T00:00:00Z", "t": 1}
    with pytest.raises(RequestRefusal) as found:
        client.observe("noaa", [whole] * (MOST_OBJECTS + 3) + [{**whole, "time": "noon"}])
    assert (found.value.status, found.value.index, found.value.value) == (400, MOST_OBJECTS + 3, "noon")


@pytest.mark.parametrize("rows", [[], pa.table({"station": pa.array([], pa.string())})])
def test_nothing_is_refused_by_the_server(client: Client, rows: object) -> None:
    with pytest.raises(RequestRefusal):
        client.observe("noaa", rows)


@given(st.integers(0, 200_000), st.integers(1, 40))
@settings(deadline=None, max_examples=20)
def test_parts_of_table_are_its_rows_in_order(count: int, columns: int) -> None:
    numbers = pa.array(np.arange(count, dtype=np.float64))
    table = pa.table({f"c{at}": numbers for at in range(columns)})
    own = [*parts(table)]
    assert [part.first for part in own] == sorted({part.first for part in own})
    assert max(len(part.body) for part in own) < 8 << 20
    tables = [pa.ipc.open_stream(part.body).read_all() for part in own]
    assert pa.concat_tables(tables).equals(table)


def test_value_that_json_has_no_form_for_is_named() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(TypeError, match="object is no value of a reading"):
        client.observe("small", [{"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": object()}])
