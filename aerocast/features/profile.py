"""The target's past season by season, each step of a season apart: what a forecast far ahead is a sum of.

The newest seasons stand alone and older ones as means over ever more of them, so that weeks of look-back are a hundred
features rather than thousands. Steps are counted without regard to clocks that change.
The server imports this module: numpy, msgspec and the standard library only.
"""

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from aerocast.features.grid import WindowSpec

EDGES = (0, 1, 2, 3, 4, 7, 14, 21, 28)  # seasons before the origin between which a mean is taken


class Part(NamedTuple):
    """Of the seasons `start` .. `end` before the origin the step that lies `step` before each season's newest."""

    start: int
    end: int
    step: int


def blocks(spec: WindowSpec) -> list[tuple[int, int]]:
    """The seasons (start, end) of which a mean is taken; the last block ends where the declared profile does."""
    inside = [edge for edge in EDGES if edge < spec.profile]
    return list(pairwise([*inside, spec.profile])) if spec.profile else []


@lru_cache(maxsize=64)
def parts(spec: WindowSpec) -> tuple[Part, ...]:
    """The parts in the order of `names`; the newest step is left out, for values are taken less that one."""
    return tuple(Part(start, end, step) for start, end in blocks(spec) for step in range(spec.season) if start or step)


def names(spec: WindowSpec) -> list[str]:
    """`<target>_profile<start>to<end>_<step>`; empty where no profile is declared."""
    return [f"{spec.target}_profile{start}to{end}_{step}" for start, end, step in parts(spec)]
