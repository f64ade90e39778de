"""Who may see which row: one split by time, shared by all stations, so that no role learns another's labels.

The newest share of time is `test`: it judges and is never seen. The span before it is cut in blocks (a week); some,
scattered evenly so that they meet every season, are `validation` (early stopping, choices) and `calibration`
(intervals); the rest is `train`. A row whose labels would reach into a block of another role is purged, so label
intervals (origin, origin + longest horizon] of two roles never overlap (purging: Lopez de Prado 2018, ch. 7).
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from aerocast.errors import AeroCastError
from aerocast.feed import Split
from aerocast.windows import Times, WindowSpec


class Role(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    CALIBRATION = "calibration"
    TEST = "test"
    PURGED = "purged"


@dataclass(frozen=True, slots=True)
class Cut:
    """A split of the span `start` .. `end` (first and last origin): where `test` begins, and each block's role."""

    start: np.datetime64
    end: np.datetime64
    test: np.datetime64
    block: np.timedelta64
    reach: np.timedelta64
    roles: tuple[Role, ...]

    def of(self, times: Times) -> NDArray[np.str_]:
        """Role (n,) of each origin time; outside the span it is `purged`."""
        origin, last = self._blocks(times), self._blocks(times + self.reach)
        names = np.array([*self.roles, Role.TEST], dtype="<U11")
        role = np.where(self._runs()[origin] == self._runs()[last], names[origin], Role.PURGED.value)
        return np.where((times < self.start) | (times > self.end), Role.PURGED.value, role)

    def _blocks(self, times: Times) -> NDArray[np.int64]:
        """Index of each time's block; the test span is the last one."""
        index = ((times - self.start) // self.block).astype(np.int64)
        return np.where(times >= self.test, len(self.roles), np.clip(index, 0, len(self.roles) - 1))

    def _runs(self) -> NDArray[np.int64]:
        """Neighbouring blocks of one role are one run: between them nothing needs purging."""
        roles = [*self.roles, Role.TEST]
        return np.cumsum([index > 0 and roles[index] != roles[index - 1] for index in range(len(roles))])


def cut(split: Split, spec: WindowSpec, start: np.datetime64, end: np.datetime64) -> Cut:
    """The split of origins from `start` to `end` (UTC, both included): the same whatever the rows in between.

    Raises:
        AeroCastError: the span is too short to hold a block of every role.
    """
    start, end = start.astype("datetime64[s]"), end.astype("datetime64[s]")
    step = np.timedelta64(spec.cadence, "s")
    test = end - np.int64(split.test * ((end - start) / step)) * step
    block = np.timedelta64(int(split.block.total_seconds()), "s")
    reach = spec.horizons[-1] * step
    blocks = int(np.ceil((test - start) / block))
    roles = _scatter(blocks, split.validation / (1 - split.test), split.calibration / (1 - split.test))
    if block <= reach or not {Role.TRAIN, Role.VALIDATION, Role.CALIBRATION} <= set(roles):
        raise AeroCastError(
            f"split: {start} to {end} holds no block of {split.block} for each of train, validation and calibration "
            f"beyond the longest horizon ({reach.astype('timedelta64[s]')}); bring more data or shorten split.block"
        )
    return Cut(start, end, test, block, reach, roles)


def _scatter(blocks: int, validation: float, calibration: float) -> tuple[Role, ...]:
    """Both roles at even distances, half a distance apart; `train` keeps what neither takes."""
    roles = [Role.TRAIN] * blocks
    count = [max(1, round(blocks * share)) for share in (validation, calibration)]
    for role, wanted, offset in ((Role.CALIBRATION, count[1], 0.75), (Role.VALIDATION, count[0], 0.25)):
        for place in (np.arange(wanted) + offset) * blocks / wanted:
            free = [index for index in range(blocks) if roles[index] is Role.TRAIN]
            if free:
                roles[min(free, key=lambda index: (abs(index + 0.5 - place), index))] = role
    return tuple(roles)
