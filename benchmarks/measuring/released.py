"""A home with a release and a tail, made by the domain functions alone: all that a server needs."""

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
    prepared = prepare(name)
    found = [_candidate(prepared, each) for each in (*BASELINES, kind)]
    winner, short = found[-1], _candidate(prepared, SEQUENCE)
    trial = run_trial(prepared.feed, prepared.spec, prepared.samples, found, None)
    made = bundle.manifest(prepared.feed, prepared.spec, (winner, short), trial, "benchmark", "benchmark")
    tail.write_grids(home, name, {key: grid.tail(prepared.spec.look_back) for key, grid in prepared.grids.items()})
    version = release.write(home, made, bundle.files(winner, short))
    release.promote(home, name, prepared.spec.target, version)
    return version


def _candidate(prepared: Prepared, kind: str) -> Candidate:
    trained = train(prepared.feed, prepared.spec.target, kind, prepared.windows, silent)
    hashes = dict.fromkeys(("config_hash", "data_version"), "0" * 64)
    return msgspec.structs.replace(trained, **hashes, code_version="benchmark")
