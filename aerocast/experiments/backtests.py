"""Writes and reads a target's table of backtests: append-only, the measures of each with what it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa

    from aerocast.experiments.rows import Row
    from aerocast.lake import Lake, LakeReader

SLOT = "backtest"


class Version(NamedTuple):
    """What a backtest was made from: `configuration` is all but the rows of the training table, `whole` is all."""

    configuration: str
    whole: str


class Backtest(NamedTuple):
    """A backtest as its table keeps it."""

    configuration: str
    finished_at: datetime
    run_id: str
    rows: list[Row]


def table_name(feed: str, target: str) -> str:
    """The table's name in the lake."""
    return f"{feed}/{target}/backtests"


def record(lake: Lake, feed: str, target: str, rows: Sequence[Row], version: Version, run_id: str) -> None:
    """Appends a backtest; one that is recorded for the second time in a row, by the same run, is no second one."""
    import pyarrow as pa

    from aerocast.lake import Slot

    now = datetime.now(UTC)
    about = {
        "configuration": version.configuration,
        "version": version.whole,
        "run_id": run_id,
        "finished_at": now,
        "month": f"{now:%Y-%m}",
    }
    data = pa.Table.from_pylist([{**msgspec.structs.asdict(row), **about} for row in rows], _schema())
    lake.append(table_name(feed, target), data, Slot(SLOT, f"{version.whole}@{run_id}"))


def newest(lake: LakeReader, feed: str, target: str, *, configuration: str = "", version: str = "") -> Backtest | None:
    """The newest backtest, or the newest of a configuration or version; None if there is none."""
    from aerocast.experiments.rows import Row
    from aerocast.lake import connection

    if not lake.exists(name := table_name(feed, target)):
        return None
    with connection() as con:
        con.execute("SET TimeZone = 'UTC'")
        own = lake.relation(con, name)
        for column, value in (("configuration", configuration), ("version", version)):
            own = own.filter(f"{column} = '{value}'") if value else own
        (last,) = own.aggregate("max(delivery)").fetchall()[0]
        if last is None:
            return None
        found: list[dict[str, Any]] = own.filter(f"delivery = {last}").to_arrow_table().to_pylist()
    rows = sorted(
        (msgspec.convert(row, Row) for row in found),
        key=lambda row: (row.fold, row.horizon, row.rmse, row.model),
    )
    return Backtest(found[0]["configuration"], found[0]["finished_at"], found[0]["run_id"], rows)


def _schema() -> pa.Schema:
    """In a first backtest some measures may be null in every row."""
    import pyarrow as pa

    time, text, number, count = pa.timestamp("us", "UTC"), pa.string(), pa.float64(), pa.int64()
    return pa.schema(
        [
            *(("fold", count), ("station", text), ("season", text), ("horizon", count), ("model", text)),
            *(("kind", text), ("n", count), ("rmse", number), ("mae", number), ("mase", number), ("wql", number)),
            *(("coverage", number), ("winkler", number), ("start", time), ("end", time)),
            *(("past_end", time), ("past_rows", count), ("configuration", text), ("version", text)),
            *(("run_id", text), ("finished_at", time), ("month", text)),
        ]
    )
