"""What first aid brings: the same changes of the world, lived through with it and without it."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import fmean

import numpy as np

from measuring.scenarios import WORLD, injected
from measuring.table import show
from measuring.tally import Span, Tally, first_champion, run
from measuring.truth import settle

SPANS: tuple[Span, ...] = ("during", "after")
Pair = tuple[Tally, Tally]  # with first aid, and without


def pairs(seed: int) -> list[Pair]:
    """Every change of the world of a seed, in both ways."""
    calm = next(injected(seed, ["calm"]))
    champion = first_champion(calm)
    seasonal = settle(calm, champion).gain
    changes = injected(seed, [name for name in WORLD if name != "calm"])
    return [(run(case, champion, seasonal), run(case, champion, seasonal, first_aid=False)) for case in changes]


def compare(seeds: int, processes: int) -> None:
    """Runs both and prints errors with first aid as shares of those without, paired by run."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        found = [pair for own in pool.map(pairs, range(seeds)) for pair in own]
    header = ["with : without", "runs", "aids", "promoted", "retrains", "without", "error during", "error after"]
    names = list(dict.fromkeys(aided.scenario for aided, _ in found))
    rows = [_row(name, [pair for pair in found if pair[0].scenario == name]) for name in names]
    acted = [pair for pair in found if pair[0].aided]
    show("First aid (mean ratio of RMSE, lowest and highest)", header, [*rows, _row("where one was promoted", acted)])


def _row(name: str, own: Sequence[Pair]) -> list[str]:
    counts = [
        sum(aided.aids for aided, _ in own),
        sum(aided.aided for aided, _ in own),
        sum(aided.retrains for aided, _ in own),
        sum(plain.retrains for _, plain in own),
    ]
    ratios = [_ratios([aided.errors[span].model / plain.errors[span].model for aided, plain in own]) for span in SPANS]
    return [name, str(len(own)), *map(str, counts), *ratios]


def _ratios(values: Sequence[float]) -> str:
    known = [value for value in values if np.isfinite(value)]
    return f"{fmean(known):.3f} ({min(known):.2f}..{max(known):.2f})" if known else "-"
