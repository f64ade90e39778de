"""All who forecast one recorded series, on the rows that judge it: floors, candidates, champion and peers."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aerocast.features.grid import Floats
from aerocast.features.local_time import DAY, local_seconds
from aerocast.feed.model_kind import model
from aerocast.models.candidates import Candidate
from aerocast.models.splits import Role
from aerocast.models.trainer import roles
from measuring import by_mlforecast, by_prophet, ours, peer_environment, peers
from measuring.feeds import Prepared, prepare_series
from measuring.marks import Mark, marks
from measuring.peer_job import Answer, Job, load_answer
from measuring.recorded import KINDS, Recorded
from measuring.series import STATION

CHAMPION, SEASON, RIDGE, TREES = "champion", "longest season", "ridge floor", "XGBoost, 48 lags"
# The baseline `seasonal_naive` chooses one of several seasons on validation rows; the reference takes the longest.
FLOORS = ("persistence", SEASON, "seasonal_naive", RIDGE)
ROLLING = ("AutoETS", "AutoTheta", "MSTL")  # these forecast some origins of the test span alone
SCRIPTS = {
    "by_mlforecast.py": (by_mlforecast.NAME,),
    "by_prophet.py": (by_prophet.NAME,),
    "by_statsforecast.py": ROLLING,
}
PEERS = (TREES, by_mlforecast.NAME, by_prophet.NAME, *ROLLING)
FAST_PEERS = tuple(name for name in PEERS if name not in ROLLING)
PATIENCE = 1800.0  # seconds for one script on one series

Answers = dict[str, list[Answer]]


class Result(msgspec.Struct, frozen=True):
    """One series: marks on all test rows and on those that everyone forecasts, what serves at each horizon, and why
    a contender is absent. `gapless` are the floors' on the rows that the reference takes: no lag is missing.
    """

    series: str
    whole: list[Mark]
    rolling: list[Mark]
    kinds: dict[int, str]
    absent: dict[str, str]
    gapless: list[Mark] = []


@dataclass(frozen=True)
class Environment:
    """Where the peers' Python is; without one `reason` says why. `is_asked` is false where no peer is to run."""

    python: Path | None
    reason: str = ""
    is_asked: bool = True


NO_PEERS = Environment(None, "not asked for", False)


def measure(name: str, recorded: Recorded, environment: Environment, seeds: int, origins: int) -> Result:
    """Everyone on one series; `origins` test rows are forecast by the peers that take long for one.

    Raises:
        recorded.Absent: the series cannot be read here.
    """
    slug = "".join(each if each.isalnum() else "_" for each in name.lower())
    prepared = prepare_series(recorded.feed(slug), recorded.series())
    test = roles(prepared.feed, prepared.spec, prepared.samples) == Role.TEST
    rows, horizons = prepared.samples.take(test), prepared.spec.horizons
    print(f"{name}: {len(test):,} origins, {test.sum():,} judge", flush=True)
    answers, kinds, absent = _ours(prepared, test, seeds)
    job = make_job(prepared, test, origins)
    lags = peers.lags(prepared.spec, prepared.grids, prepared.samples, recorded.lags)
    answers |= {RIDGE: [_ridge(prepared, job, test, lags)]}
    answers |= {SEASON: [peers.seasonal(job, prepared.spec.seasons[-1])]}
    theirs, reasons = _peers(job, environment) if environment.is_asked else ({}, {})
    answers |= theirs
    absent |= reasons
    bounds = prepared.feed.column(prepared.spec.target).bounds
    answers = {label: [each.clip(*bounds) for each in own] for label, own in answers.items()}
    actual = rows.rows.y.astype(np.float64)
    everywhere = {label: own for label, own in answers.items() if label not in ROLLING}
    some = np.isin(np.arange(len(actual)), job.rolling)
    return Result(
        name,
        marks(everywhere, actual, horizons, np.ones(len(actual), dtype=bool)),
        marks(answers, actual, horizons, some) if len(everywhere) < len(answers) else [],
        kinds,
        absent,
        marks({label: answers[label] for label in FLOORS}, actual, horizons, np.isfinite(lags[test, 0]).all(axis=1)),
    )


