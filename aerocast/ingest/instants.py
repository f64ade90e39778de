"""Parses columns of texts into instants by a feed's time format, vectorised, for whole deliveries."""

import json
from datetime import timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aerocast.common.time_format import TimeFormat
from aerocast.common.times import EPOCH, MICROSECOND, iso_duration
from aerocast.feed.declaration import Feed

_DAY = 86_400_000_000  # microseconds
_CHANGE = np.iinfo(np.int64).min  # no offset: the zone's clocks are changed on that day


class Instants:
    """Reads the times of one delivery, table by table, in its order; `lead` is how long before them a period begins.

    Of an hour that the zone's clocks repeat it remembers which station's times occurred before.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        times: TimeFormat,
        lead: timedelta = timedelta(0),  # frozen
    ) -> None:
        self._con, self._times, self._lead = con, times, lead // MICROSECOND
        self._times_before: set[tuple[object, int]] = set()

    def of(
        self, texts: pa.ChunkedArray, stations: pa.ChunkedArray, previous: pa.ChunkedArray | None = None
    ) -> pa.ChunkedArray:
        """The instant of each text, timestamp[us, UTC]; null where it names none (`TimeFormat.sql_fault` says why).

        `stations` are of the same length: who it is whose clock shows a time for the first or the second time. Of two
        instants at which it does the one in `previous` counts, if it is one of them.
        """
        has_zone = self._times.zone is not None
        wall = f", {self._times.sql_wall_time('t')} AS wall" if has_zone else ""
        self._con.register("instants_texts", pa.table({"t": texts}))
        times_table = self._con.sql(
            f"SELECT {self._times.sql_instant('t')} AS time{wall} FROM instants_texts"
        ).to_arrow_table()
        self._con.unregister("instants_texts")
        times = times_table["time"].cast(pa.timestamp("us", "UTC"))
        if has_zone and times_table["wall"].null_count < len(times_table):
            wall_times = times_table["wall"].cast(pa.int64()).combine_chunks()
            return self._together(times, wall_times, stations, previous)
        return self._starts(times)

    def _together(
        self,
        times: pa.ChunkedArray,
        wall_times: pa.Int64Array,
        stations: pa.ChunkedArray,
        previous: pa.ChunkedArray | None,
    ) -> pa.ChunkedArray:
        """The instants of texts with an offset and of those of the wall clock."""
        if self._times.wall_lead:  # labels that follow the clock at the start
            on_the_wall = self._on_the_wall(wall_times, stations, previous).cast(times.type)
            return pc.coalesce(self._starts(times), on_the_wall)
        ends = previous if previous is None or not self._lead else pc.add(previous.cast(pa.int64()), self._lead)
        return self._starts(pc.coalesce(times, self._on_the_wall(wall_times, stations, ends).cast(times.type)))

    def _starts(self, times: pa.ChunkedArray) -> pa.ChunkedArray:
        return pc.subtract(times.cast(pa.int64()), self._lead).cast(times.type) if self._lead else times

    def _on_the_wall(
        self, wall_times: pa.Int64Array, stations: pa.ChunkedArray, previous: pa.ChunkedArray | None
    ) -> pa.Int64Array:
        """Microseconds since 1970 in UTC for those of the wall clock: a day at a time where its clocks run through."""
        rows_with_time = np.flatnonzero(wall_times.is_valid().to_numpy(zero_copy_only=False))
        wall = wall_times.drop_null().to_numpy()
        lead = self._times.wall_lead // MICROSECOND
        days, day = np.unique((wall - lead) // _DAY, return_inverse=True)
        offset = np.array([self._offset(int(each)) for each in days])[day]
        instants, is_known = wall - lead - offset, np.ones(len(wall), bool)
        changes = np.flatnonzero(offset == _CHANGE)
        rows = pa.array(rows_with_time[changes])
        before = [None] * len(changes) if previous is None else previous.cast(pa.int64()).take(rows).to_pylist()
        for at, station, instant_before in zip(changes, stations.take(rows).to_pylist(), before, strict=True):
            instant = self._on_a_day_of_change(int(wall[at]), station, instant_before)
            is_known[at], instants[at] = instant is not None, instant or 0
        whole, is_missing = np.zeros(len(wall_times), np.int64), np.ones(len(wall_times), bool)
        whole[rows_with_time], is_missing[rows_with_time] = instants, ~is_known
        return pa.array(whole, mask=is_missing)

    def _offset(self, day: int) -> int:
        """Microseconds that the zone's clocks are ahead of UTC all through a day, counted from 1970."""
        zone = self._times.zone
        midnights = [EPOCH + timedelta(days=each) for each in (day, day + 1) if each < 2_932_897]  # the year 10000
        before, after = (each.replace(tzinfo=zone).utcoffset() for each in (midnights[0], midnights[-1]))
        return before // MICROSECOND if before is not None and before == after else _CHANGE

    def _on_a_day_of_change(self, wall: int, station: object, instant_before: int | None) -> int | None:
        wall_clock = (EPOCH + wall * MICROSECOND).replace(tzinfo=None)
        earlier, later = (self._times.from_wall_clock(wall_clock, again=again) for again in (False, True))
        if earlier is None or later is None:
            return None
        again = {"first": False, "second": True}.get(self._times.repeated, (station, wall) in self._times_before)
        if earlier != later:
            self._times_before.add((station, wall))
        both = [(each - EPOCH) // MICROSECOND for each in (earlier, later)]
        return instant_before if instant_before in both and self._times.repeated == "order" else both[again]


def instants_of(con: duckdb.DuckDBPyConnection, feed: Feed) -> Instants:
    """A reader of the times of one delivery of the feed."""
    return Instants(con, feed.source.times, _lead(feed))


def _lead(feed: Feed) -> timedelta:
    """How long before its time a reading's period begins; nothing where times mark the start."""
    source = feed.source
    if source.time_marks == "end":
        return source.time_period or feed.cadence
    return source.wall_lead


def time_declaration(feed: Feed) -> str | None:
    """What of a declaration decides which instant a text is: with another one the same texts are read again."""
    source = feed.source
    names = {"time_format", "repeated_hour", "skipped_hour", "time_marks"}
    parts = source.model_dump(mode="json", include=names, exclude_defaults=True)
    if ahead := _lead(feed):
        parts["lead"] = iso_duration(ahead)
    return f"{source.timezone} {json.dumps(parts, sort_keys=True)}" if parts else source.timezone
