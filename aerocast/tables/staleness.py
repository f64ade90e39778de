"""Defines a layer, a table whose months are functions of months of the table above, and makes its stale months.

A month is stale for a run if anything that it was computed from differs: rows, facts, declaration, code. The live
sensor asks only whether the content above differs (`Layer.changes`); a recomputation after a change of declaration or
code is a backfill, and a person's choice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from duckdb import DuckDBPyConnection, DuckDBPyRelation

from aerocast.common.lineage import code_version, config_hash
from aerocast.common.months import months_around
from aerocast.lake import Lake, LakeReader, Rows, fingerprints
from aerocast.lake.fingerprints import NO_EDGES, NOTHING, Edges

ROWS = "rows"  # the part of a month's origin that comes from the table above


class Facts(NamedTuple):
    """What the months of a layer depend on besides the rows above.

    `value` is for the build function. `parts` say what each month depends on: part -> month -> texts; those of the part
    `rows` join the fingerprints of the rows above, other parts are compared separately.
    """

    value: Any = None
    parts: Mapping[str, Mapping[str, Sequence[str]]] = {}


# From connection, lake, months and the feed's present; None while the layer has nothing to be made from.
Observe = Callable[[DuckDBPyConnection, LakeReader, Sequence[str], datetime], Facts | None]
# From connection, rows of the source, months and the facts' value: tables with their rows, in the order of writing.
Build = Callable[[DuckDBPyConnection, DuckDBPyRelation, Sequence[str], Any], Mapping[str, Rows]]


@dataclass(frozen=True)
class Layer:
    """How a table is made; `before` and `after` are how far the source's rows over a month's borders count.

    `modules` build it; `declaration` is the part of the feed's that shapes it; the columns `ignore` do not matter to
    the layers below; `chunk` is how many rows of the source are read at a time.
    """

    table: str
    source: str
    modules: tuple[str, ...]
    declaration: Mapping[str, Any]
    build: Build
    before: timedelta = NOTHING
    after: timedelta = NOTHING
    observe: Observe = lambda *_: Facts()
    parts: tuple[str, ...] = ()
    ignore: Sequence[str] = ()
    chunk: int = 1_000_000
    edges: Edges = NO_EDGES  # how far its consumers read over a month's borders

    def origins(self, lake: LakeReader, months: Sequence[str], facts: Facts) -> dict[str, dict[str, list[str]]]:
        """Month -> part -> what it would be made from now."""
        above = lake.ledger(self.source).inputs(months, Edges(self.after, self.before))

        def texts(part: str, month: str) -> list[str]:
            return [*(above[month] if part == ROWS else ()), *facts.parts.get(part, {}).get(month, ())]

        return {month: {part: texts(part, month) for part in (ROWS, *self.parts)} for month in months}

    def changes(self, con: DuckDBPyConnection, lake: LakeReader, now: datetime) -> dict[str, list[str]]:
        """The months whose content above is not what they were made from, by the part that differs, oldest first.

        Months that retention has removed, here or above, are left out.
        """
        frozen = self._frozen(lake)
        months = [month for month in lake.months(self.source) if month not in frozen]
        facts = self.observe(con, lake, months, now)
        if facts is None:
            return {}
        origins = lake.ledger(self.table).origins()
        differing: dict[str, list[str]] = {}
        for month, parts in self.origins(lake, months, facts).items():
            for part, texts in parts.items():
                origin = origins.get(_origin(month, part))
                # A part that a month has never had counts as empty.
                if origin != fingerprints.origin_of(texts) and (texts or origin is not None):
                    differing.setdefault(part, []).append(month)
        return differing

    def refresh(
        self,
        con: DuckDBPyConnection,
        lake: Lake,
        months: Sequence[str],
        facts: Facts,
        salt: str = "",
        *,
        force: bool = False,
        later: str | None = None,
    ) -> list[str]:
        """Makes the stale months (with `force` all), each with its origin in one commit; returns them, oldest first.

        Months that retention has removed, here or above, stay as they are, and so does `later` if it alone is stale.
        Rows that are written above meanwhile are for the next refresh: origins are read before any row.

        Raises:
            AeroCastError: a table cannot be read or written.
        """
        origins = self.origins(lake, months, facts)
        basis = {"declaration": self.declaration, "code": code_version(*self.modules), "ignore": [*self.ignore]}
        hashes = {month: config_hash(**basis, origin=parts, salt=salt) for month, parts in origins.items()}
        frozen = self._frozen(lake)
        stale = [m for m in (sorted(hashes) if force else lake.ledger(self.table).stale(hashes)) if m not in frozen]
        if stale == [later] and not force:
            return []
        for piece in lake.chunks(self.source, stale, self.chunk):
            rows = lake.relation(con, self.source, months_around(piece, self.before, self.after))
            own = {month: hashes[month] for month in piece}
            parts = [(_origin(month, part), texts) for month in piece for part, texts in origins[month].items()]
            new = {name: fingerprints.origin_of(texts) for name, texts in parts}
            for name, data in self.build(con, rows, piece, facts.value).items():
                if name == self.table:
                    lake.replace(name, data, piece, own, new, edges=self.edges, ignore=self.ignore)
                else:
                    lake.replace(name, data, piece, edges=NO_EDGES)
        return stale

    def _frozen(self, lake: LakeReader) -> set[str]:
        """The months that retention has removed here or above."""
        return lake.ledger(self.source).removed_months() | lake.ledger(self.table).removed_months()


def _origin(month: str, part: str) -> str:
    return month if part == ROWS else f"{month}/{part}"


def edges_of(layers: Sequence[Layer], table: str) -> Edges:
    """How far the layers below a table read over its months' borders."""
    readers = [layer for layer in layers if layer.source == table]
    return Edges(
        max((layer.after for layer in readers), default=NOTHING),
        max((layer.before for layer in readers), default=NOTHING),
    )
