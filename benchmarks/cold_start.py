"""How well a station is forecast that the model has never seen, and whether its intervals hold what they state.

Each of New York's airports in turn is left out of training, and its newest fifth is forecast as a server forecasts a
new station: before its first reading (none), from its first step alone (short), and with a whole window (whole).
Figures: RMSE by steps ahead, and the share of outcomes within the 90 % intervals, as wide as training measured and as
they would be for a station that the model knows. Target: 88 % at least, over all airports, in each of the three.

`--prior` then compares with a pretrained prior, Fracast-0, in an environment of its own (it brings PyTorch): with 0, 6,
24, 72 and 168 readings known, also of stations far from all that were learned. The prior sees the known readings, of
which it needs eight, or before them the mean of the other stations as well, and so does our model once more.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from measuring import peer_environment
from measuring.feeds import Prepared, prepare
from measuring.newcomers import Learned, Newcomer, measured_span
from measuring.series import DATA, grid, regular
from measuring.table import show, verdict
from numpy.typing import NDArray

from aerocast.contracts.cold_start import History
from aerocast.features.dataset import mae, rmse
from aerocast.features.features import feature_names
from aerocast.features.grid import Floats, Place

KINDS = ("linear", "xgboost")
TARGET = 0.88
STRIDE, PEER_STRIDE = 7, 17  # origins between two that count
KNOWN = (0, 6, 24, 72, 168)
PRIOR = Path(tempfile.gettempdir()) / "aerocast-bench-prior"
LIMIT = 3600  # seconds for the prior's forecasts of one set


def intervals(prepared: Prepared, newcomers: Sequence[Newcomer]) -> bool:
    """Prints the first part; whether its target is reached."""
    steps: dict[History, int] = {"none": 0, "short": 1, "whole": prepared.spec.look_back}
    reached = True
    for kind in KINDS:
        table = []
        for known, count in steps.items():
            parts = [held(each, kind, known, count) for each in newcomers]
            errors, wide, usual = (np.concatenate(each) for each in zip(*parts, strict=True))
            shares = [float(np.nanmean(each)) for each in (wide, usual)]
            reached &= shares[0] >= TARGET
            roots = [f"{error:.2f}" for error in np.sqrt(np.nanmean(errors, axis=0))]
            table.append([known, *roots, *(f"{share:.1%}" for share in shares)])
        header = ["history", *(f"RMSE {horizon} h" for horizon in prepared.spec.horizons), "held", "held if not wider"]
        show(f"{kind}, airports left out in turn", header, table)
    print(f"\nat least {TARGET:.0%} held in each: {verdict(reached)}")
    return reached


def held(newcomer: Newcomer, kind: str, known: History, steps: int) -> tuple[NDArray[np.float64], Floats, Floats]:
    """Squared errors (n, H), and whether outcomes lie within the wider and the usual intervals; NaN where unknown."""
    candidate, x, names = newcomer.candidates[kind], newcomer.rows(steps), feature_names(newcomer.spec)
    cold, actual, levels = candidate.intervals.cold_start, newcomer.actual, newcomer.levels(kind, x)
    assert cold is not None
    inside = []
    for wider in (cold.factors(known), 1.0):
        lower, upper = candidate.intervals.apply(levels, x, names, wider)
        inside.append(np.where(np.isnan(actual), np.nan, (lower <= actual) & (actual <= upper)))
    return (levels - actual).astype(np.float64) ** 2, *inside


def beside_prior(label: str, newcomers: Sequence[Newcomer], python: Path | None, *, newest: bool) -> None:
    """Prints RMSE and MAE of everybody by readings known; `newest`: nothing that was learned is of the same time."""
    horizons, table = newcomers[0].spec.horizons, []
    prior = {} if python is None else asked(python, newcomers)
    actual = np.concatenate([each.actual for each in newcomers])
    for steps in KNOWN:
        parts: list[dict[str, Floats]] = []
        for each in newcomers:
            x = each.rows(steps)
            parts.append(each.baselines(x) | {"AeroCast": each.served(x, newest=newest)})
            if each.has_neighbours and steps < each.spec.look_back:
                whole = each.rows_with_neighbours(steps)
                parts[-1]["AeroCast with the others"] = each.served(whole, newest=newest)
        levels = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        levels |= {name: answer for (name, known), answer in prior.items() if known == steps}
        levels = {name: own for name, own in levels.items() if np.isfinite(own).any()}
        everybody = np.isfinite(np.stack([actual, *levels.values()])).all(axis=(0, 2))
        for name, own in levels.items():
            errors = zip(rmse(own[everybody], actual[everybody]), mae(own[everybody], actual[everybody]), strict=True)
            table.append([name, str(steps), *(f"{figure(root)} | {figure(mean)}" for root, mean in errors)])
    show(f"{label}, {len(actual)} origins: RMSE | MAE", ["", "known", *(f"{each} ahead" for each in horizons)], table)


def figure(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def asked(python: Path, newcomers: Sequence[Newcomer]) -> dict[tuple[str, int], Floats]:
    """The prior's forecasts (n, H), by its name and the readings known."""
    levels = {}
    with tempfile.TemporaryDirectory() as folder:
        job, out = Path(folder) / "job.npz", Path(folder) / "out.npz"
        for steps in KNOWN:
            contexts = {"Fracast-0 on them": [each.readings(steps) for each in newcomers]} if steps else {}
            if newcomers[0].has_neighbours:
                contexts["Fracast-0 with the others"] = [each.with_neighbours(steps) for each in newcomers]
            for name, rows in contexts.items():
                np.savez(job, contexts=np.concatenate(rows), horizons=np.array(newcomers[0].spec.horizons))
                peer_environment.run(python, "by_fracast.py", job, out, LIMIT)
                with np.load(out) as answer:
                    levels[name, steps] = answer["levels"]
    return levels


