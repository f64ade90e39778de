"""The sensor that closes the loop: drift, live evidence for a challenger and requests become retrain runs.

What to do is decided by `policy`; here the state is read, runs are asked for, and each tick says why.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg
import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.storage.home import Home
from aerocast_assets._compat import AssetJob
from aerocast_assets.automation import cursors, runs
from aerocast_assets.automation.switch import described, sensor_status
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.contracts.drift_state import DriftState, Heat
    from aerocast.contracts.loop_notes import RetrainRun
    from aerocast.contracts.requests import Request
    from aerocast.retraining.memory import LastRun, RetrainMemory

POLL = timedelta(seconds=30)
DECISIVE = ("error_ratio", "foreseeable")  # tests that call drift; what else fired stands beside them in the report


class Tick(NamedTuple):
    """What one tick sees: the instance, the newest examination, and the feed's present."""

    instance: dg.DagsterInstance
    root: Home
    feed: Feed
    state: "DriftState | None"
    now: datetime

    def heat(self, target: str) -> "Heat":
        from aerocast.contracts.drift_state import Heat

        return self.state.of(target) if self.state else Heat(target)


class RetrainLook(NamedTuple):
    """What a tick found for one target: a sentence, always, the newest retrain, and the run to ask for, if any."""

    reason: str
    memory: "RetrainMemory"
    newest: "RetrainRun"
    run: dg.RunRequest | None = None


def retrain_sensor(feed: Feed, jobs: Sequence[AssetJob]) -> dg.SensorDefinition:
    """`<feed>_retrain`, over the retrain jobs of all its targets."""

    @dg.sensor(
        name=f"{feed.name}_retrain",
        jobs=jobs,
        minimum_interval_seconds=max(1, round((feed.poll or POLL).total_seconds())),
        default_status=sensor_status(feed),
        owners=feed.owners,
        description=described(
            feed, "Retrains when drift has made a target hot, within cool-down and budget, and when someone asks."
        ),
    )
    def sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
        from aerocast.contracts import clock
        from aerocast.contracts import drift_state as state
        from aerocast.operations.healing import heal
        from aerocast.retraining.memory import RetrainMemory

        root = platform.root
        for note in heal(root, feed):
            context.log.warning(note)
        now = clock.now(root, feed.name, feed.end)
        tick = Tick(context.instance, root, feed, state.document(root, feed.name).read(), now)
        # Keys of runs hold no state of the cursor, so that starting without it repeats nothing.
        memories = cursors.read(context, dict[str, RetrainMemory], "starting from what runs and drift say")
        open_requests = _open_requests(context, root, feed)
        looks = {
            target: _look(tick, target, memories.get(target, RetrainMemory()), open_requests.get(target))
            for target in feed.targets
        }
        _publish(root, feed, now, looks)
        run_requests = [look.run for look in looks.values() if look.run]
        # What a tick logs is a file of its own; what a quiet one has to say stands in its reason.
        for target, look in looks.items() if run_requests else ():
            context.log.info(f"{target}: {look.reason}")
        reasons = "; ".join(f"{target}: {look.reason}" for target, look in looks.items())
        return dg.SensorResult(
            run_requests=run_requests,
            skip_reason=None if run_requests else f"at {now:%Y-%m-%d %H:%M}: {reasons}",
            cursor=cursors.encoded({target: look.memory for target, look in looks.items()}),
        )

    return sensor


def _publish(root: Home, feed: Feed, now: datetime, looks: Mapping[str, RetrainLook]) -> None:
    """Leaves what a tick says where the server finds it; a quiet one says the same again, and writes nothing."""
    from aerocast.contracts.loop_notes import RetrainNotes, retraining

    document = retraining(root, feed.name)
    document.mend()
    before = document.read()
    reasons = {target: look.reason for target, look in looks.items()}
    runs_now = {target: look.newest for target, look in looks.items()}
    if before is None or (before.reasons, before.runs) != (reasons, runs_now):
        document.write(RetrainNotes(feed.name, now, reasons, runs_now))


def _open_requests(context: dg.SensorEvaluationContext, root: Home, feed: Feed) -> "dict[str, Request]":
    """Open requests by target. One whose run exists is closed only now: what dies in between asks for the same run."""
    from aerocast.contracts import requests

    waiting: dict[str, Request] = {}
    try:
        pending = requests.open_requests(root, feed.name)
    except AeroCastError as error:
        context.log.warning(str(error))  # a damaged request must not stop what drift asks for
        return waiting
    for target, request in pending.items():
        if runs.launched(context.instance, request.id):
            requests.close_request(root, feed.name, target, request)
            context.log.info(f"{target}: request {request.id} was taken up")
        elif target not in feed.targets:
            requests.close_request(root, feed.name, target, request)
            context.log.warning(f"request {request.id}: {feed.name} has no target {target!r}")
        else:
            waiting[target] = request
    return waiting


