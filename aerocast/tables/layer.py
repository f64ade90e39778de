"""A layer: a table of which each month is a function of some months of the table above it, and nothing else.

A month is stale for a run if anything that it was computed from differs: rows, facts, declaration, code. The live
sensor asks only whether the content above differs (`Layer.changes`); what a changed declaration or code would compute
otherwise is a backfill, and a person's choice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from aerocast.common.lineage import code_version, config_hash
from aerocast.common.months import months_around
from aerocast.lake import LakeReader, fingerprints
from aerocast.lake.fingerprints import NO_EDGES, NOTHING, Edges

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from aerocast.lake import Lake, LakeReader, Rows

ROWS = "rows"  # the part of a month's origin that the table above decides


class Facts(NamedTuple):
    """What besides the rows above decides what months become.

    `value` is for the build function. `parts` say of it what each month depends on: part -> month -> texts; those of
    the part `rows` join the marks of the rows above, others are told apart from them.
    """

    value: Any = None
    parts: Mapping[str, Mapping[str, Sequence[str]]] = {}


# Connection, lake, months, the feed's present; None while there is nothing that the layer could be made of.
Observe = Callable[["DuckDBPyConnection", "LakeReader", Sequence[str], datetime], Facts | None]
# Connection, rows of the source, months, the facts' value: tables with their rows, in the order of writing.
Build = Callable[["DuckDBPyConnection", "DuckDBPyRelation", Sequence[str], Any], "Mapping[str, Rows]"]


def _no_facts(*_: object) -> Facts:
    return Facts()


@dataclass(frozen=True)
class Layer:
    """What a table is made of; `before` and `after` are how far over a month's borders the source's rows count.

    `modules` build it; `declaration` is the part of the feed's that shapes it; columns `apart` change nothing below.
    `chunk` is how many rows of the source are read at a time.
    """

    table: str
    source: str
    modules: tuple[str, ...]
    declaration: Mapping[str, Any]
    build: Build
    before: timedelta = NOTHING
    after: timedelta = NOTHING
    observe: Observe = _no_facts
    parts: tuple[str, ...] = ()
    apart: Sequence[str] = ()
    chunk: int = 1_000_000
    edges: Edges = NO_EDGES  # how far its consumers read over a month's borders

    def origins(self, lake: "LakeReader", months: Sequence[str], facts: Facts) -> dict[str, dict[str, list[str]]]:
        """Month -> part -> what it would be made from now."""
        above = lake.ledger(self.source).inputs(months, Edges(self.after, self.before))
        own = {
            part: {month: list(facts.parts.get(part, {}).get(month, ())) for month in months}
            for part in (ROWS, *self.parts)
        }
        return {
            month: {part: (above[month] if part == ROWS else []) + own[part][month] for part in own} for month in months
        }

    def changes(self, con: "DuckDBPyConnection", lake: "LakeReader", now: datetime) -> dict[str, list[str]]:
        """The months whose content above is not what they were made from, by the part that differs, oldest first.

        Months that retention has removed, here or above, are left alone.
        """
        gone = lake.ledger(self.source).removed_months() | lake.ledger(self.table).removed_months()
        months = [month for month in lake.months(self.source) if month not in gone]
        facts = self.observe(con, lake, months, now)
        if facts is None:
            return {}
        stored = lake.ledger(self.table).origins()
        differing: dict[str, list[str]] = {}
        for month, parts in self.origins(lake, months, facts).items():
            for part, texts in parts.items():
                known = stored.get(_origin(month, part))
                # A part that a month has never had is as if nothing was there.
                if known != fingerprints.origin_of(texts) and (texts or known is not None):
                    differing.setdefault(part, []).append(month)
        return differing

    def refresh(
        self,
        con: "DuckDBPyConnection",
        lake: "Lake",
        months: Sequence[str],
        facts: Facts,
        salt: str = "",
        *,
        force: bool = False,
    ) -> list[str]:
        """Makes the months that are stale (with `force` all), each with its origin in one commit; which, oldest first.

        A month stays as it is once retention has removed it here or above. What is written above while this runs is
        seen by the next refresh: origins are looked up before any row is read.

        Raises:
            AeroCastError: a table cannot be read or written.
        """
        origins = self.origins(lake, months, facts)
        basis = {"declaration": self.declaration, "code": code_version(*self.modules), "apart": [*self.apart]}
        hashes = {month: config_hash(**basis, origin=parts, salt=salt) for month, parts in origins.items()}
        frozen = lake.ledger(self.source).removed_months() | lake.ledger(self.table).removed_months()
        stale = [m for m in (sorted(hashes) if force else lake.ledger(self.table).stale(hashes)) if m not in frozen]
        for piece in lake.chunks(self.source, stale, self.chunk):
            rows = lake.relation(con, self.source, months_around(piece, self.before, self.after))
            for name, built in self.build(con, rows, piece, facts.value).items():
                if name == self.table:
                    made = {
                        _origin(month, part): fingerprints.origin_of(t)
                        for month in piece
                        for part, t in origins[month].items()
                    }
                    own = {month: hashes[month] for month in piece}
                    lake.replace(name, built, piece, own, made, edges=self.edges, ignore=self.apart)
                else:
                    lake.replace(name, built, piece, edges=NO_EDGES)
        return stale


def _origin(month: str, part: str) -> str:
    return month if part == ROWS else f"{month}/{part}"


def edges_of(layers: Sequence[Layer], table: str) -> Edges:
    """How far the layers that are made of a table read over its months' borders."""
    readers = [layer for layer in layers if layer.source == table]
    return Edges(
        max((layer.after for layer in readers), default=NOTHING),
        max((layer.before for layer in readers), default=NOTHING),
    )