def _ours(prepared: Prepared, test: NDArray[np.bool_], seeds: int) -> tuple[Answers, dict[int, str], dict[str, str]]:
    """Candidates a seed, and what promotion makes of each seed's.

    The kinds are those of the first that it promotes; what it refuses has a reason.
    """
    rows, trained = prepared.samples.take(test), dict[str, list[Candidate]]()
    for kind in KINDS:
        own = [ours.candidate(prepared, kind, seed) for seed in range(seeds if model(kind).is_seeded else 1)]
        trained[kind] = own
    answers = {kind: [ours.answer(each, rows) for each in own] for kind, own in trained.items()}
    champions, serving, refused = list[Candidate](), dict[int, str](), dict[str, str]()
    for seed in range(seeds):
        entry, kinds, reason = ours.champion(prepared, [own[min(seed, len(own) - 1)] for own in trained.values()])
        serving = serving or kinds
        champions += [entry] if entry else []
        refused |= {} if entry else {f"{CHAMPION} of seed {seed}": reason}
    if champions:
        answers[CHAMPION] = [ours.answer(each, rows) for each in champions]
    return answers, serving, refused


def _ridge(prepared: Prepared, job: Job, test: NDArray[np.bool_], lags: Floats) -> Answer:
    """The reference's ridge on `lags` (n, C, L); where a season of a week is declared, it knows the day of the week."""
    samples, spec = prepared.samples, prepared.spec
    x = [lags[:, 0], lags[:, 1:, 0], peers.clock(spec, samples)]
    if spec.seasons[-1] > job.day:
        origins = positions(prepared)
        x += [np.eye(7)[job.weekday[origins + ahead]] for ahead in (0, *spec.horizons)]
    return peers.ridge_floor(np.hstack(x), samples.rows.y, ours.before_test(prepared), test)


def positions(prepared: Prepared) -> NDArray[np.int64]:
    """Steps (n,) of the samples' origins in the grid."""
    start, step = prepared.grids[STATION].time[0], np.timedelta64(prepared.spec.cadence, "s")
    return ((prepared.samples.time - start) // step).astype(np.int64)


def make_job(prepared: Prepared, test: NDArray[np.bool_], origins: int) -> Job:
    """What the peers receive; `origins` of the test rows, drawn over the whole span, are those that all forecast."""
    spec, grid = prepared.spec, prepared.grids[STATION]
    names = [spec.target, *(name for name in spec.inputs if name != spec.target)]
    order = [grid.columns.index(name) for name in names]
    step = np.timedelta64(spec.cadence, "s")
    local = local_seconds(grid.time[0] + np.arange(len(grid.time) + spec.horizons[-1]) * step, spec.places[0].timezone)
    days = [np.array(each.days, dtype="datetime64[D]").astype(np.int64) for each in spec.holidays]
    at, count = positions(prepared), int(test.sum())
    return Job(
        values=grid.values[:, order].astype(np.float64),
        measured=np.where(grid.age[:, order[0]] == 0, grid.values[:, order[0]], np.nan).astype(np.float64),
        local=local.astype(np.int64),
        holiday=np.isin(local // DAY, np.concatenate(days) if days else ()),
        learned=at[ours.before_test(prepared)],
        test=at[test],
        rolling=np.sort(np.random.default_rng(0).choice(count, min(origins, count), replace=False)),
        horizons=np.array(spec.horizons, dtype=np.int64),
        cadence=spec.cadence,
    )


def _peers(job: Job, environment: Environment) -> tuple[Answers, dict[str, str]]:
    """Answers of all peers, and why one has none."""
    print(f"  fitting {TREES} ...", flush=True)
    answers, absent = {TREES: [peers.trees(job)]}, dict[str, str]()
    if environment.python is None:
        return answers, dict.fromkeys(PEERS[1:], environment.reason)
    with tempfile.TemporaryDirectory(prefix="aerocast-bench-") as folder:
        path, out = Path(folder) / "job.npz", Path(folder)
        job.save(path)
        for script, names in SCRIPTS.items():
            print(f"  fitting {', '.join(names)} ...", flush=True)
            reasons: Mapping[str, str] = {}
            try:
                printed = peer_environment.run(environment.python, script, path, out, PATIENCE)
                reasons = json.loads(printed) if script == "by_statsforecast.py" else {}
            except peer_environment.Missing as error:
                reasons = dict.fromkeys(names, str(error))
            absent |= reasons
            answers |= {name: [load_answer(out / f"{name}.npz")] for name in names if name not in absent}
    return answers, absent