def _look(tick: Tick, target: str, memory: "RetrainMemory", request: "Request | None") -> RetrainLook:
    """Drift first, then live evidence, then what was asked for; one run of a target at a time."""
    from aerocast.retraining.memory import note_run
    from aerocast.retraining.policy import decide

    unknown = {each.key for each in (*memory.attempts, memory.aid) if each and each.outcome == "running"}
    attempts = list(runs.retrains(tick.instance, tick.root, tick.feed, target, unknown))
    for run in attempts:
        memory = note_run(memory, run)
    last = attempts[0] if attempts else None
    hold = runs.hold(tick.root, tick.feed, target)
    action = decide(tick.feed.retraining, tick.heat(target), memory, tick.now, last=last, hold=hold)
    sentence = action.reason + ("" if tick.state else " (nothing was examined yet)")
    look = RetrainLook(sentence, action.memory, _newest(last, "" if action.act else action.reason, tick.heat(target)))
    if action.act:
        reason = f"{'first aid' if action.first_aid else 'drift'} {target}: {evidence(tick.state, target)}"
        tags = {runs.KEY_TAG: action.key, **runs.own_retries()}
        regime: dict[str, Any] = {"since": action.since, "first_aid": action.first_aid}
        return look._replace(run=runs.ask(tick.feed, target, reason, tick.now, run_key=action.key, tags=tags, **regime))
    if last and last.outcome == "running":
        return look._replace(reason=f"{look.reason}; request {request.id} waits for it") if request else look
    shadow = _shadow(tick, target, look, hold)
    if request and not (shadow and shadow.run):
        return _request(tick, target, shadow or look, request)
    return shadow or look


def _newest(last: "LastRun | None", obstacle: str, heat: "Heat") -> "RetrainRun":
    """What is published of a target: its newest retrain, and why drift starts none."""
    from aerocast.contracts.loop_notes import RetrainRun

    if last is None:
        return RetrainRun(obstacle=obstacle if heat.hot else "")
    outcome = "promoted" if last.outcome == "helped" else last.outcome
    waits = obstacle if heat.hot and outcome != "running" else ""
    return RetrainRun(last.run_id, last.reason, outcome, last.start, last.end, waits)


def evidence(state: "DriftState | None", target: str) -> str:
    """One short sentence: the station whose errors grew most, and the test that says it most clearly."""
    drifts = [d for d in (state.diagnoses if state else ()) if d.target == target and d.verdict == "concept_drift"]
    if not drifts:
        return "errors have grown beyond what the season allows"
    worst = max(drifts, key=lambda d: (d.rmse or 0.0) / (d.expected_rmse or d.rmse or 1.0))
    grown = f"RMSE {worst.rmse:.3g}, {worst.expected_rmse:.3g} expected" if worst.rmse and worst.expected_rmse else ""
    fired = sorted((each for each in worst.evidence if each.fired), key=lambda each: not each.test.startswith(DECISIVE))
    detail = fired[0].detail if fired else ""
    return f"{worst.station}: " + ("; ".join(filter(None, (grown, detail))) or "its errors have grown")


def _shadow(tick: Tick, target: str, look: RetrainLook, hold: str) -> RetrainLook | None:
    """A challenger that live outcomes have proven better than what serves is chosen, once, unless a person holds it.

    What was judged challenges what serves, too: then what serves has learned something last that made it worse.
    """
    from aerocast.releases import release
    from aerocast.retraining.policy import has_proof

    for shadow in tick.state.shadows if tick.state else ():
        name = f"{shadow.challenger} as judged" if shadow.as_judged else shadow.challenger
        done_before = shadow.target != target or name == look.memory.challenger
        if done_before or not has_proof(tick.feed.promotion, shadow):
            continue
        heat = tick.heat(target)
        if shadow.as_judged and (heat.hot or heat.warm):  # the world has changed, and neither fit knows it
            continue
        serves, rival = (read(tick.root, tick.feed.name, target) for read in (release.current, release.challenger))
        rival = serves if shadow.as_judged else rival
        if not serves or not rival or (serves.version, rival.version) != (shadow.champion, shadow.challenger):
            continue
        pairs = f"{shadow.pairs} live {'forecasts' if shadow.as_judged else 'requests'}"
        proof = f"{name} beats {shadow.champion} by {shadow.gain:.1%} on {pairs}"
        reason = f"shadow {target}: {proof}, p = {shadow.p_value:.2g}"
        if hold:
            return look._replace(reason=f"{look.reason}; {reason}, but {hold}")
        choice: dict[str, Any] = {"release": shadow.challenger, "as_judged": shadow.as_judged}
        return look._replace(
            reason=f"{look.reason}; {reason}",
            memory=msgspec.structs.replace(look.memory, challenger=name),
            run=runs.ask(tick.feed, target, reason, tick.now, run_key=f"{target}/shadow/{name}", **choice),
        )
    return None


def _request(tick: Tick, target: str, look: RetrainLook, request: "Request") -> RetrainLook:
    """What somebody asked for is done as it was asked: a cool-down or a budget binds the loop, not people.

    Of a champion that is held a trial is held, too; the champion's asset says that it stays.
    """
    heat, limits = tick.heat(target), tick.feed.retraining
    hot = heat.onset if heat.hot and heat.onset and tick.now >= heat.onset + limits.min_span else None
    run = runs.ask(
        tick.feed,
        target,
        f"request {request.id} {request.reason}".strip(),
        tick.now,
        run_key=request.id,
        since=hot or regime(tick.root, tick.feed, target),
        force=request.force,
        tags={runs.REQUEST_TAG: request.id},
    )
    return look._replace(reason=f"{look.reason}; request {request.id} is taken up", run=run)


def regime(root: Home, feed: Feed, target: str) -> datetime | None:
    """Where the regime began that the champion was trained for; None if drift never asked, or it cannot be read."""
    from aerocast.releases import release

    pointer = release.current(root, feed.name, target)
    try:
        return release.load(root, feed.name, target, pointer.version).manifest.lineage.since if pointer else None
    except AeroCastError:
        return None
