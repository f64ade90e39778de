"""Rounds of several contenders, one after the other within each round, and how far the figures spread."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, and their least and greatest."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1], len(found))

    def text(self, digits: int = 2, unit: str = "") -> str:
        """`median unit (low..high)`; the median alone if there was one round."""
        shown = f"{self.median:,.{digits}f}{unit}"
        return shown if self.rounds == 1 else f"{shown} ({self.low:,.{digits}f}..{self.high:,.{digits}f})"


def interleave(rounds: int, contenders: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """A figure of each contender a round, in the order A B A B, so that the machine's noise meets all of them."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            figures[name].append(measure())
    return figures


def ratio(ours: Sequence[float], peer: Sequence[float]) -> Spread:
    """Ours over the peer's, round by round: both figures of a ratio come from the same minute."""
    return Spread.of(a / b for a, b in zip(ours, peer, strict=True))


def seconds(action: Callable[[], object]) -> float:
    """Wall seconds that an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def parser(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """A script's command line: `--rounds`, at least 1."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--rounds", type=_positive, default=rounds, help="how often each is measured (default: %(default)s)"
    )
    return made


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value
