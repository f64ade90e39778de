"""Says of a surprising step which columns it comes from and who else saw it, and what probably caused an event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from aerocast.contracts.anomalies import Cause
from aerocast.contracts.drift_state import Fault
from aerocast.features.grid import Grid
from aerocast.monitoring.anomalies.events import OPEN, Evidence, Step, calm
from aerocast.monitoring.anomalies.surprise import Surprise
from aerocast.monitoring.anomalies.views import Reals

NEAR = 2.0  # a surprise at another station that counts as the same, if it points the same way
SHARE = 0.2  # of an event from which a column is one of those that it comes from


@dataclass(frozen=True, eq=False)
class Look:
    """One station's steps: its grid, the columns that are looked at, and how surprising the rows from `since` on are.

    `step` (T,) counts each row's step from 1970.
    """

    grid: Grid
    columns: tuple[int, ...]
    values: Reals
    step: NDArray[np.int64]
    since: int
    surprise: Surprise

    @property
    def steps(self) -> int:
        """How many are looked at."""
        return len(self.step) - self.since


def surprising_steps(station: str, looks: Mapping[str, Look], per_day: int) -> list[Step]:
    """The steps of a station that may begin an event or belong to one, oldest first, each with its evidence."""
    own = looks[station]
    total = own.surprise.total()
    rows = np.flatnonzero(np.nan_to_num(total) >= OPEN)
    return [
        Step(int(own.step[row]), float(total[row]), _evidence(station, looks, int(row), per_day))
        for row in rows.tolist()
    ]


def _evidence(station: str, looks: Mapping[str, Look], row: int, per_day: int) -> Evidence:
    own = looks[station]
    shares = own.surprise.shares(row)
    names = [own.grid.columns[at] for at in own.columns]
    first = int(np.argmax(shares))
    deviation = float(np.nan_to_num(own.surprise.deviation[row, first]))
    others = {name: each for name, each in looks.items() if name != station}
    near = {name: _agrees(each, int(own.step[row]), first, deviation, per_day) for name, each in others.items()}
    columns = {name: round(float(share), 3) for name, share in zip(names, shares, strict=True) if share >= 0.01}
    seen_at = tuple(sorted(name for name, agrees in near.items() if agrees))
    measured = sum(agrees is not None for agrees in near.values())
    return Evidence(columns, seen_at, measured, _sentence(own, row, first, deviation))


def _agrees(other: Look, step: int, column: int, deviation: float, per_day: int) -> bool | None:
    """Whether another station was surprising in that column, in that direction, in the last hours; None if unknown."""
    rows = np.flatnonzero((other.step <= step) & (other.step > step - calm(per_day) - 1))
    surprise = np.nan_to_num(other.surprise.columns[rows, column], nan=-1.0)
    if not (surprise >= 0).any():
        return None
    same = np.sign(np.nan_to_num(other.surprise.deviation[rows, column])) == np.sign(deviation)
    return bool(((surprise >= NEAR) & same).any())


def _sentence(own: Look, row: int, column: int, deviation: float) -> str:
    """The value that stands out most, and where it lies."""
    name, value = own.grid.columns[own.columns[column]], own.values[row, column]
    unit = own.grid.units[own.columns[column]] if own.grid.units else ""
    side = "above" if deviation > 0 else "below"
    return f"{name} {value:.4g} {unit}, {abs(deviation):.1f} usual deviations {side} what the days before suggest"


def cause(evidence: Evidence, station: str, start: datetime, last: datetime, faults: Sequence[Fault]) -> Cause:
    """A known fault of a sensor that it comes from; weather if half of the other stations saw it too; or unknown."""
    columns = {name for name, share in evidence.columns.items() if share >= SHARE}
    for fault in faults:
        is_same = fault.station == station and fault.column in columns
        if is_same and fault.start <= last and (fault.end is None or fault.end > start):
            return "sensor_fault"
    return "weather" if evidence.seen_at and 2 * len(evidence.seen_at) >= evidence.others else "unknown"
