"""Says before training how many rows each role has, whether they suffice, and which stations are not learned."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aerocast.common.times import iso_duration
from aerocast.common.words import count
from aerocast.features.grid import Times, WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.models.splits import Role, split_span
from aerocast.tables.training import matrix, outcome

# The least rows of a role that mean anything; good models need many more.
TRAIN, VALIDATION, TEST = 30, 10, 8


@dataclass(frozen=True)
class RoleRows:
    """Rows of the training table by `role` (n,): their `station` and `time` (n,), and which have an outcome (n, H)."""

    spec: WindowSpec
    station: NDArray[np.str_]
    time: Times
    measured: NDArray[np.bool_]
    role: NDArray[np.str_]

    @classmethod
    def read(cls, feed: Feed, spec: WindowSpec, relation: duckdb.DuckDBPyRelation) -> "RoleRows":
        """Raises AeroCastError if the span of the rows is too short to hold every role, or there are none."""
        outcomes = [outcome(spec, horizon) for horizon in spec.horizons]
        table = relation.select("station", "time", *outcomes).to_arrow_table()
        time = table["time"].cast(pa.timestamp("s", "UTC")).to_numpy().astype("datetime64[s]")
        role = split_span(feed.split, spec, time.min(), time.max()).of(time)
        station = table["station"].to_numpy(zero_copy_only=False).astype(np.str_)
        return cls(spec, station, time, np.isfinite(matrix(table, outcomes)), role)

    def lacks(self, feed: Feed) -> Iterator[str]:
        """Of each role with too few rows at some horizon what it has, what it needs, and what would help."""
        for role, (least, help_by) in _needs(feed).items():
            rows = self.measured[self.role == role].sum(axis=0)
            if rows.min() < least:
                at = self.spec.horizons[int(rows.argmin())]
                yield (
                    f"the role {role} has {count(int(rows.min()), 'row')} with a measured {self.spec.target}"
                    f" {count(at, 'step')} ahead, and needs {least}: bring more data, or {help_by}"
                )

    def unlearned(self, feed: Feed) -> dict[str, str]:
        """The stations of the feed without a row before those that judge, and what rows they have instead."""
        learned = {*np.unique(self.station[~np.isin(self.role, [Role.TEST, Role.PURGED])]).tolist()}
        every = dict.fromkeys((*feed.station_ids, *np.unique(self.station).tolist()))
        return {station: self._other_rows(station) for station in every if station not in learned}

    def _other_rows(self, station: str) -> str:
        own = self.station == station
        if not own.any():
            return "it has no row at all"
        parts = [
            f"{count(int((self.role[own] == role).sum()), 'row')} of {role}"
            for role in Role
            if (self.role[own] == role).any()
        ]
        first, last = (str(each(self.time[own]))[:10] for each in (np.min, np.max))
        return f"it has {', '.join(parts)}, from {first} to {last}"


def _needs(feed: Feed) -> dict[Role, tuple[int, str]]:
    """The least rows of each role, and what beside more data would bring it more."""
    split, block = feed.split, f"shorten split.block (now {iso_duration(feed.split.block)})"
    level = feed.promotion.coverage
    shares = f"lower split.test, split.validation or split.calibration (now {split.test:g}, {split.validation:g} and"
    return {
        Role.TRAIN: (TRAIN, f"{shares} {split.calibration:g})"),
        Role.VALIDATION: (VALIDATION, f"raise split.validation (now {split.validation:g}) or {block}"),
        Role.CALIBRATION: (
            ceil(round(1 / (1 - level), 6)),
            f"raise split.calibration (now {split.calibration:g}), lower promotion.coverage (now {level:g}) or {block}",
        ),
        Role.TEST: (TEST, f"raise split.test (now {split.test:g})"),
    }
