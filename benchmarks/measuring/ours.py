"""Candidates and champions of the platform on prepared rows: trained, judged and forecasting by its own functions."""

import time
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.feed.model_kind import model, silent
from aerocast.models.candidates import Candidate
from aerocast.models.inference import forecast
from aerocast.models.splits import split_span
from aerocast.models.trainer import train
from aerocast.promotion.trial import run_trial
from aerocast.tables.training import Samples
from measuring.feeds import Prepared
from measuring.peer_job import Answer


def candidate(prepared: Prepared, kind: str, seed: int) -> Candidate:
    """One training with this seed, as the platform does it."""
    feed, params = prepared.feed, dict(prepared.feed.candidates)
    if model(kind).is_seeded:
        params = {name: {**values, "seed": seed} if name == kind else values for name, values in params.items()}
    feed = feed.model_copy(update={"candidates": params})
    print(f"  training {kind}{f', seed {seed}' if model(kind).is_seeded else ''} ...", flush=True)
    trained = train(feed, prepared.spec.target, kind, prepared.windows, silent)
    hashes = dict.fromkeys(("config_hash", "data_version"), "0" * 64)
    return msgspec.structs.replace(trained, **hashes, code_version="benchmark")


def before_test(prepared: Prepared) -> NDArray[np.bool_]:
    """Rows (n,) whose labels all lie before the test span."""
    span = prepared.samples.time
    return split_span(prepared.feed.split, prepared.spec, span.min(), span.max()).before_test(span)


def champion(prepared: Prepared, candidates: Sequence[Candidate]) -> tuple[Candidate | None, dict[int, str], str]:
    """What promotion would release of these candidates, what serves at each horizon, and the reason it gives."""
    trial = run_trial(prepared.feed, prepared.spec, prepared.samples, candidates, None)
    entry = trial.entry if trial.decision.promoted else None
    return entry, trial.decision.kinds, trial.decision.reason


def answer(each: Candidate, rows: Samples) -> Answer:
    """A candidate's forecasts of rows with its own intervals."""
    began = time.perf_counter()
    levels = forecast(each.graph, rows.rows.x, rows.names, each.features)
    seconds = time.perf_counter() - began
    low, high = each.intervals.apply(levels, rows.rows.x, rows.names)
    return Answer(*(bound.astype(np.float64) for bound in (levels, low, high)), each.seconds, seconds)