def far(learned: Learned) -> Iterator[tuple[str, Newcomer]]:
    """Stations of other places and years in the units of New York's airports."""
    portland = pd.read_parquet(DATA / "pnw_asos_2014" / "PDX_2014.parquet")
    madison = pd.read_parquet(DATA / "kmsn_asos_5min_2016" / "KMSN_201603_201611.parquet")
    fields = {"temperature": "temp", "humidity": "humid", "windspeed": "wind_speed", "pressure": "pressure"}
    others = {"temperature": "temp_f", "humidity": "rh_pct", "windspeed": "wind_mph"}
    west, middle = Place("NEW", "America/Los_Angeles", 45.59, -122.6), Place("NEW", "America/Chicago", 43.14, -89.35)
    for label, frame, names, place in (
        ("Portland, temperature [degF]", portland, fields, west),
        ("Madison, temperature [degF]", madison, others, middle),
    ):
        own = grid(regular(frame, "time_utc", names, timedelta(hours=1)), 6)
        yield label, learned.meet(replace(own, place=place), PEER_STRIDE)


def cells() -> Iterator[Newcomer]:
    """Each of Barcelona's base stations by the model of the others, which were measured in other weeks."""
    os.environ["AEROCAST_NETWORK_DATA"] = str(DATA / "lte_barcelona")
    prepared = prepare("network", "users", (1, 6, 24))
    grids = [measured_span(each, "users") for each in prepared.grids.values()]
    for own in grids:
        learned = Learned.of(prepared.feed, "users", [each for each in grids if each is not own], KINDS)
        yield learned.meet(own, 2 * PEER_STRIDE)


def compare(prepared: Prepared, apart: Sequence[Learned]) -> None:
    """Prints the second part; `apart` have learned without one of the airports each, in their order."""
    try:
        python = peer_environment.interpreter(PRIOR, ("fracast==0.1.0",))
    except peer_environment.Missing as error:
        print(f"\nwithout the prior: {error}")
        python = None
    feed, target, grids = prepared.feed, prepared.spec.target, list(prepared.grids.values())
    airports = [each.meet(own, PEER_STRIDE) for each, own in zip(apart, grids, strict=True)]
    beside_prior("New York's airports, temperature [degF]", airports, python, newest=False)
    if not DATA.exists():
        print(f"\nno other stations: {DATA} is not there")
        return
    for label, newcomer in far(Learned.of(feed, target, grids, KINDS)):
        beside_prior(label, [newcomer], python, newest=True)
    beside_prior("Barcelona's base stations, users", [*cells()], python, newest=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", action="store_true", help="compare with the pretrained prior, too")
    compares = parser.parse_args().prior
    prepared = prepare("noaa")
    feed, target, grids = prepared.feed, prepared.spec.target, list(prepared.grids.values())
    apart = [Learned.of(feed, target, [each for each in grids if each is not own], KINDS) for own in grids]
    intervals(prepared, [each.meet(own, STRIDE) for each, own in zip(apart, grids, strict=True)])
    if compares:
        compare(prepared, apart)


if __name__ == "__main__":
    main()
