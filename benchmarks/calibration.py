"""Where the drift thresholds come from: false alarms and power of every test, on data that judges nothing.

The same loop and injections as `healing.py`, on other series (Portland 2014, Beijing's temperatures 2013 to 2016, a
London street 1998 to 2001, loads of a power grid) and on made climates of other seeds. Each test of each examination
is noted with its statistic: `quiet` where nothing had happened, `hit` while a change or fault was there.

A line a test: how often it fired in quiet (per 1,000 readings), the statistic's quantiles in quiet, and for each
scenario that it ever fires in the share of runs that cross the threshold while hit. `--test NAME` prints candidates
for a threshold: false alarms and power at each, from which the constants in `aerocast/drift` were chosen.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from measuring.loop import Live, Loop
from measuring.scenarios import INJECTED, SEASON, Bases, injected, natural
from measuring.series import Series, beijing, declare, load, portland, street
from measuring.table import show
from measuring.tally import GRACE, Tally, first_champion, tally
from measuring.truth import Case, Truth, settle

CALIBRATE = 19_990_303
SITES = ("Aotizhongxin", "Changping", "Dongsi", "Tiantan")
REAL = ("Portland", *(f"{site} {year}" for site in SITES for year in (2014, 2016)))
QUIETS = ("London street", "AEP", "PJME")


def real(name: str) -> Series:
    """A calibration series by its name."""
    if name == "Portland":
        return portland()
    site, year = name.split()
    return beijing(site, int(year))


BASES = Bases(CALIBRATE, REAL, real)


@dataclass(frozen=True)
class Noted:
    """One test in one examination."""

    scenario: str
    seed: int
    hit: bool
    test: str
    subject: str
    value: float
    threshold: float
    fired: bool


def quiet_case(name: str) -> Case:
    """A real series in which nothing is documented to change."""
    if name == "London street":
        units = {"no2": ("dimensionless", -20.0, 500.0), "o3": ("dimensionless", -20.0, 500.0)}
        feed = declare("street", units | {"ws": ("m/s", 0.0, 60.0)}, "no2")
        series = street()
    else:
        feed = declare("load", {"load": ("MW", 0.0, 1e6)}, "load", seasons=["P7D"], look_back=168, horizons=(1, 24))
        series = load(name)
    live = len(series.time) - 300 * 24
    return replace(natural(name, 0, feed, series, live, live + 288, 720, 24, "none"), source=name)


def noted(case: Case, truth: Truth, live: Live) -> list[Noted]:
    """Every statistic of a run, by whether something was there to be found."""
    onset, end = case.injected.onset, case.injected.end
    quiet = truth.expected == "quiet" and case.injected.cause == "none"
    found = []
    for each in live.examined:
        hit = onset <= each.at < end + GRACE and not quiet
        if each.at >= end + GRACE and not quiet:
            continue
        for one in each.diagnosis.evidence:
            if one.value is not None and one.threshold is not None:
                scenario = case.scenario if case.injected.cause != "world" else f"{case.scenario}: {truth.expected}"
                found.append(
                    Noted(scenario, case.seed, hit, one.test, one.subject, one.value, one.threshold, one.fired)
                )
    return found


def work(part: tuple[str, int, tuple[str, ...]]) -> tuple[list[Noted], list[Tally]]:
    """One quiet series, or all injected scenarios of a seed."""
    name, seed, names = part
    cases = [quiet_case(name)] if name else list(injected(seed, names, bases=BASES))
    found, told = list[Noted](), list[Tally]()
    calm = cases[0] if name else next(injected(seed, ["calm"], bases=BASES))
    champion = first_champion(calm)
    seasonal = settle(calm, champion).gain
    for case in cases:
        own = first_champion(case) if case.scenario == SEASON else champion
        truth = settle(case, own, seasonal)
        live = Loop(case.feed, case.injected.measured, case.live, own, case.every).run()
        found += noted(case, truth, live)
        told.append(tally(case, truth, live))
    return found, told


def show_tests(found: Sequence[Noted]) -> None:
    """Each test in quiet, and what it sees."""
    rows = []
    for test in sorted({each.test for each in found}):
        own = [each for each in found if each.test == test]
        quiet = [each for each in own if not each.hit]
        values = np.array([each.value for each in quiet]) if quiet else np.array([np.nan])
        fired = sum(each.fired for each in quiet)
        power = ", ".join(f"{name} {share:.0%}" for name, share in _power(own, None).items() if share > 0)
        limits = f"{own[0].threshold:g}"
        quantiles = " ".join(f"{np.quantile(values, share):.3g}" for share in (0.5, 0.9, 0.99, 0.999))
        rows.append([test, limits, f"{1000 * fired / max(1, 24 * len(quiet)):.3f}", quantiles, power or "-"])
    header = ["test", "threshold", "fired per 1,000 quiet", "median, 90, 99, 99.9 %", "runs in which it fired when hit"]
    show("Tests at their thresholds", header, rows)


def _power(own: Iterable[Noted], threshold: float | None) -> dict[str, float]:
    """Share of each scenario's runs in which the test fires (or crosses `threshold`) at least once while hit."""
    runs: dict[str, dict[int, bool]] = defaultdict(dict)
    for each in own:
        if each.hit:
            crossed = each.fired if threshold is None else each.value > threshold
            runs[each.scenario][each.seed] = runs[each.scenario].get(each.seed, False) or crossed
    return {name: float(np.mean(list(seeds.values()))) for name, seeds in sorted(runs.items())}


