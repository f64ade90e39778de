"""How the loop stands: drift, why models were retrained or were not, decisions with their proof, what was not believed,
what people should know.

All of it are small documents that the platform leaves in the home; the server computes none of it.
"""

import asyncio
from typing import TypeVar

import msgspec
from litestar import get
from litestar.datastructures import State

from aerocast.common.errors import AeroCastError
from aerocast.contracts import loop_notes, requests
from aerocast.contracts.drift_state import DriftState
from aerocast.contracts.loop_notes import DecisionNotes, PastDecision, RetrainNotes, RetrainRun
from aerocast.releases import release
from aerocast.storage.documents import Document
from serving import predictor
from serving.alert_notices import record_of
from serving.hot_swap import ServingStore
from serving.loading import Served
from serving.loop_schemas import (
    Alarms,
    FeedLoop,
    NewestRun,
    PastChoice,
    Quarantine,
    RefusedValue,
    RuleCount,
    SensorFault,
    ShadowEvidence,
    StationDrift,
    TargetLoop,
)
from serving.parameters import Feed
from serving.problems import problem
from serving.refusals import ABSENT
from serving.slots import sentence

T = TypeVar("T")
MOST_FAULTS = 50
MOST_PAST = 50


@get("/loop", tags=["loop"], summary="Drift, retrains and decisions of a feed", responses=ABSENT)
async def loop_state(state: State, feed: Feed = None) -> FeedLoop:
    """Of each target: whether drift lasts, at which stations and on what evidence, why the last look led to a retrain
    or to none, and the newest decisions on what serves, with the figures that prove them.
    """
    served = predictor.choose(state.store, feed, None)
    return await asyncio.to_thread(_loop_of, state.store, served)


@get("/quarantine", tags=["loop"], summary="What was not believed", responses=ABSENT)
async def quarantine(state: State, feed: Feed = None) -> Quarantine:
    """Readings and values that broke a rule in the newest months in which there were any, counted by station, column
    and rule, and the newest of them with the reason. The table `<feed>/quarantine` has all.
    """
    served = predictor.choose(state.store, feed, None)
    notes = await asyncio.to_thread(_read, loop_notes.quarantine(state.store.home, served.feed.name))
    if notes is None:
        return Quarantine(served.feed.name, None, [], [], [])
    counts = [msgspec.convert(msgspec.structs.asdict(each), RuleCount) for each in notes.refusals]
    newest = [msgspec.convert(msgspec.structs.asdict(each), RefusedValue) for each in notes.newest]
    return Quarantine(served.feed.name, notes.at, list(notes.months), counts, newest)


@get("/alarms", tags=["loop"], summary="What people should know now")
async def alarms(state: State) -> Alarms:
    """Conditions that the platform and the server have found: those that last, and the newest that are over. The same
    goes to the channels that are set up, and to `/v1/events`.
    """
    store: ServingStore = state.store
    states = [(judge, slot.served) for judge, slot in store.alarms.items() if slot.served]
    every = [record_of(judge, each) for judge, own in states for each in own.alarms]
    every.sort(key=lambda each: each.over_at or each.opened_at, reverse=True)
    past = [each for each in every if each.over_at]
    return Alarms([each for each in every if not each.over_at], past[:MOST_PAST])


def _read(document: Document[T]) -> T | None:
    """Raises a 503 problem for a document that cannot be read."""
    try:
        return document.read()
    except AeroCastError as error:
        detail = f"{document.name} cannot be read: {sentence(error)}."
        raise problem("notes-unreadable", detail, status=503, headers={"retry-after": "60"}) from None


def _loop_of(store: ServingStore, first: Served) -> FeedLoop:
    feed, drift = first.feed.name, store.drift(first.feed.name)
    notes = _read(loop_notes.retraining(store.home, feed))
    targets = [_target(store, served, drift, notes) for served in store.index.get(feed, {}).values()]
    return FeedLoop(feed, store.now(first.feed), drift.judged_at if drift else None, _faults(drift), targets)


def _faults(drift: DriftState | None) -> list[SensorFault]:
    faults = sorted(drift.faults if drift else (), key=lambda each: each.start, reverse=True)
    faults.sort(key=lambda each: each.end is not None)  # those that last first
    return [
        SensorFault(each.station, each.column, each.kind, each.start, each.end, each.detail)
        for each in faults[:MOST_FAULTS]
    ]


def _target(store: ServingStore, served: Served, drift: DriftState | None, notes: RetrainNotes | None) -> TargetLoop:
    manifest, (feed, target) = served.manifest, served.key
    heat = drift.of(target) if drift else None
    decisions = _read(loop_notes.decisions(store.home, feed, target)) or DecisionNotes(feed, target)
    pointer, request = _pointer(store, served)
    return TargetLoop(
        target=target,
        unit=manifest.unit,
        version=manifest.version,
        previous=pointer,
        promoted_at=served.promoted_at,
        training_end=manifest.lineage.training_end,
        hold=served.active_hold,
        hot=bool(heat and heat.hot),
        since=heat.since if heat else None,
        onset=heat.onset if heat else None,
        edges=heat.edges if heat else 0,
        retrain=notes.reasons.get(target) if notes else None,
        retrain_at=notes.at if notes and target in notes.reasons else None,
        request=request,
        run=_newest_run(notes.runs.get(target) if notes else None),
        shadows=[
            ShadowEvidence(each.challenger, each.champion, each.pairs, each.gain, each.p_value, each.as_judged)
            for each in (drift.shadows if drift else ())
            if each.target == target
        ],
        stations=_stations(drift, target),
        decisions=[_choice(each) for each in decisions.decisions],
    )


def _pointer(store: ServingStore, served: Served) -> tuple[str | None, str | None]:
    """The release that served before, and the open request for a retrain. Raises a 503 problem."""
    try:
        pointer = release.current(store.home, *served.key)
        request = requests.document(store.home, *served.key).read()
    except (AeroCastError, OSError) as error:
        raise problem("notes-unreadable", sentence(error), status=503, headers={"retry-after": "60"}) from None
    return pointer.previous if pointer else None, request.id if request else None


def _newest_run(run: RetrainRun | None) -> NewestRun | None:
    return msgspec.convert(msgspec.structs.asdict(run), NewestRun) if run else None


def _stations(drift: DriftState | None, target: str) -> list[StationDrift]:
    return [
        StationDrift(
            each.station,
            each.verdict,
            each.judged_at,
            each.onset,
            each.rmse,
            each.expected_rmse,
            each.outcomes,
            [one.detail for one in each.evidence if one.fired],
        )
        for each in (drift.diagnoses if drift else ())
        if each.target == target
    ]


def _choice(each: PastDecision) -> PastChoice:
    return msgspec.convert(msgspec.structs.asdict(each) | {"asked_by": each.retrain_reason}, PastChoice)
