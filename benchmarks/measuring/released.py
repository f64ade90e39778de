"""A home with a release and a tail, made by the domain functions alone: all that a server needs."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from aerocast.contracts import tail
from aerocast.feed.declaration import BASELINES
from aerocast.feed.model_kind import SEQUENCE, silent
from aerocast.models.candidates import Candidate
from aerocast.models.trainer import train
from aerocast.promotion import bundle
from aerocast.promotion.trial import run_trial
from aerocast.releases import release
from measuring.feeds import Prepared, prepare


def make_home(home: Path, name: str = "noaa", kind: str = "linear") -> str:
    """Trains `kind`, the baselines and the graph for sequences, and releases it; the release's version."""
    return publish(home, prepare(name), [kind])


def publish(home: Path, prepared: Prepared, kinds: Sequence[str], *, sequences: bool = True) -> str:
    """Trains these kinds, the baselines and the graph for `sequences`, and releases what is best; its version."""
    candidates = [_candidate(prepared, each) for each in (*BASELINES, *kinds)]
    trial = run_trial(prepared.feed, prepared.spec, prepared.samples, candidates, None)
    winner = trial.entry or candidates[-1]
    short = _candidate(prepared, SEQUENCE) if sequences else None
    made = bundle.manifest(prepared.feed, prepared.spec, (winner, short), trial, "benchmark", "benchmark")
    name, rows = prepared.feed.name, prepared.spec.look_back
    tail.write_grids(home, name, {key: grid.tail(rows) for key, grid in prepared.grids.items()})
    version = release.write(home, made, bundle.files(winner, short))
    release.promote(home, name, prepared.spec.target, version)
    return version


def _candidate(prepared: Prepared, kind: str) -> Candidate:
    trained = train(prepared.feed, prepared.spec.target, kind, prepared.windows, silent)
    hashes = dict.fromkeys(("config_hash", "data_version"), "0" * 64)
    return msgspec.structs.replace(trained, **hashes, code_version="benchmark")
