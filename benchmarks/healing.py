"""The self-healing loop, closed: does it notice, call it by its name, retrain only when that helps, and recover?

Scenarios on real series (New York's airports, London's MY1, Washington's and Madrid's bikes, Elec2, a Midwestern
stream whose unit changes, sensors beside an analyser, a NAB series) and injected ones on airports (even seeds) and made
climates (odd seeds), `--seeds` of each. Every run is the product's own loop in process: forecast, outcome, examination
each 24 readings, heat, decision, retrain, judgement, promotion (measuring/loop.py). What is right is settled before:
by what was injected, by what is published, and for changes of the world by an oracle (measuring/truth.py).

Thresholds are set by `calibration.py` on other series and seeds. A window is one reading served; errors are RMSE, the
mean over the horizons, against what was so; medians over seeds. Ends with the targets, reached or MISSED.
`--first-aid` lives through the changes of the world with first aid and without it.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: a process a core, each with one thread

import msgspec
import numpy as np
from measuring import aid
from measuring.scenarios import INJECTED, NATURAL, SEASON, SENSOR, WORLD, injected
from measuring.table import show, verdict
from measuring.tally import REACHED, SPANS, Tally, first_champion, run
from measuring.truth import settle

QUIET = ("calm", SEASON, "noaa, natural", "MY1 air quality", "NAB c6585a")
FOUND, RIGHT, RARE = 0.95, 0.90, 1 / 5000
BOOSTED = " (xgboost)"

Work = tuple[str, int, str]  # scenario (or empty: all injected), seed, kind


def tallies(work: Work, names: Sequence[str]) -> list[Tally]:
    """Everything that one process does in one go: all injected scenarios of a seed, or one natural case."""
    name, seed, kind = work
    if name in NATURAL:
        return [run(NATURAL[name][0](seed, kind))]
    cases = list(injected(seed, [name] if name else names, kind))
    calm = next(injected(seed, ["calm"], kind))
    champion = first_champion(calm)
    seasonal = settle(calm, champion).gain
    # Half a year of seasons begins elsewhere, and so has a champion of its own.
    found = [run(case, None if case.scenario == SEASON else champion, seasonal) for case in cases]
    return found if kind == "linear" else [replace(each, scenario=each.scenario + BOOSTED) for each in found]


def plan(names: Sequence[str], seeds: int, boosted: int) -> list[Work]:
    """What there is to do, the longest first."""
    work = [(name, at, "linear") for name, (_, count) in NATURAL.items() if name in names for at in range(count)]
    work += [("dynamics", seed, "xgboost") for seed in range(boosted) if "dynamics" in names]
    if any(name in names for name in (*INJECTED, SEASON)):
        work += [("", seed, "linear") for seed in range(seeds)]
    return work


def carry_out(work: Sequence[Work], names: Sequence[str], processes: int) -> list[Tally]:
    """All tallies, in the order of the plan; says how far it is."""
    done: dict[int, list[Tally]] = {}
    began = time.monotonic()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(tallies, each, names): index for index, each in enumerate(work)}
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            if len(done) % 5 == 0:
                print(f"  {len(done)} of {len(work)} parts after {time.monotonic() - began:.0f} s", flush=True)
    return [each for index in sorted(done) for each in done[index]]


def _share(values: Iterable[bool | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.0%}" if known else "-"


def _median(values: Iterable[float | int | None], digits: int = 0) -> str:
    known = [value for value in values if value is not None and np.isfinite(value)]
    return f"{np.median(known):,.{digits}f}" if known else "-"


def _truths(own: Sequence[Tally]) -> str:
    kinds = [each.expected for each in own]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds), key=kinds.count, reverse=True))


def _digits(own: Sequence[Tally]) -> int:
    size = np.nanmedian([each.errors["before"].persistence for each in own] + [each.frozen for each in own])
    return 2 if size > 0.5 else 4


def show_diagnoses(groups: dict[str, list[Tally]]) -> None:
    header = [
        "",
        "runs",
        "truth",
        "found",
        "delay",
        "right",
        "fault's name",
        "retrains",
        "promoted",
        "unwanted",
        "alarms",
        "windows",
    ]
    header += ["per 1,000", "recovered after"]
    rows = []
    for name, own in groups.items():
        alarms, windows = sum(each.alarms for each in own), sum(each.windows for each in own)
        counts = [sum(getattr(each, field) for each in own) for field in ("retrains", "promoted", "unwanted")]
        rows.append(
            [
                name,
                str(len(own)),
                _truths(own),
                _share(each.found for each in own),
                _median(each.delay for each in own),
                _share(each.right for each in own),
                _share(each.named for each in own),
                *map(str, counts),
                str(alarms),
                f"{windows:,}",
                f"{1000 * alarms / windows:.3f}" if windows else "-",
                _median(each.recovery for each in own),
            ]
        )
    show(
        "Found and called (delay, recovery: median readings from the onset; alarms: where none was right)", header, rows
    )


def show_errors(groups: dict[str, list[Tally]]) -> None:
    header = ["RMSE: model / persistence / seasonal naive", *SPANS, "not retrained", "oracle", "after : oracle"]
    rows = []
    for name, own in groups.items():
        digits = _digits(own)
        cells = [
            " / ".join(_median((getattr(each.errors[span], who) for each in own), digits) for who in Tally.contenders)
            for span in SPANS
        ]
        healed = [each for each in own if each.expected in ("drift", "shift")]
        rows.append(
            [
                name,
                *cells,
                _median((each.frozen for each in own), digits),
                _median((each.oracle for each in healed), digits),
                _median((each.ratio for each in healed), 2),
            ]
        )
    show(
        "Errors (medians over runs; the oracle learned the new regime alone, shown where there is something to learn)",
        header,
        rows,
    )


def show_targets(found: Sequence[Tally]) -> bool:
    """The issue's targets; whether all are reached."""
    quiet = [each for each in found if each.scenario in QUIET or each.expected == "sensor"]
    drifts = [each for each in found if each.expected in ("drift", "shift")]
    healed = [each for each in found if each.expected == "drift" and each.found]
    # A run that had no forecasts left to judge has not recovered.
    ratios = np.array([each.ratio if np.isfinite(each.ratio) else np.inf for each in healed])
    alarms, windows = sum(each.alarms for each in found), sum(each.windows for each in found)
    retrains, caught = sum(each.retrains for each in quiet), float(np.mean([bool(each.found) for each in drifts]))
    right, within = float(np.mean([each.right for each in found])), float(np.median(ratios)) if len(ratios) else np.nan
    near = float(np.mean(ratios <= REACHED)) if len(ratios) else np.nan
    per = windows / alarms if alarms else np.inf
    table = [
        (f"retrains in {len(quiet)} calm, season and sensor runs", f"{retrains}", "0", retrains == 0),
        (f"concept drifts found, of {len(drifts)}", f"{caught:.1%}", f">= {FOUND:.0%}", caught >= FOUND),
        (f"right diagnosis, of {len(found)} runs", f"{right:.1%}", f">= {RIGHT:.0%}", right >= RIGHT),
        (f"error after : oracle, median of {len(ratios)}", f"{within:.3f}", f"<= {REACHED}", within <= REACHED),
        (f"one false alarm in windows, of {windows:,}", f"{per:,.0f}", f"> {1 / RARE:,.0f}", alarms < RARE * windows),
    ]
    show("Targets", ["", "", "target", ""], [[a, b, c, verdict(bool(d))] for a, b, c, d in table])
    print(f"  {near:.0%} of the drifts found end within {REACHED - 1:.0%} of the oracle, each judged alone")
    changed = [each for each in found if each.scenario in WORLD and each.scenario != "calm"]
    alone = [each for each in changed if not each.promoted and (each.expected == "quiet" or each.ratio <= REACHED)]
    print(f"  {len(alone)} of {len(changed)} changes of the world heal without a retrain: little is left to learn")
    return all(reached for *_, reached in table)