def show_candidates(found: Sequence[Noted], test: str) -> None:
    """False alarms and power of a test at thresholds between what quiet and hit show."""
    own = [each for each in found if each.test == test]
    if not own:
        raise SystemExit(f"no such test: {test}; there are: {', '.join(sorted({each.test for each in found}))}")
    quiet = np.array([each.value for each in own if not each.hit])
    names = list(_power(own, None))
    rows = []
    for share in (0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0):
        threshold = float(np.quantile(quiet, share))
        power = _power(own, threshold)
        alarms = 1000 * float(np.mean(quiet > threshold)) / 24
        rows.append([f"{threshold:.4g}", f"{alarms:.3f}", *(f"{power[name]:.0%}" for name in names)])
    show(f"Candidates for {test} (now {own[0].threshold:g})", ["threshold", "per 1,000 quiet", *names], rows)


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seeds", type=int, default=8)
    made.add_argument("--test", action="append", default=[], help="print candidates for this test's threshold")
    made.add_argument("--only", nargs="+", metavar="SCENARIO", help="these injected scenarios alone")
    made.add_argument("--processes", type=int, default=2)
    asked = made.parse_args()
    names = tuple(asked.only or (*INJECTED, SEASON))
    parts = [] if asked.only else [(name, 0, ()) for name in QUIETS]
    parts += [("", seed, names) for seed in range(asked.seeds)]
    began = time.monotonic()
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        done = list(pool.map(work, parts))
    found = [each for notes, _ in done for each in notes]
    tallies = [each for _, told in done for each in told]
    show_loop(tallies)
    show_tests(found)
    for test in asked.test:
        show_candidates(found, test)
    print(f"\n{len(tallies)} runs in {time.monotonic() - began:.0f} s")


def show_loop(found: Sequence[Tally]) -> None:
    """The loop as a whole on calibration data: what `healing.py` asks, of other runs."""
    rows = []
    for name in dict.fromkeys(each.scenario for each in found):
        own = [each for each in found if each.scenario == name]
        calls = [each.diagnosis for each in own]
        windows, alarms = sum(each.windows for each in own), sum(each.alarms for each in own)
        said = ", ".join(f"{calls.count(call)} {call}" for call in sorted(set(calls)))
        truths = ", ".join(
            f"{sum(e.expected == kind for e in own)} {kind}" for kind in sorted({e.expected for e in own})
        )
        right, retrains = np.mean([each.right for each in own]), sum(each.retrains for each in own)
        ratios = [each.ratio for each in own if each.expected == "drift"]
        ratio = f"{np.median(ratios):.2f}" if ratios else "-"
        delays = [each.delay for each in own if each.delay is not None]
        delay = f"{np.median(delays):.0f}" if delays else "-"
        rows.append([name, truths, said, f"{right:.0%}", delay, str(retrains), ratio, f"{alarms}/{windows:,}"])
    header = ["", "truth", "called", "right", "delay", "retrains", "after : oracle", "false alarms"]
    show("The loop on calibration data", header, rows)


if __name__ == "__main__":
    main()
