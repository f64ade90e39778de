"""Columns of texts -> instants by the grammar of `aerocast.common.times`, vectorised, for whole deliveries."""

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

    Of an hour that the zone's clocks repeat it remembers which station's times were there before: in `mentioned`, which
    who reads one delivery by several of these hands from one to the next.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, zone: str | None, mentioned: set[tuple[object, int]] | None = None
    ) -> None:
        self._con, self._zone = con, zone_of(zone)
        self._mentioned: set[tuple[object, int]] = set() if mentioned is None else mentioned

    def of(
        self, texts: pa.ChunkedArray, stations: pa.ChunkedArray, known: pa.ChunkedArray | None = None
    ) -> pa.ChunkedArray:
        """The instant of each text, timestamp[us, UTC]; null where it names none (`times.sql_fault` says why).

        `stations` are of the same length: who it is whose clock shows a time for the first or the second time. Of two
        instants at which it does the one in `known` counts, if it is one of them.
        """
        wall = f", {sql_wall_time('t')} AS wall" if self._zone else ""
        self._con.register("instants_texts", pa.table({"t": texts}))
        found = self._con.sql(f"SELECT {sql_instant('t')} AS time{wall} FROM instants_texts").to_arrow_table()
        self._con.unregister("instants_texts")
        times = found["time"].cast(pa.timestamp("us", "UTC"))
        if not self._zone or found["wall"].null_count == len(found):
            return times
        shown = found["wall"].cast(pa.int64()).combine_chunks()
        return pc.coalesce(times, self._on_the_wall(shown, stations, known).cast(times.type))

    def _on_the_wall(
        self, shown: pa.Int64Array, stations: pa.ChunkedArray, known_as: pa.ChunkedArray | None
    ) -> pa.Int64Array:
        """Microseconds since 1970 in UTC for those of the wall clock: a day at a time where its clocks run through."""
        there = np.flatnonzero(shown.is_valid().to_numpy(zero_copy_only=False))
        wall = shown.drop_null().to_numpy()
        days, day = np.unique(wall // _DAY, return_inverse=True)
        offset = np.array([self._offset(int(each)) for each in days])[day]
        instants, known = wall - offset, np.ones(len(wall), bool)
        changes = np.flatnonzero(offset == _CHANGE)
        rows = pa.array(there[changes])
        before = [None] * len(changes) if known_as is None else known_as.cast(pa.int64()).take(rows).to_pylist()
        for at, station, held in zip(changes, stations.take(rows).to_pylist(), before, strict=True):
            instant = self._on_a_day_of_change(int(wall[at]), station, held)
            known[at], instants[at] = instant is not None, instant or 0
        whole, missing = np.zeros(len(shown), np.int64), np.ones(len(shown), bool)
        whole[there], missing[there] = instants, ~known
        return pa.array(whole, mask=missing)

    def _offset(self, day: int) -> int:
        """Microseconds that the zone's clocks are ahead of UTC all through a day, counted from 1970."""
        midnights = [EPOCH + timedelta(days=each) for each in (day, day + 1) if each < 2_932_897]  # the year 10000
        before, after = (each.replace(tzinfo=self._zone).utcoffset() for each in (midnights[0], midnights[-1]))
        return before // MICROSECOND if before is not None and before == after else _CHANGE

    def _on_a_day_of_change(self, wall: int, station: object, held: int | None) -> int | None:
        assert self._zone is not None
        shown = (EPOCH + wall * MICROSECOND).replace(tzinfo=None)
        earlier, later = (from_wall_clock(shown, self._zone, again=again) for again in (False, True))
        if earlier is None or later is None:
            return None
        again = (station, wall) in self._mentioned
        if earlier != later:
            self._mentioned.add((station, wall))
        both = [(each - EPOCH) // MICROSECOND for each in (earlier, later)]
        return held if held in both else both[again]
