"""Carries a decision out: the winner serves, challenges what serves, or is dropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from aerocast.contracts import clock
from aerocast.contracts.manifest import Manifest
from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.models.candidates import Candidate
from aerocast.models.splits import parse_since
from aerocast.promotion import bundle
from aerocast.promotion.decision import Decision
from aerocast.promotion.trial import Trial
from aerocast.releases import release
from aerocast.storage.home import Home


@dataclass(frozen=True)
class Outcome:
    """What serves from now on, the version of the winner as a release, and the decision as it is recorded."""

    serves: Manifest | None
    challenger: str | None
    decision: Decision


def regime(since: str, candidates: Sequence[Candidate]) -> datetime | None:
    """When the regime began that the trial judges: as asked, or as the candidates were trained."""
    return parse_since(since) or max((each.since for each in candidates if each.since), default=None)


def apply_decision(
    root: Home,
    feed: Feed,
    trial: Trial,
    graphs: tuple[Candidate | None, Candidate | None],
    before: release.ServingRelease,
    run_id: str,
    reason: str | None,
) -> Outcome:
    """Promotes the winner (of `graphs`, beside what answers short sequences), or lets it challenge what serves.

    Raises:
        AeroCastError: the disk or the object store refuses; what served before serves on.
    """
    (winner, sequence), decision, hold = graphs, trial.decision, before.hold
    now = before.release.manifest if before.release else None
    if winner and now and winner.config_hash == now.lineage.config_hash:
        same = f"Kept: the challenger, {winner.kind}, already serves ({now.version})."
        return Outcome(now, now.version, msgspec.structs.replace(decision, promoted=True, reason=same))
    decision = msgspec.structs.replace(decision, reason=decision.reason + trial.note)
    if hold:
        text = f"Held: {now.version if now else 'what serves'} stays, for {hold}. The trial found: {decision.reason}"
        decision = msgspec.structs.replace(decision, promoted=False, reason=text)
    challenges = not decision.promoted and now is not None and feed.promotion.shadow > 0
    if winner is None or not (decision.promoted or challenges):
        if winner and release.challenger(root, feed.name, winner.target):
            release.challenge(root, feed.name, winner.target, None)
        return Outcome(now, None, decision)
    why = reason or ("first champion" if now is None else "refresh")
    spec, present = WindowSpec.of(feed, winner.target), clock.now(root, feed.name, feed.end)
    manifest = bundle.manifest(feed, spec, (winner, sequence), trial, run_id, why, present)
    version = release.write(root, manifest, bundle.files(winner, sequence))
    if challenges:
        release.challenge(root, feed.name, winner.target, version)
        return Outcome(now, version, decision)
    release.promote(root, feed.name, winner.target, version)
    return Outcome(release.load(root, feed.name, winner.target, version).manifest, version, decision)
