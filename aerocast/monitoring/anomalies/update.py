"""Keeps a feed's table of anomalies: new steps of silver are looked at once, and the events that they change stored.

What is stored of an event is not computed again: the newest steps follow the newest event of their station. So a run
costs the same however long the history is, and one that was killed is repeated with the same result.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from aerocast.common.lineage import code_version, config_hash
from aerocast.common.months import month_of, months_around
from aerocast.common.times import EPOCH
from aerocast.contracts import anomalies as state
from aerocast.contracts import clock
from aerocast.contracts.anomalies import Anomaly, AnomalyState, Newest
from aerocast.contracts.drift_state import Fault
from aerocast.features.grid import Grid
from aerocast.feed.declaration import Feed
from aerocast.lake import PARTITION, Lake, LakeReader
from aerocast.monitoring.anomalies.events import Evidence, Span, follow
from aerocast.monitoring.anomalies.evidence import Look, cause, surprising_steps
from aerocast.monitoring.anomalies.surprise import LOOK_BACK, nothing, surprises
from aerocast.monitoring.anomalies.views import WEEKS
from aerocast.storage.home import Home
from aerocast.tables import faults, silver

FIRST = timedelta(days=7)  # the newest steps that are looked at when nothing was before
MOST = timedelta(days=31)  # a pause beyond which older steps are left out
RECENT = timedelta(days=90)  # events that the document has
DAY = timedelta(days=1)


class Update(NamedTuple):
    """The state, how many steps were looked at, and the months of the table that were written; `later` if it waits."""

    state: AnomalyState
    steps: int
    months: tuple[str, ...]
    version: str
    later: bool = False


def update(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Home, feed: Feed, *, force: bool = False, live: bool = False
) -> Update:
    """Looks at the steps that are new; with `force` at the newest week again.

    A `live` one of a feed with several steps an hour looks at most each hour.

    Raises:
        AeroCastError: the lake or the state cannot be read or written.
    """
    now, document = clock.now(home, feed.name, feed.end), state.document(home, feed.name)
    before = document.read()
    view = lake.view()
    own_faults = faults.read_faults(con, view, f"{feed.name}/faults")
    origin = _origin(view, feed, own_faults)
    if before is not None and not force:
        if document.store.origin(document.name) == origin:
            return Update(before, 0, (), _version(before))
        if live and timedelta(0) <= now - before.judged_at < clock.RENEWED and feed.cadence < clock.RENEWED:
            return Update(before, 0, (), _version(before), later=True)
    looks = _looks(con, view, feed, None if force else before)
    events = {each.key: each for each in (before.events if before else ())}
    if force:
        events = {key: each for key, each in events.items() if not _is_looked_at(feed, each, looks.get(each.station))}
    for station, look in looks.items():
        events |= {each.key: each for each in _follow(feed, station, looks, look, list(events.values()))}
    dated = {key: _dated(feed, each, looks.get(each.station), own_faults) for key, each in events.items()}
    recent = tuple(sorted((e for e in dated.values() if e.last >= now - RECENT), key=lambda e: (e.start, e.station)))
    newest = {name: _newest(feed, look) for name, look in looks.items() if look.steps}
    after = AnomalyState(feed.name, now, recent, {**(before.newest if before else {}), **newest})
    months = _store(con, lake, f"{feed.name}/anomalies", before, after)
    document.write(after)
    document.store.note_origin(document.name, origin)
    return Update(after, sum(look.steps for look in looks.values()), months, _version(after))


def _version(own: AnomalyState) -> str:
    return config_hash(events=msgspec.to_builtins(own.events))


def _origin(lake: LakeReader, feed: Feed, own_faults: Sequence[Fault]) -> str:
    """What the newest look rests on: the newest two months of silver, the faults and the code."""
    name = f"{feed.name}/silver"
    content = lake.ledger(name).content(lake.months(name)[-2:])
    return config_hash(
        code=code_version(__name__),
        silver={month: each.all for month, each in content.items()},
        faults=msgspec.to_builtins(own_faults),
        columns=[[column.name, column.unit] for column in feed.columns],
    )


def per_day(feed: Feed) -> int:
    """Steps of a day; 1 for longer ones."""
    return max(1, DAY // feed.cadence)


def _looks(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, before: AnomalyState | None
) -> dict[str, Look]:
    """By station, its steps and how surprising the new ones are."""
    name = f"{feed.name}/silver"
    months, span = lake.months(name), lake.span(name)
    if not months or span is None:
        return {}
    times = [each.time for each in before.newest.values()] if before else []
    pause = min(MOST, max(DAY, span[1] - min(times))) if times else FIRST
    rows = LOOK_BACK + (7 * WEEKS + 1) * per_day(feed) + max(1, pause // feed.cadence)
    back = months_around(months[-1:], rows * feed.cadence, timedelta(0))
    relation = lake.relation(con, name, [month for month in months if month >= back[0]])
    return {
        station: _look(feed, grid, before.newest.get(station) if before else None)
        for station, grid in silver.grids(con, feed, relation, last=rows).items()
        if len(grid.time)
    }


def _look(feed: Feed, grid: Grid, newest: Newest | None) -> Look:
    """A station's steps after the newest that was looked at, but no older than is allowed."""
    angles = {column.name for column in feed.columns if column.circular or column.lead is not None}
    columns = tuple(at for at, name in enumerate(grid.columns) if name not in angles)
    values = np.where(grid.age == 0, grid.values, np.nan)[:, columns].astype(np.float64)
    step = grid.time.astype("datetime64[s]").astype(np.int64) // int(feed.cadence.total_seconds())
    since = len(step) - max(1, (MOST if newest else FIRST) // feed.cadence)
    if newest is not None:
        since = max(since, int(np.searchsorted(step, _step(feed, newest.time), side="right")))
    since = min(max(since, 0), len(step))
    surprise = surprises(values, int(step[0]), per_day(feed), since) if since < len(step) else nothing(values.shape)
    return Look(grid, columns, values, step, since, surprise)


def _is_looked_at(feed: Feed, event: Anomaly, look: Look | None) -> bool:
    """Whether an event began in the steps that are looked at, so that it is made again."""
    return look is not None and look.steps > 0 and _step(feed, event.start) >= look.step[look.since]


def _follow(
    feed: Feed, station: str, looks: Mapping[str, Look], look: Look, events: Sequence[Anomaly]
) -> list[Anomaly]:
    """The events of a station that the new steps begin or go on with."""
    own = sorted((each for each in events if each.station == station), key=lambda each: each.start)
    newest = _span(feed, own[-1]) if own else None
    spans = follow(newest, surprising_steps(station, looks, per_day(feed)), per_day(feed))
    return [_anomaly(feed, station, span) for span in spans if span != newest]


def _span(feed: Feed, event: Anomaly) -> Span:
    evidence = Evidence(event.columns, event.seen_at, event.others, event.detail)
    start, last, peak = (_step(feed, time) for time in (event.start, event.last, event.peak))
    return Span(start, last, peak, event.severity, evidence, event.alarms)


def _anomaly(feed: Feed, station: str, span: Span) -> Anomaly:
    """The event, as if it lasted and its cause were unknown."""
    start, last, peak = (_time(feed, each) for each in (span.start, span.last, span.peak))
    columns, seen_at, others, detail = span.evidence
    return Anomaly(
        station, start, None, last, peak, span.severity, "unknown", dict(columns), detail, span.alarms, seen_at, others
    )


def _dated(feed: Feed, event: Anomaly, look: Look | None, own_faults: Sequence[Fault]) -> Anomaly:
    """The event with its end, if its station is calm again, and the cause that the evidence allows."""
    span = _span(feed, event)
    is_over = look is None or span.is_over(int(look.step[-1]), per_day(feed))
    why = cause(span.evidence, event.station, event.start, event.last, own_faults)
    return msgspec.structs.replace(event, end=event.last + feed.cadence if is_over else None, cause=why)


def _newest(feed: Feed, look: Look) -> Newest:
    """The newest step of a station."""
    total = look.surprise.total()[-1]
    return Newest(_time(feed, int(look.step[-1])), round(float(total), 3) if np.isfinite(total) else None)


def _step(feed: Feed, time: datetime) -> int:
    return (time - EPOCH) // feed.cadence


def _time(feed: Feed, step: int) -> datetime:
    return EPOCH + step * feed.cadence


def _store(
    con: duckdb.DuckDBPyConnection, lake: Lake, name: str, before: AnomalyState | None, after: AnomalyState
) -> tuple[str, ...]:
    """Writes the months of the table whose events changed; which they are."""
    old = {each.key: each for each in (before.events if before else ())}
    new = {each.key: each for each in after.events}
    absent = {key for key, each in old.items() if key not in new and each.last >= after.judged_at - RECENT}
    months = {month_of(key[1]) for key, each in new.items() if old.get(key) != each} | {
        month_of(key[1]) for key in absent
    }
    if not months and lake.exists(name):
        return ()
    rows_before = read(con, lake, name, sorted(months))
    every = {each.key: each for each in rows_before if each.key not in absent} | new
    rows = [each for each in every.values() if month_of(each.start) in months]
    lake.replace(name, to_table(rows), sorted(months) or [month_of(after.judged_at)])
    return tuple(sorted(months))


def read(con: duckdb.DuckDBPyConnection, lake: LakeReader, name: str, months: Sequence[str]) -> list[Anomaly]:
    """The stored events that began in these months, oldest first; none without a table."""
    if not lake.exists(name) or not months:
        return []
    con.execute("SET TimeZone = 'UTC'")
    rows = lake.relation(con, name, months).order("start, station").to_arrow_table().to_pylist()
    decoded = ({**row, "columns": msgspec.json.decode(row["columns"])} for row in rows)
    return [msgspec.convert({**row, "seen_at": tuple(row["seen_at"].split())}, Anomaly) for row in decoded]


def to_table(events: Sequence[Anomaly]) -> pa.Table:
    """One row an event: the shares of its columns as JSON, stations in one text."""
    time, text, number = pa.timestamp("us", "UTC"), pa.string(), pa.float64()
    names = {"station": text, "start": time, "end": time, "last": time, "peak": time, "severity": number, "cause": text}
    names |= {"columns": text, "detail": text, "alarms": pa.int64(), "seen_at": text, "others": pa.int64()}
    rows = [
        msgspec.structs.asdict(each)
        | {"columns": msgspec.json.encode(each.columns).decode(), "seen_at": " ".join(each.seen_at)}
        | {PARTITION: month_of(each.start)}
        for each in events
    ]
    return pa.Table.from_pylist(rows, pa.schema([*names.items(), (PARTITION, text)]))
