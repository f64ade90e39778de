"""Watches a feed: examines each (target, station), and updates the drift state by the result.

`examine_feed` gathers and examines, and changes nothing. `update_state` also writes the result: a row a diagnosis in
`<feed>/drift`, the faults in `<feed>/faults`, heat and all in the drift state.

An examination is of evidence, and evidence is content: it has its rows in `<feed>/drift` and counts for heat once, at
the instant of the feed at which it was first examined. A later run on the same evidence (after a kill, with `force`,
other code or limits) may come to another diagnosis, which then stands in the drift state, but counts no second time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import duckdb
import msgspec
import pyarrow as pa

from aerocast.common.lineage import code_version, config_hash
from aerocast.common.months import month_of
from aerocast.common.sql import literal
from aerocast.contracts import clock
from aerocast.contracts import drift_state as state
from aerocast.contracts.drift_state import Diagnosis, DriftState, Fault, Heat
from aerocast.contracts.manifest import Manifest
from aerocast.features.grid import Grid
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake, LakeReader, compaction
from aerocast.monitoring.drift import jumps
from aerocast.monitoring.drift.errors import Outcomes
from aerocast.monitoring.drift.examine import examine
from aerocast.monitoring.drift.heat import advance
from aerocast.monitoring.drift.profile import Profile
from aerocast.monitoring.evaluation import newest_fit, shadow, views
from aerocast.releases import release
from aerocast.releases.compatibility import incompatibilities
from aerocast.storage.home import Home
from aerocast.tables import faults

Value = TypeVar("Value")
HISTORY, HISTORY_MONTHS = 400, 2  # diagnoses that are shown over time


@dataclass(frozen=True)
class Examination:
    """Diagnoses, every fault known after it, and for each (target, station) the outcomes and the readings
    (recent grid as measured, reference); those two are empty where the result of an older run is repeated.
    """

    diagnoses: tuple[Diagnosis, ...]
    faults: tuple[Fault, ...]
    outcomes: Mapping[tuple[str, str], Outcomes]
    readings: Mapping[tuple[str, str], tuple[Grid, Profile]]


@dataclass(frozen=True)
class Judgement:
    """The drift state, the examination it rests on (None if it was there already), and the state before that."""

    state: DriftState
    examination: Examination | None
    before: DriftState | None

    @property
    def fresh(self) -> bool:
        return self.examination is not None

    def differs(self, target: str) -> bool:
        """Whether the examination changed a verdict of the target, its heat, or the release it is about."""
        return self.before is None or _beliefs(self.before, target) != _beliefs(self.state, target)


def _beliefs(state: DriftState, target: str) -> tuple[object, ...]:
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


def basis(evidence_hash: str, home: Home, feed: Feed) -> str:
    """Hash of all that the drift state rests on: the evidence, the code, the challengers and the limits."""
    rivals = {target: release.challenger(home, feed.name, target) for target in feed.targets}
    return config_hash(
        evidence=evidence_hash,
        code=code_version(__name__),
        challengers={target: each.version if each else None for target, each in rivals.items()},
        limits=feed.drift.model_dump(mode="json"),
    )


def _contents(lake: LakeReader, name: str, newest: int) -> dict[str, str]:
    """Content fingerprints of the newest months."""
    return {month: content.all for month, content in lake.ledger(name).content(lake.months(name)[-newest:]).items()}


def examine_feed(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, home: Home, feed: Feed, now: datetime
) -> Examination:
    """Examines every station of every target that has a champion, as of `now` (the feed's time); writes nothing."""
    lake = lake.view()
    open_faults = faults.read_faults(con, lake, f"{feed.name}/faults")
    jumps_ = _jumps(con, lake, feed, open_faults, now)
    manifests = _champion_manifests(home, feed)
    if not manifests:
        return Examination((), _merge_faults(open_faults, _unite_faults(open_faults, jumps_, {})), {}, {})
    grids = views.measured_grids(con, lake, feed, open_faults, now)
    diagnoses, outcomes_of, readings = [], {}, {}
    faults_of: dict[str, tuple[Fault, ...]] = {}
    for target, manifest in manifests.items():
        references = views.references(con, lake, feed, manifest)
        release_outcomes = views.ReleaseOutcomes.read(con, lake, feed, manifest)
        for station in [each for each in feed.station_ids if each in grids and each in references]:
            own = [fault for fault in open_faults if fault.station == station]
            graph = release_outcomes.main_graph(station)
            outcomes = release_outcomes.newest(station, own, now, graph)
            test_manifest = views.manifest_of_graph(manifest, graph)
            outcomes_of[target, station], readings[target, station] = outcomes, (grids[station], references[station])
            still = [fault for fault in own if fault.end is None]
            diagnosis, now_at_fault = examine(
                feed, target, station, outcomes, grids[station], references[station], test_manifest, now, still
            )
            diagnoses.append(_plain(diagnosis))
            faults_of.setdefault(station, now_at_fault)
    merged = _merge_faults(open_faults, _unite_faults(open_faults, jumps_, faults_of))
    return Examination(tuple(diagnoses), merged, outcomes_of, readings)


def _jumps(
    con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, before: Sequence[Fault], now: datetime
) -> dict[str, tuple[Fault, ...]]:
    """By station, the changes of unit that single readings show; also where nothing serves yet."""
    columns = [column for column in feed.columns if column.max_step is not None and not column.circular]
    series = views.readings(con, lake, feed, before, now, [column.name for column in columns])
    faults_of: dict[str, tuple[Fault, ...]] = {}
    for (station, name), own_series in series.items():
        own = [fault for fault in before if (fault.station, fault.column, fault.kind) == (station, name, jumps.KIND)]
        still = next((fault for fault in own if fault.end is None), None)
        jumps_ = jumps.unit_jumps(feed, feed.column(name), station, own_series, still)
        faults_of[station] = (*faults_of.get(station, ()), *jumps_)
    return faults_of


def _unite_faults(
    before: Sequence[Fault], jump_faults: Mapping[str, Sequence[Fault]], others_of: Mapping[str, Sequence[Fault]]
) -> dict[str, tuple[Fault, ...]]:
    """Faults of single readings and of examinations at each station, each once: those of single readings are exact.

    Where no examination was possible, open faults stay open.
    """
    faults_of = {}
    for station in {*jump_faults, *others_of}:
        own = jump_faults.get(station, ())
        still_open = [fault for fault in before if fault.station == station and fault.end is None]
        others = others_of.get(station, [fault for fault in still_open if fault.kind != jumps.KIND])
        faults_of[station] = (*own, *(fault for fault in others if not any(_overlap(fault, other) for other in own)))
    return faults_of


def _overlap(one: Fault, other: Fault) -> bool:
    """Whether both say the same of the same time of a column, give or take that only one knows an end."""
    same = (one.column, one.kind) == (other.column, other.kind)
    return same and (other.end is None or one.start < other.end) and (one.end is None or other.start < one.end)


def update_state(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Home, feed: Feed, *, force: bool = False
) -> Judgement:
    """Examines and writes the result, unless exactly this was examined before; with `force` even then, but not as new.

    Raises:
        AeroCastError: a release, the lake or the state cannot be read or written.
    """
    now = present = clock.now(home, feed.name, feed.end)
    evidence_hash, document = evidence(lake, home, feed, now), state.document(home, feed.name)
    basis_hash, before = basis(evidence_hash, home, feed), document.read()
    if before is not None and is_current(home, feed, basis_hash) and not force:
        return Judgement(before, None, before)
    name = f"{feed.name}/drift"
    if lake.ledger(name).has_segment(evidence_hash):
        # As of then, heat is not advanced: its newest examination is this one or a later one.
        now = views.examination_time(con, lake, name, evidence_hash) or (before.judged_at if before else now)
    examination = examine_feed(con, lake, home, feed, now)
    if examination.diagnoses:
        lake.append(name, _rows(examination.diagnoses, evidence_hash), evidence_hash)
        compaction.tidy(lake, name)
    lake.overwrite(f"{feed.name}/faults", faults.to_table(examination.faults))
    versions = {target: manifest.version for target, manifest in _champion_manifests(home, feed).items()}
    heats = tuple(
        _advance_heat(before, target, examination, feed, now, present, versions.get(target)) for target in feed.targets
    )
    shadows = shadow.shadow_evidence(con, lake, home, feed)
    looks = newest_fit.look(con, lake.view(), home, feed, now, before)
    shadows += tuple(each.shadow for each in looks.values() if each.shadow)
    after = DriftState(
        feed.name,
        now,
        datetime.now(UTC),
        examination.diagnoses,
        examination.faults,
        heats,
        shadows,
        {target: each.adaptations for target, each in looks.items()},
    )
    document.write(after)
    document.store.note_origin(document.name, basis_hash)
    return Judgement(after, examination, before)


def newest_examination(con: duckdb.DuckDBPyConnection, lake: LakeReader, home: Home, feed: Feed) -> Examination:
    """The examination of the newest tables: the drift state's, or a new one where that is older."""
    now = clock.now(home, feed.name, feed.end)
    stored_state = state.document(home, feed.name).read()
    if stored_state is not None and is_current(home, feed, basis(evidence(lake, home, feed, now), home, feed)):
        return Examination(stored_state.diagnoses, stored_state.faults, {}, {})
    return examine_feed(con, lake, home, feed, now)


def of_target(target: str, by_key: Mapping[tuple[str, str], Value]) -> dict[str, Value]:
    """By station, what was seen of one target."""
    return {station: value for (name, station), value in by_key.items() if name == target}


def history(con: duckdb.DuckDBPyConnection, lake: LakeReader, feed: Feed, target: str) -> list[Diagnosis]:
    """The newest diagnoses of a target, oldest first, without their evidence."""
    name = f"{feed.name}/drift"
    rows = lake.relation(con, name, lake.months(name)[-HISTORY_MONTHS:]).filter(f"target = {literal(target)}")
    newest = rows.order("judged_at DESC, station").limit(HISTORY).to_arrow_table().to_pylist()
    return [msgspec.convert({**row, "evidence": ()}, Diagnosis) for row in reversed(newest)]


def is_current(home: Home, feed: Feed, basis_hash: str) -> bool:
    """Whether the drift state rests on exactly this `basis`."""
    document = state.document(home, feed.name)
    return document.store.origin(document.name) == basis_hash


def _advance_heat(
    before: DriftState | None,
    target: str,
    examination: Examination,
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
    squares = [d.rmse**2 for d in examination.diagnoses if d.target == target and d.rmse is not None]
    rmse = math.sqrt(sum(squares) / len(squares)) if squares else None
    return advance(heat, examination.diagnoses, feed.drift, now, version, rmse)


def _champion_manifests(home: Home, feed: Feed) -> dict[str, Manifest]:
    """The manifest of each target's champion, of those that have a sound one which can still answer for the feed."""
    serving = {target: release.serving_release(home, feed.name, target).release for target in feed.targets}
    releases = {target: each for target, each in serving.items() if each}
    return {target: each.manifest for target, each in releases.items() if not incompatibilities(each.manifest, feed)}


def _merge_faults(before: Sequence[Fault], faults_of: Mapping[str, Sequence[Fault]]) -> tuple[Fault, ...]:
    """Merges faults: of an examined station, those that were over stay; open ones are as the examination says.

    An open fault that an examination no longer reports, not even as over, is withdrawn.
    """
    old = [fault for fault in before if fault.end is not None or fault.station not in faults_of]
    new = [fault for each in faults_of.values() for fault in each]
    by_key = {(fault.station, fault.column, fault.kind, fault.start): fault for fault in (*old, *new)}
    return tuple(by_key[name] for name in sorted(by_key))


def _plain(diagnosis: Diagnosis) -> Diagnosis:
    """The diagnosis as it is read back: numpy's numbers as Python's, NaN as None."""
    text = msgspec.json.encode(diagnosis, enc_hook=lambda number: number.item())
    return msgspec.json.decode(text, type=Diagnosis)


def _rows(diagnoses: Sequence[Diagnosis], examination: str) -> pa.Table:
    """One row a diagnosis, its evidence as JSON."""
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
