"""The table of anomalies: what is new is looked at once, and comes to the same however it is cut into runs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from aerocast.common.sql import timestamptz
from aerocast.contracts import anomalies as state
from aerocast.contracts.anomalies import Anomaly
from aerocast.contracts.drift_state import Fault
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.lake.fingerprints import NO_EDGES
from aerocast.monitoring.anomalies.update import FIRST, Update, read, update
from aerocast.tables import faults
from tests.factories.drift import set_clock
from tests.factories.feeds import START, small_feed, write_readings
from tests.factories.layers import make_layers

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOURS = 24 * 60
END = START + HOURS * HOUR
ODD = END - 5 * DAY + 3 * HOUR  # where temperature is off for some hours


class World:
    """Silver of two stations, of which each run sees a part."""

    def __init__(self, con: duckdb.DuckDBPyConnection, folder: Path, home: Path) -> None:
        self.con, self.home, self.lake = con, home, Lake(home)
        self.feed: Feed = small_feed(write_readings(folder / "readings.csv", hours=HOURS), end=None)
        make_layers(con, self.lake, self.feed, END)
        con.execute("SET TimeZone = 'UTC'")
        self.silver: pa.Table = self.lake.relation(con, "small/silver").to_arrow_table()

    def off(self, stations: Sequence[str], degrees: float = 40, hours: int = 6) -> None:
        """Temperature is off at these stations."""
        table = self.silver
        value = table["temperature"].to_numpy(zero_copy_only=False).copy()
        time = table["time"].to_numpy().astype("datetime64[s]")
        start = np.datetime64(ODD.replace(tzinfo=None), "s")
        odd = (time >= start) & (time < start + np.timedelta64(hours, "h"))
        value[odd & np.isin(table["station"].to_numpy(zero_copy_only=False), stations)] += degrees
        at = table.column_names.index("temperature")
        self.silver = table.set_column(at, "temperature", pa.array(value, table.schema.field("temperature").type))

    def update(self, until: datetime = END, *, force: bool = False) -> Update:
        """A run when silver goes so far."""
        set_clock(self.home, self.feed, until)
        rows = self.con.from_arrow(self.silver).filter(f"time < {timestamptz(until)}")
        months = [month for (month,) in rows.aggregate("month").fetchall()]
        self.lake.replace("small/silver", rows, months, edges=NO_EDGES)
        return update(self.con, self.lake, self.home, self.feed, force=force)

    def stored(self) -> list[Anomaly]:
        return read(self.con, self.lake, "small/anomalies", self.lake.months("small/anomalies"))


@pytest.fixture
def world(con: duckdb.DuckDBPyConnection, tmp_path: Path, home: Path) -> World:
    return World(con, tmp_path, home)


def at_odd(events: Sequence[Anomaly]) -> list[Anomaly]:
    return [each for each in events if each.start <= ODD + HOUR and each.last >= ODD]


def test_event_has_place_time_columns_and_a_sentence(world: World) -> None:
    world.off(["BBB"])
    events = at_odd(world.update().state.events)
    (event,) = [each for each in events if each.station == "BBB"]
    assert event.start in (ODD, ODD + HOUR)
    assert event.end == event.last + HOUR
    assert event.severity >= 3
    assert max(event.columns, key=lambda name: event.columns[name]) == "temperature"
    assert "temperature" in event.detail
    assert "degF" in event.detail
    assert (event.cause, event.others) == ("unknown", 1)


def test_event_lasts_while_the_newest_hours_are_surprising(world: World) -> None:
    world.off(["BBB"])
    (event,) = [each for each in at_odd(world.update(ODD + 2 * HOUR).state.open()) if each.station == "BBB"]
    assert event.end is None


def test_what_other_stations_saw_is_weather(world: World) -> None:
    world.off(["AAA", "BBB"])
    events = at_odd(world.update().state.events)
    assert {"AAA", "BBB"} == {each.station for each in events}
    assert "weather" in {each.cause for each in events}


def test_cause_is_a_fault_as_soon_as_it_is_diagnosed(world: World) -> None:
    world.off(["BBB"])
    world.update()
    fault = Fault("BBB", "temperature", "spikes", ODD, ODD + 6 * HOUR, "isolated readings stand out")
    world.lake.overwrite("small/faults", faults.to_table([fault]))
    after = world.update()
    assert [each.cause for each in at_odd(after.state.events) if each.station == "BBB"] == ["sensor_fault"]
    assert [each.cause for each in at_odd(world.stored()) if each.station == "BBB"] == ["sensor_fault"]
    assert after.steps == 0, "no step is looked at again"


def test_runs_in_parts_come_to_the_same_and_later_steps_change_nothing_before(
    world: World, tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    world.off(["BBB"])
    other_home = tmp_path / "other"
    other_home.mkdir()
    folder = tmp_path / "again"
    folder.mkdir()
    other = World(con, folder, other_home)
    other.silver = world.silver
    first = END - 8 * DAY
    for until in (first, first + HOUR, ODD + 2 * HOUR, ODD + 2 * DAY, END):
        world.update(until)
    for until in (first, END):
        other.update(until)
    mine, whole = state.document(world.home, "small").read(), state.document(other.home, "small").read()
    assert mine is not None
    assert whole is not None
    assert [each.key for each in mine.events] == [each.key for each in whole.events]
    for one, two in zip(mine.events, whole.events, strict=True):
        assert (one.last, one.peak, one.end, one.alarms) == (two.last, two.peak, two.end, two.alarms)
        assert one.severity == pytest.approx(two.severity, abs=1e-6)
    assert world.stored() == list(mine.events)


def test_same_tables_are_not_looked_at_again(world: World) -> None:
    world.off(["BBB"])
    first = world.update()
    commits = world.lake.version("small/anomalies")
    again = world.update()
    assert first.steps == 2 * (FIRST // HOUR)
    assert (again.steps, again.months, again.state, again.version) == (0, (), first.state, first.version)
    assert world.lake.version("small/anomalies") == commits


def test_force_makes_events_again_from_corrected_steps(world: World) -> None:
    correct = world.silver
    world.off(["BBB"])
    assert [each for each in at_odd(world.update().state.events) if each.station == "BBB"]
    world.silver = correct
    assert [each for each in at_odd(world.update().state.events) if each.station == "BBB"], "what was seen stays"
    assert not [each for each in at_odd(world.update(force=True).state.events) if each.severity > 4]
    assert not [each for each in at_odd(world.stored()) if each.severity > 4]


def test_home_without_silver_has_no_anomalies(con: duckdb.DuckDBPyConnection, tmp_path: Path, home: Path) -> None:
    feed = small_feed(tmp_path / "absent.csv", end=None)
    done = update(con, Lake(home), home, feed)
    assert (done.steps, done.state.events, done.state.newest) == (0, (), {})
