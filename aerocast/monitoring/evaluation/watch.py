"""The watch over a feed: what is seen of each (target, station), and what the platform believes of it after that.

`look` gathers and examines, and changes nothing. `judge` also keeps what was found: a row a diagnosis in
`<feed>/drift`, the faults in `<feed>/faults`, heat and all in the drift state.

An examination is of evidence, and evidence is content: it has its rows in `<feed>/drift` and counts for heat once, at
the instant of the feed at which it was first seen. Whatever looks at it again (a run that was killed, `force`, other
code or limits) may come to another diagnosis, which then stands in the drift state, but is no further examination.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec

from aerocast.common.lineage import code_version, config_hash
from aerocast.common.months import month_of
from aerocast.common.sql import literal
from aerocast.contracts import clock
from aerocast.contracts import drift_state as state
from aerocast.contracts.drift_state import Diagnosis, DriftState, Fault, Heat
from aerocast.contracts.manifest import Manifest
from aerocast.features.grid import Grid
from aerocast.feed.model import Feed
from aerocast.lake import Lake, LakeReader, compaction
from aerocast.monitoring.drift import jumps
from aerocast.monitoring.drift.errors import Outcomes
from aerocast.monitoring.drift.examine import examine
from aerocast.monitoring.drift.heat import advance
from aerocast.monitoring.drift.profile import Profile
from aerocast.monitoring.evaluation import shadow, views
from aerocast.releases import release
from aerocast.releases.compatibility import incompatibilities
from aerocast.storage.home import Home
from aerocast.tables import faults

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Value = TypeVar("Value")
HISTORY, HISTORY_MONTHS = 400, 2  # diagnoses that are shown over time


@dataclass(frozen=True)
class Seen:
    """One look: diagnoses, every fault believed after it, and behind each (target, station) the outcomes and the
    readings (recent grid as measured, reference); those two are empty where an older look is repeated.
    """

    diagnoses: tuple[Diagnosis, ...]
    faults: tuple[Fault, ...]
    outcomes: Mapping[tuple[str, str], Outcomes]
    readings: Mapping[tuple[str, str], tuple[Grid, Profile]]


@dataclass(frozen=True)
class Judgement:
    """The drift state, the look that it rests on (None if it was there already), and the state before that look."""

    state: DriftState
    seen: Seen | None
    before: DriftState | None

    @property
    def fresh(self) -> bool:
        return self.seen is not None

    def differs(self, target: str) -> bool:
        """Whether the look changed what is believed of the target: a verdict, its heat, or the release it is about."""
        return self.before is None or _believed(self.before, target) != _believed(self.state, target)


def _believed(state: DriftState, target: str) -> tuple[object, ...]:
    heat = state.of(target)
    verdicts = {each.station: each.verdict for each in state.diagnoses if each.target == target}
    return heat.version, heat.hot, verdicts


def evidence(lake: LakeReader, home: Home, feed: Feed, now: datetime) -> str:
    """Hash of what is examined: what the tables hold, who serves, and whether the feed is silent beyond `freshness`."""
    lake, outcomes, silver = lake.view(), f"{feed.name}/outcomes", f"{feed.name}/silver"
    span = lake.span(f"{feed.name}/bronze")
    pointers = {target: release.current(home, feed.name, target) for target in feed.targets}
    return config_hash(
        outcomes=_contents(lake, outcomes, views.MONTHS),
        silver=_contents(lake, silver, views.RECENT),
        champions={target: each.version if each else None for target, each in pointers.items()},
        silent=span is None or now - span[1].astimezone(UTC) > feed.freshness,
    )


def basis(evidence: str, home: Home, feed: Feed) -> str:
    """Hash of all that the drift state rests on: the evidence, and how it is looked at."""
    rivals = {target: release.challenger(home, feed.name, target) for target in feed.targets}
    return config_hash(
        evidence=evidence,
        code=code_version(__name__),
        challengers={target: each.version if each else None for target, each in rivals.items()},
        limits=feed.drift.model_dump(mode="json"),
    )


def _contents(lake: LakeReader, name: str, newest: int) -> dict[str, str]:
    """What each of the newest months holds."""
    return {month: content.all for month, content in lake.ledger(name).content(lake.months(name)[-newest:]).items()}


def look(con: duckdb.DuckDBPyConnection, lake: LakeReader, home: Home, feed: Feed, now: datetime) -> Seen:
    """Examines every station of every target that has a champion, as of `now` (the feed's time); writes nothing."""
    lake = lake.view()
    known = faults.read(con, lake, f"{feed.name}/faults")
    jumped = _jumps(con, lake, feed, known, now)
    manifests = _serving(home, feed)
    if not manifests:
        return Seen((), _merged(known, _united(known, jumped, {})), {}, {})
    measured = views.measured(con, lake, feed, known, now)
    diagnoses, seen, readings = [], {}, {}
    found: dict[str, tuple[Fault, ...]] = {}
    for target, manifest in manifests.items():
        references = views.references(con, lake, feed, manifest)
        for station in [each for each in feed.station_ids if each in measured and each in references]:
            own = [fault for fault in known if fault.station == station]
            graph = views.answering(con, lake, feed, manifest, station)
            outcomes = views.outcomes(con, lake, feed, manifest, station, own, now, graph)
            tested = views.tested_as(manifest, graph)
            seen[target, station], readings[target, station] = outcomes, (measured[station], references[station])
            still = [fault for fault in own if fault.end is None]
            diagnosis, now_at_fault = examine(
                feed, target, station, outcomes, measured[station], references[station], tested, now, still
            )
            diagnoses.append(_plain(diagnosis))
            found.setdefault(station, now_at_fault)
    return Seen(tuple(diagnoses), _merged(known, _united(known, jumped, found)), seen, readings)


def _jumps(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, known: Sequence[Fault], now: datetime
) -> dict[str, tuple[Fault, ...]]:
    """By station, the changes of unit that single readings show; also where nothing serves yet."""
    columns = [column for column in feed.columns if column.max_step is not None and not column.circular]
    series = views.readings(con, lake, feed, known, now, [column.name for column in columns])
    found: dict[str, tuple[Fault, ...]] = {}
    for (station, name), measured in series.items():
        own = [fault for fault in known if (fault.station, fault.column, fault.kind) == (station, name, jumps.KIND)]
        still = next((fault for fault in own if fault.end is None), None)
        seen = jumps.unit_jumps(feed, feed.column(name), station, measured, still)
        found[station] = (*found.get(station, ()), *seen)
    return found


def _united(
    known: Sequence[Fault], jumped: Mapping[str, Sequence[Fault]], examined: Mapping[str, Sequence[Fault]]
) -> dict[str, tuple[Fault, ...]]:
    """Faults of both looks at each station, each once: what single readings show is known more exactly.

    Where no examination was possible, what was open before stays so.
    """
    united = {}
    for station in {*jumped, *examined}:
        own = jumped.get(station, ())
        before = [fault for fault in known if fault.station == station and fault.end is None]
        others = examined.get(station, [fault for fault in before if fault.kind != jumps.KIND])
        united[station] = (*own, *(fault for fault in others if not any(_overlap(fault, other) for other in own)))
    return united


def _overlap(one: Fault, other: Fault) -> bool:
    """Whether both say the same of the same time of a column, give or take that only one knows an end."""
    same = (one.column, one.kind) == (other.column, other.kind)
    return same and (other.end is None or one.start < other.end) and (one.end is None or other.start < one.end)


def judge(con: duckdb.DuckDBPyConnection, lake: Lake, home: Home, feed: Feed, *, force: bool = False) -> Judgement:
    """Looks, and keeps what was seen, unless exactly this was judged before; with `force` even then, but not as new.

    Raises:
        AeroCastError: a release, the lake or the state cannot be read or written.
    """
    now = present = clock.now(home, feed.name, feed.end)
    examined, document = evidence(lake, home, feed, now), state.document(home, feed.name)
    wanted, before = basis(examined, home, feed), document.read()
    if before is not None and current(home, feed, wanted) and not force:
        return Judgement(before, None, before)
    name = f"{feed.name}/drift"
    if lake.ledger(name).has_segment(examined):
        # As of then, heat is not advanced: its newest examination is this one or a later one.
        now = views.judged_at(con, lake, name, examined) or (before.judged_at if before else now)
    seen = look(con, lake, home, feed, now)
    if seen.diagnoses:
        lake.append(name, _rows(seen.diagnoses, examined), examined)
        compaction.tidy(lake, name)
    lake.overwrite(f"{feed.name}/faults", faults.rows(seen.faults))
    versions = {target: manifest.version for target, manifest in _serving(home, feed).items()}
    heats = tuple(_advanced(before, target, seen, feed, now, present, versions.get(target)) for target in feed.targets)
    shadows = shadow.evidence(con, lake, home, feed)
    after = DriftState(feed.name, now, datetime.now(UTC), seen.diagnoses, seen.faults, heats, shadows)
    document.write(after)
    document.store.note_origin(document.name, wanted)
    return Judgement(after, seen, before)


def newest(con: duckdb.DuckDBPyConnection, lake: LakeReader, home: Home, feed: Feed) -> Seen:
    """What is seen of the newest tables: the drift state's, or a look of its own where that is older."""
    now = clock.now(home, feed.name, feed.end)
    kept = state.document(home, feed.name).read()
    if kept is not None and current(home, feed, basis(evidence(lake, home, feed, now), home, feed)):
        return Seen(kept.diagnoses, kept.faults, {}, {})
    return look(con, lake, home, feed, now)


def of(target: str, seen: Mapping[tuple[str, str], Value]) -> dict[str, Value]:
    """By station, what was seen of one target."""
    return {station: value for (name, station), value in seen.items() if name == target}


def history(con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, target: str) -> list[Diagnosis]:
    """The newest diagnoses of a target, oldest first, without their evidence."""
    name = f"{feed.name}/drift"
    rows = lake.relation(con, name, lake.months(name)[-HISTORY_MONTHS:]).filter(f"target = {literal(target)}")
    newest = rows.order("judged_at DESC, station").limit(HISTORY).to_arrow_table().to_pylist()
    return [msgspec.convert({**row, "evidence": ()}, Diagnosis) for row in reversed(newest)]


def current(home: Home, feed: Feed, wanted: str) -> bool:
    """Whether the drift state rests on exactly this `basis`."""
    document = state.document(home, feed.name)
    return document.store.origin(document.name) == wanted


def _advanced(
    before: DriftState | None,
    target: str,
    seen: Seen,
    feed: Feed,
    now: datetime,
    present: datetime,
    version: str | None,
) -> Heat:
    heat = before.of(target) if before else Heat(target)
    if heat.judged_at and now <= present < heat.judged_at:
        # A clock was ahead then; that examination must not keep the next ones from counting.
        heat = msgspec.structs.replace(heat, judged_at=None)
    if version is None:
        return heat
    squares = [d.rmse**2 for d in seen.diagnoses if d.target == target and d.rmse is not None]
    rmse = math.sqrt(sum(squares) / len(squares)) if squares else None
    return advance(heat, seen.diagnoses, feed.drift, now, version, rmse)


def _serving(home: Home, feed: Feed) -> dict[str, Manifest]:
    """The manifest of each target's champion, of those that have one which can still answer for the feed."""
    pointers = {target: release.current(home, feed.name, target) for target in feed.targets}
    loaded = {target: release.load(home, feed.name, target, each.version) for target, each in pointers.items() if each}
    return {target: each.manifest for target, each in loaded.items() if not incompatibilities(each.manifest, feed)}


def _merged(known: Sequence[Fault], found: Mapping[str, Sequence[Fault]]) -> tuple[Fault, ...]:
    """All that is believed now: of an examined station, faults that were over stay; open ones are as just found.

    An open fault that an examination no longer finds, not even as over, is withdrawn.
    """
    kept = [fault for fault in known if fault.end is not None or fault.station not in found]
    new = [fault for each in found.values() for fault in each]
    named = {(fault.station, fault.column, fault.kind, fault.start): fault for fault in (*kept, *new)}
    return tuple(named[name] for name in sorted(named))


def _plain(diagnosis: Diagnosis) -> Diagnosis:
    """As it is read back: numpy's numbers as Python's, what is no number as None."""
    text = msgspec.json.encode(diagnosis, enc_hook=lambda number: number.item())
    return msgspec.json.decode(text, type=Diagnosis)


def _rows(diagnoses: Sequence[Diagnosis], examination: str) -> pa.Table:
    """One row a diagnosis, its evidence as JSON."""
    import pyarrow as pa

    time, text, number = pa.timestamp("us", "UTC"), pa.string(), pa.float64()
    schema = pa.schema(
        [
            *(("target", text), ("station", text), ("verdict", text), ("judged_at", time), ("onset", time)),
            *(("rmse", number), ("expected_rmse", number), ("coverage", number), ("outcomes", pa.int64())),
            *(("evidence", text), ("examination", text), ("month", text)),
        ]
    )
    rows = []
    for each in diagnoses:
        row = msgspec.structs.asdict(each) | {"examination": examination, "month": month_of(each.judged_at)}
        rows.append(row | {"evidence": msgspec.json.encode(each.evidence).decode()})
    return pa.Table.from_pylist(rows, schema)
