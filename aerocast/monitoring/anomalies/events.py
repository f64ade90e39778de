"""Makes events of surprising steps: one begins with a step that is surprising enough, and ends when all is calm again.

The state between two calls is the newest event alone, so steps may be given one by one or all at once.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from aerocast.monitoring.anomalies.views import Reals

OPEN = 3.0  # the surprise with which an event begins
LEVEL = 0.5  # an event is worse with each such part of a power of ten
REST = 3  # days without a surprise after which what comes next is another event


class Evidence(NamedTuple):
    """What is known of a surprising step: the share of each column, the other stations that were surprising in the
    same way, of how many, and a sentence.
    """

    columns: Mapping[str, float]
    seen_at: tuple[str, ...] = ()
    others: int = 0
    detail: str = ""


class Step(NamedTuple):
    """One step from 1970 and its surprise."""

    step: int
    surprise: float
    evidence: Evidence


@dataclass(frozen=True)
class Span:
    """An event in steps from 1970: its first step and its last surprising one, and the step and surprise of its peak.

    `evidence` is of the peak; `alarms` is how often the event began or became worse.
    """

    start: int
    last: int
    peak: int
    severity: float
    evidence: Evidence
    alarms: int = 1

    def is_over(self, newest: int, per_day: int) -> bool:
        """Whether the steps since the last surprising one, up to the newest, were calm for an eighth of a day."""
        return newest - self.last >= calm(per_day)


def calm(per_day: int) -> int:
    """How many calm steps end an event, until it goes on."""
    return max(1, per_day // 8)


def follow(newest: Span | None, steps: Iterable[Step], per_day: int) -> Iterator[Span]:
    """The events of a station, oldest first: the newest one so far, if any, as it goes on, and those that begin."""
    for each in steps:
        if not each.surprise >= OPEN:
            continue
        if newest is None or each.step - newest.last > REST * per_day:
            if newest is not None:
                yield newest
            newest = Span(each.step, each.step, each.step, each.surprise, each.evidence)
        elif each.surprise > newest.severity:
            worse = level(each.surprise) > level(newest.severity)
            peak = each.step, each.surprise, each.evidence, newest.alarms + worse
            newest = Span(newest.start, each.step, *peak)
        else:
            newest = replace(newest, last=each.step)
    if newest is not None:
        yield newest


def level(surprise: float) -> int:
    """Of an alarm, in halves of a power of ten."""
    return int(surprise // LEVEL)


def alarms(surprise: Reals, per_day: int) -> Reals:
    """(T,) the levels of steps that are more surprising than any of the days before (`REST`), else 0."""
    levels = np.floor(np.nan_to_num(surprise) / LEVEL) * LEVEL
    past = np.concatenate([np.zeros(REST * per_day), levels[:-1]])
    before = sliding_window_view(past, REST * per_day).max(axis=1)
    alarm: Reals = np.where(levels > before, levels, 0.0)
    return alarm