def show_wrong(found: Sequence[Tally], most: int) -> None:
    """The runs that went wrong, with what happened in them."""
    wrong = [each for each in found if not each.right or each.unwanted or (each.found and not _recovered(each))]
    print(f"\n{len(wrong)} runs went wrong in some way" + (f"; the first {most}:" if len(wrong) > most else ":"))
    for each in wrong[:most]:
        said = f"truth {each.expected}, called {each.diagnosis}, {each.retrains} retrains, {each.alarms} false alarms"
        after = f", after : oracle {each.ratio:.2f}" if np.isfinite(each.ratio) else ""
        print(f"  {each.scenario}, seed {each.seed} ({each.source}): {said}{after}")
        for note in each.notes[:6]:
            print(f"      {note[:200]}")


def _recovered(each: Tally) -> bool:
    """Whether nothing more was to be expected of the run's end."""
    return each.expected != "drift" or each.ratio <= REACHED


def options() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seeds", type=int, default=20, help="runs of each injected scenario (default: %(default)s)")
    made.add_argument("--boosted", type=int, default=2, help="of them also with xgboost (default: %(default)s)")
    made.add_argument("--quick", action="store_true", help="two seeds, no xgboost")
    made.add_argument("--only", nargs="+", metavar="SCENARIO", help="these scenarios alone")
    made.add_argument("--processes", type=int, default=2, help="default: %(default)s")
    made.add_argument("--wrong", type=int, default=12, help="how many wrong runs to tell (default: %(default)s)")
    made.add_argument("--first-aid", action="store_true", help="what first aid brings: changes with it and without it")
    made.add_argument("--json", type=Path, help="write every tally there")
    return made.parse_args()


def main(measure: Callable[[Sequence[Work], Sequence[str], int], list[Tally]] = carry_out) -> None:
    asked = options()
    known = [*INJECTED, SEASON, *NATURAL]
    names = asked.only or known
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no such scenario: {', '.join(unknown)}; there are: {', '.join(known)}")
    if asked.first_aid:
        aid.compare(asked.seeds, asked.processes)
        return
    seeds, boosted = (2, 0) if asked.quick else (asked.seeds, min(asked.boosted, asked.seeds))
    began = time.monotonic()
    print(
        f"{len(names)} scenarios ({len(SENSOR)} of them sensor faults), {seeds} seeds of each injected one", flush=True
    )
    found = measure(plan(names, seeds, boosted), names, asked.processes)
    order = [*known, *(name + BOOSTED for name in known)]
    groups = {name: own for name in order if (own := [each for each in found if each.scenario == name])}
    if asked.json:
        asked.json.write_bytes(msgspec.json.encode(found))
    show_diagnoses(groups)
    show_errors(groups)
    show_wrong(found, asked.wrong)
    show_targets(found)
    print(f"\n{len(found)} runs in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
