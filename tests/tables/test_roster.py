"""Open stations: the first reading lets one join while there are places, and a sender of names gets no more of them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.feed.station import LONGEST_ID
from aerocast.tables import roster, silver
from tests.factories.feeds import small_feed
from tests.harness.deliveries import LATER, Deliveries, refresh

pytestmark = pytest.mark.e2e  # whole deliveries, one after another

Row = dict[str, Any]


def feed(places: int, **changes: Any) -> Feed:
    return small_feed(Path("x.csv"), source={"kind": "push"}, open_stations=places, **changes)


def reading(station: str, time: str = "2024-01-05T00:00:00Z", t: float = 5.0) -> Row:
    return {"station": station, "time": time, "t": t}


def delivered(home: Path, own: Feed, *readings: Row, into: Deliveries | None = None) -> Deliveries:
    made = into or Deliveries(home, own)
    made.post(json.dumps(list(readings)).encode())
    made()
    return made


def members(made: Deliveries) -> tuple[str, ...]:
    with duckdb.connect() as con:
        return roster.read(con, made.lake, made.feed)


def test_station_joins_by_its_first_reading(home: Path) -> None:
    made = delivered(home, feed(2), reading("AAA"), reading("NEW"))
    assert members(made) == ("NEW",)
    assert {station for station, _ in made.values("temperature")} == {"AAA", "NEW"}
    assert made.rules() == {}
    assert made.taken.notes == ["NEW joined by its first reading"]


def test_closed_feed_quarantines_unknown_station(home: Path) -> None:
    made = delivered(home, feed(0), reading("AAA"), reading("NEW"))
    assert members(made) == ()
    assert made.rules() == {"unknown_station": 1}


def test_places_are_bounded_and_kept(home: Path) -> None:
    own = feed(2)
    made = delivered(home, own, reading("AAA"), *(reading(f"S{number}") for number in range(50)))
    assert members(made) == ("S0", "S1")
    assert made.rules() == {"unknown_station": 48}
    assert "stations that are declared or have joined (open_stations: 2)" in made.rows("quarantine")[0]["reason"]
    delivered(home, own, reading("S40"), reading("S1", "2024-01-05T01:00:00Z"), into=made)
    assert members(made) == ("S0", "S1")
    assert {station for station, _ in made.values("temperature")} == {"AAA", "S0", "S1"}


def test_more_places_let_those_in_who_came_before(home: Path) -> None:
    made = delivered(home, feed(1), reading("S0"), reading("S1"))
    assert made.rules() == {"unknown_station": 1}
    delivered(home, feed(5), reading("S0", "2024-01-05T01:00:00Z"), into=Deliveries(home, feed(5)))
    again = Deliveries(home, feed(5))
    again()
    assert members(again) == ("S0", "S1")
    assert again.rules() == {}


@pytest.mark.parametrize(
    "odd",
    [
        reading("x" * (LONGEST_ID + 1)),
        reading("bad id!"),
        reading("; DROP TABLE"),
        reading("OLD", "1999-01-01T00:00:00Z"),
    ],
)
def test_reading_that_no_station_could_send_takes_no_place(home: Path, odd: Row) -> None:
    made = delivered(home, feed(1), odd, reading("NEW"))
    assert members(made) == ("NEW",)


def test_declaring_a_station_that_joined_frees_no_place_for_it(home: Path) -> None:
    made = delivered(home, feed(1), reading("NEW"))
    later = feed(1, stations=[{"id": "AAA"}, {"id": "NEW"}])
    with duckdb.connect() as con:
        assert roster.read(con, made.lake, later) == ()
        assert roster.complete(later, ()).station_ids == ("AAA", "NEW")


def test_open_station_is_in_silver_where_it_sends_and_changes_nothing_before(home: Path) -> None:
    own = feed(1)
    made = delivered(home, own, reading("AAA", "2024-01-30T00:00:00Z"), reading("AAA", "2024-02-02T00:00:00Z"))
    with duckdb.connect() as con:
        refresh(con, made.lake, own, own.clock(LATER), "silver")
        before = made.lake.ledger("small/silver").content(["2024-01"])
        delivered(home, own, reading("NEW", "2024-02-02T03:00:00Z", 7.0), into=made)
        assert refresh(con, made.lake, own, own.clock(LATER), "silver") == ["2024-02"]
        assert made.lake.ledger("small/silver").content(["2024-01"]) == before
        grids = silver.grids(con, own, made.lake.relation(con, "small/silver"))
    assert set(grids) == {"AAA", "BBB", "NEW"}
    rows = [row for row in made.rows("silver") if row["station"] == "NEW"]
    assert min(row["time"] for row in rows) == datetime(2024, 2, 1, tzinfo=UTC)
    assert next(row["temperature_age"] for row in rows if row["temperature"] is not None) == 0


@settings(max_examples=10, deadline=None)
@given(
    names=st.lists(st.sampled_from([f"S{number}" for number in range(8)]), min_size=1, max_size=20),
    places=st.integers(0, 4),
)
def test_first_come_first_served(tmp_path_factory: pytest.TempPathFactory, names: list[str], places: int) -> None:
    made = Deliveries(tmp_path_factory.mktemp("home"), feed(places))
    for at, name in enumerate(names):
        made.post(json.dumps(reading(name, f"2024-01-05T{at:02}:00:00Z")).encode())
        made.take()
    assert members(made) == tuple(dict.fromkeys(names))[:places]


def test_readings_without_station_let_none_join() -> None:
    source = {"kind": "csv", "path": "x.csv", "station_field": None, "time_field": "at"}
    with pytest.raises(AeroCastError, match="open_stations: 3 is not allowed where readings name no station"):
        small_feed(Path("x.csv"), source=source, stations=[{"id": "AAA"}], open_stations=3)


def test_number_of_places_is_checked() -> None:
    with pytest.raises(AeroCastError, match="open_stations: -1 is not allowed: must be greater than or equal to 0"):
        feed(-1)
