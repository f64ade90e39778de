"""Stations that joined a feed by their first reading, as many as its declaration leaves places for.

`<feed>/stations` holds them in the order in which they joined. A station stays once it has joined, so no sender can
push another one out, and a sender of random names fills the declared places and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aerocast.common.sql import literal, timestamptz
from aerocast.feed.station import LONGEST_ID, Station, is_id
from aerocast.tables.quality import readings
from aerocast.tables.raw import MALFORMED, WITHDRAWAL

if TYPE_CHECKING:
    import duckdb

    from aerocast.feed.declaration import Feed
    from aerocast.lake import Lake, LakeReader

_PAGE = 1000  # names at a time: a sender may have sent any number of them


def read(con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed) -> tuple[str, ...]:
    """The stations that have joined, in their order, without those that are declared by now."""
    name = f"{feed.name}/stations"
    if not feed.open_stations or not lake.exists(name):
        return ()
    rows = lake.relation(con, name).order("place").limit(feed.open_stations).project("station").fetchall()
    return tuple(station for (station,) in rows if station not in feed.station_ids)


def complete(feed: Feed, stations: Sequence[str]) -> Feed:
    """The feed with these stations beside the declared ones, by the clock of the first of those."""
    more = tuple(Station(id=each, timezone=feed.stations[0].timezone) for each in stations)
    return feed.model_copy(update={"stations": (*feed.stations, *more)}) if more else feed


def admit(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, months: Sequence[str]) -> list[str]:
    """Lets stations join whose readings in these months of raw are the first, while there are places; returns them.

    Raises:
        AeroCastError: the tables cannot be read or written.
    """
    raw, name = f"{feed.name}/raw", f"{feed.name}/stations"
    if not feed.open_stations or not lake.exists(raw):
        return []
    members = (
        [station for (station,) in lake.relation(con, name).order("place").project("station").fetchall()]
        if lake.exists(name)
        else []
    )
    lake.relation(con, raw, months).create_view("roster_raw", replace=True)
    others = ", ".join(map(literal, (*feed.station_ids, *members)))
    new = con.execute(f"""
        SELECT id FROM (SELECT {readings.station(feed)} AS id, time, flags, delivery, line FROM roster_raw r)
        WHERE id NOT IN ({others}) AND length(id) <= {LONGEST_ID}
            AND coalesce(flags <> {literal(WITHDRAWAL)} AND NOT starts_with(flags, {literal(MALFORMED)}), true)
            AND time >= {timestamptz(feed.start)}
        GROUP BY id ORDER BY min((delivery, line))""")
    free, joined = feed.open_stations - len(members), list[str]()
    while free > len(joined) and (page := new.fetchmany(_PAGE)):
        joined += [station for (station,) in page if is_id(station)]
    joined = joined[: max(0, free)]
    if not joined:
        return []
    values = ", ".join(f"({place}, {literal(station)})" for place, station in enumerate([*members, *joined]))
    lake.overwrite(name, con.sql(f"SELECT place, station FROM (VALUES {values}) v(place, station)"))
    return joined
