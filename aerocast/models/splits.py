"""Splits rows by time into train, validation, calibration and test, so that no role learns another's labels.

The newest share of time is `test`: it judges and is never seen. The span before it is cut in blocks (a week); some,
scattered evenly so that they meet every season, are `validation` (early stopping, choices) and `calibration`
(intervals); the rest is `train`. A row whose labels would reach into a block of another role is purged, so label
intervals (origin, origin + longest horizon] of two roles never overlap (purging: Lopez de Prado 2018, ch. 7). What was
chosen and calibrated in this way is fitted once more on all that lies before `test`, and judged; what serves in its
place is fitted on all rows.

Where a new regime began (`since`), all that holds for the span after it alone, with blocks as short as that span asks
for; what lies before is `earlier`: it may be learned from, but it never chooses, calibrates or judges.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError
from aerocast.common.times import from_iso, to_numpy
from aerocast.common.words import duration
from aerocast.features.grid import Times, WindowSpec
from aerocast.feed.policies import BLOCK_MARGIN, Split

TEST_SINCE = 0.3  # share of a new regime that judges: it is short, and the proof needs days
BLOCKS = 8  # a regime with room for fewer blocks has one each for validation and calibration, at its end
LEAST = 4  # blocks: two to train, one to choose, one to calibrate


class Role(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    CALIBRATION = "calibration"
    TEST = "test"
    EARLIER = "earlier"
    PURGED = "purged"


@dataclass(frozen=True, slots=True)
class Cut:
    """A split of the span `start` .. `end` (first and last origin): where `test` begins, and each block's role.

    `earlier` is the first origin of what lies before `start`, where that may be learned from.
    """

    start: np.datetime64
    end: np.datetime64
    test: np.datetime64
    block: np.timedelta64
    reach: np.timedelta64
    roles: tuple[Role, ...]
    earlier: np.datetime64 | None = None

    def of(self, times: Times) -> NDArray[np.str_]:
        """Role (n,) of each origin time; outside the span it is `purged`."""
        origin, last = self._blocks(times), self._blocks(times + self.reach)
        names = np.array([*self.roles, Role.TEST], dtype="<U11")
        role = np.where(self._runs()[origin] == self._runs()[last], names[origin], Role.PURGED.value)
        role = np.where((times < self.start) | (times > self.end), Role.PURGED.value, role)
        if self.earlier is None:
            return role
        before = (times >= self.earlier) & (times + self.reach < self.start)
        return np.where(before, Role.EARLIER.value, role)

    def inside(self, times: Times) -> NDArray[np.bool_]:
        """Origins (n,) in the span, of any role."""
        mask: NDArray[np.bool_] = (times >= self.start) & (times <= self.end)
        return mask

    def before_test(self, times: Times) -> NDArray[np.bool_]:
        """Origins (n,) in the span whose labels end before `test`: of any role, with what is purged between two."""
        mask: NDArray[np.bool_] = (times >= self.start) & (times + self.reach < self.test)
        return mask

    def _blocks(self, times: Times) -> NDArray[np.int64]:
        """Index of each time's block; the test span is the last one."""
        index = ((times - self.start) // self.block).astype(np.int64)
        return np.where(times >= self.test, len(self.roles), np.clip(index, 0, len(self.roles) - 1))

    def _runs(self) -> NDArray[np.int64]:
        """Neighbouring blocks of one role are one run: between them nothing needs purging."""
        roles = [*self.roles, Role.TEST]
        return np.cumsum([index > 0 and roles[index] != roles[index - 1] for index in range(len(roles))])


def split_span(split: Split, spec: WindowSpec, start: np.datetime64, end: np.datetime64) -> Cut:
    """Splits origins from `start` to `end` (UTC, both included); the rows in between make no difference.

    Raises:
        AeroCastError: the span is too short to hold a block of every role.
    """
    step = np.timedelta64(spec.cadence, "s")
    return split_at(split, spec, start, end, end - np.int64(split.test * ((end - start) / step)) * step)


def split_at(split: Split, spec: WindowSpec, start: np.datetime64, end: np.datetime64, test: np.datetime64) -> Cut:
    """As `split_span`, with the origin at which the test span begins."""
    start, end, test = (each.astype("datetime64[s]") for each in (start, end, test))
    block = np.timedelta64(int(split.block.total_seconds()), "s")
    reach = spec.horizons[-1] * np.timedelta64(spec.cadence, "s")
    blocks = int(np.ceil((test - start) / block))
    roles = _scatter(blocks, split.validation / (1 - split.test), split.calibration / (1 - split.test))
    if block <= reach or not {Role.TRAIN, Role.VALIDATION, Role.CALIBRATION} <= set(roles):
        raise AeroCastError(
            f"split: {start} to {end} holds no block of {duration(split.block)} for each of train, validation and "
            f"calibration beyond the longest horizon ({duration(reach.astype('timedelta64[s]').item())}); "
            f"bring more data or shorten split.block, to no less than {BLOCK_MARGIN} times that horizon"
        )
    return Cut(start, end, test, block, reach, roles)


def split_regime(split: Split, spec: WindowSpec, start: np.datetime64, end: np.datetime64, since: datetime) -> Cut:
    """Splits a new regime that began at `since`; origins from `start` on are before it.

    Raises:
        AeroCastError: the regime is too short to hold a block of every role, with the span that it needs.
    """
    begin, end = max(start.astype("datetime64[s]"), to_numpy(since)), end.astype("datetime64[s]")
    step = np.timedelta64(spec.cadence, "s")
    reach, season = spec.horizons[-1] * step, spec.season * step
    test = end - max(0, int(TEST_SINCE * ((end - begin) / step))) * step
    past, least = (test - begin) / step, LEAST * BLOCK_MARGIN * spec.horizons[-1]
    if past < least:
        span = timedelta(seconds=int(np.ceil(least / (1 - TEST_SINCE))) * spec.cadence)
        raise AeroCastError(
            f"split: {begin} to {end} is too short a regime to learn, choose, calibrate and judge in, forecasting "
            f"{spec.horizons[-1]} steps ahead: {span} are needed; wait for more data or leave `since` out"
        )
    # A block that holds a season beyond what purging takes meets every hour of the day.
    room = int(past * step / (reach + season))
    if room < BLOCKS:
        count = max(LEAST, room)
        roles = (*(Role.TRAIN,) * (count - 2), Role.VALIDATION, Role.CALIBRATION)
    else:
        count = min(room, max(BLOCKS, int(np.ceil(past * spec.cadence / split.block.total_seconds()))))
        roles = _scatter(count, split.validation / (1 - TEST_SINCE), split.calibration / (1 - TEST_SINCE))
    earlier = start.astype("datetime64[s]") if start < begin else None
    return Cut(begin, end, test, (test - begin) // count, reach, roles, earlier)


def parse_since(text: str) -> datetime | None:
    """Parses `since` of a run's config: an ISO 8601 instant, UTC if it names no zone; None for an empty text.

    Raises:
        AeroCastError: it is no instant.
    """
    if not text:
        return None
    since = from_iso(text)
    if since is None:
        raise AeroCastError(f"since: {text!r} is not a time in ISO 8601, such as 2024-04-10T00:00:00Z")
    return since


def _scatter(blocks: int, validation: float, calibration: float) -> tuple[Role, ...]:
    """Places validation and calibration at even distances, half a distance apart; the other blocks are `train`."""
    roles = [Role.TRAIN] * blocks
    count = [max(1, round(blocks * share)) for share in (validation, calibration)]
    for role, blocks_of_role, offset in ((Role.CALIBRATION, count[1], 0.75), (Role.VALIDATION, count[0], 0.25)):
        for position in (np.arange(blocks_of_role) + offset) * blocks / blocks_of_role:
            free = [index for index in range(blocks) if roles[index] is Role.TRAIN]
            if free:
                roles[min(free, key=lambda index: (abs(index + 0.5 - position), index))] = role
    return tuple(roles)
