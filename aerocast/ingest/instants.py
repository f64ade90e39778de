"""Parses columns of texts into instants by the grammar of `aerocast.common.times`, vectorised, for whole deliveries."""

from datetime import timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aerocast.common.times import EPOCH, MICROSECOND, from_wall_clock, sql_instant, sql_wall_time, zone_of

_DAY = 86_400_000_000  # microseconds
_CHANGE = np.iinfo(np.int64).min  # no offset: the zone's clocks are changed on that day


class Instants:
    """Reads the times of one delivery, table by table, in its order; `zone` is the feed's `source.timezone`.

    Of an hour that the zone's clocks repeat it remembers which station's times occurred before: in `times_before`,
    which can be passed on where several of these read one delivery.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, zone: str | None, times_before: set[tuple[object, int]] | None = None
    ) -> None:
        self._con, self._zone = con, zone_of(zone)
        self._times_before: set[tuple[object, int]] = set() if times_before is None else times_before

    def of(
        self, texts: pa.ChunkedArray, stations: pa.ChunkedArray, previous: pa.ChunkedArray | None = None
    ) -> pa.ChunkedArray:
        """The instant of each text, timestamp[us, UTC]; null where it names none (`times.sql_fault` says why).

        `stations` are of the same length: who it is whose clock shows a time for the first or the second time. Of two
        instants at which it does the one in `known` counts, if it is one of them.
        """
        wall = f", {sql_wall_time('t')} AS wall" if self._zone else ""
        self._con.register("instants_texts", pa.table({"t": texts}))
        times_table = self._con.sql(f"SELECT {sql_instant('t')} AS time{wall} FROM instants_texts").to_arrow_table()
        self._con.unregister("instants_texts")
        times = times_table["time"].cast(pa.timestamp("us", "UTC"))
        if not self._zone or times_table["wall"].null_count == len(times_table):
            return times
        wall_times = times_table["wall"].cast(pa.int64()).combine_chunks()
        return pc.coalesce(times, self._on_the_wall(wall_times, stations, previous).cast(times.type))

    def _on_the_wall(
        self, wall_times: pa.Int64Array, stations: pa.ChunkedArray, previous: pa.ChunkedArray | None
    ) -> pa.Int64Array:
        """Microseconds since 1970 in UTC for those of the wall clock: a day at a time where its clocks run through."""
        rows_with_time = np.flatnonzero(wall_times.is_valid().to_numpy(zero_copy_only=False))
        wall = wall_times.drop_null().to_numpy()
        days, day = np.unique(wall // _DAY, return_inverse=True)
        offset = np.array([self._offset(int(each)) for each in days])[day]
        instants, is_known = wall - offset, np.ones(len(wall), bool)
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
        midnights = [EPOCH + timedelta(days=each) for each in (day, day + 1) if each < 2_932_897]  # the year 10000
        before, after = (each.replace(tzinfo=self._zone).utcoffset() for each in (midnights[0], midnights[-1]))
        return before // MICROSECOND if before is not None and before == after else _CHANGE

    def _on_a_day_of_change(self, wall: int, station: object, instant_before: int | None) -> int | None:
        assert self._zone is not None
        wall_clock = (EPOCH + wall * MICROSECOND).replace(tzinfo=None)
        earlier, later = (from_wall_clock(wall_clock, self._zone, again=again) for again in (False, True))
        if earlier is None or later is None:
            return None
        again = (station, wall) in self._times_before
        if earlier != later:
            self._times_before.add((station, wall))
        both = [(each - EPOCH) // MICROSECOND for each in (earlier, later)]
        return instant_before if instant_before in both else both[again]
