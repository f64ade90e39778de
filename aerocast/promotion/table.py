"""Writes and reads a target's append-only tables: `promotions`, one row a decision, and `scores`, those of each trial.

Whether a run promoted, and what serves after it, is a row of `promotions` and nothing else.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from aerocast.common.times import from_numpy
from aerocast.contracts.loop_notes import MOST_DECISIONS, DecisionNotes, PastDecision, decisions
from aerocast.feed.declaration import Feed
from aerocast.storage.home import Home

if TYPE_CHECKING:
    import pyarrow as pa

    from aerocast.contracts.manifest import Manifest
    from aerocast.lake import Lake, LakeReader
    from aerocast.promotion.decision import Decision
    from aerocast.promotion.trial import Trial

Row: TypeAlias = dict[str, Any]
SCORES = "scores"
SLOT = "verdict"


def table_name(feed: str, target: str, kind: str = "promotions") -> str:
    """A table's name in the lake."""
    return f"{feed}/{target}/{kind}"


class Context(msgspec.Struct, frozen=True):
    """Why a decision was made, and between which releases; `version` is what serves afterwards.

    `feed_time` is the feed's own present (see `clock`), `hold` a person's hold on what serves afterwards.
    """

    run_id: str
    feed_time: datetime
    retrain_reason: str | None = None
    since: datetime | None = None
    version: str | None = None
    challenger: str | None = None
    incumbent: str | None = None
    hold: str | None = None


def record(
    lake: "Lake", feed: Feed, target: str, trial: "Trial", outcome: "Decision", context: Context, verdict: str
) -> None:
    """Appends scores, then the decision, whose segment marks the whole step as done."""
    import pyarrow as pa

    from aerocast.lake import Slot

    common = _common_columns(verdict)
    scores = [{**msgspec.to_builtins(score), **common} for score in trial.scores]
    for row in scores:
        shares = trial.coverage.get(row["model"])
        at = feed.horizons.index(row["horizon"]) if row["horizon"] else None
        row["coverage"] = shares[at] if shares and at is not None and row["station"] == "all" else None
    decision = {
        **msgspec.structs.asdict(outcome),
        **_texts(outcome.kinds, outcome.served_by),
        **msgspec.structs.asdict(context),
        "test_rows": len(trial.samples.time),
        "test_start": from_numpy(trial.start),
        "test_end": from_numpy(trial.end),
        **common,
    }
    lake.append(table_name(feed.name, target, SCORES), pa.Table.from_pylist(scores), Slot(SLOT, verdict))
    lake.append(
        table_name(feed.name, target), pa.Table.from_pylist([decision], _decision_schema()), Slot(SLOT, verdict)
    )


def record_choice(
    lake: "Lake",
    feed: Feed,
    target: str,
    manifest: "Manifest",
    context: Context,
    reason: str,
    verdict: str,
    segment: str,
    *,
    is_switch: bool = True,
) -> None:
    """Appends that a release was chosen to serve (or its hold lifted), without a trial; once a segment."""
    import pyarrow as pa

    overall = manifest.metrics.overall
    row = {
        **msgspec.structs.asdict(context),
        "promoted": is_switch,
        "winner": manifest.kind,
        "reason": reason,
        "composite": overall.composite,
        "skill": overall.skill,
        **_texts({horizon: manifest.kind_at(horizon) for horizon in manifest.horizons}, manifest.served_by),
        **_common_columns(verdict),
    }
    lake.append(table_name(feed.name, target), pa.Table.from_pylist([row], _decision_schema()), segment)


def publish(lake: "LakeReader", home: Home, feed: str, target: str) -> None:
    """Copies the newest decisions to where light readers find them."""
    fields = PastDecision.__struct_fields__
    rows = _rows(lake, table_name(feed, target), "true", "delivery DESC", MOST_DECISIONS)
    newest_first = [{name: row.get(name) for name in fields} | {"verdict": verdict_of(row)} for row in rows]
    notes = DecisionNotes(feed, target, tuple(msgspec.convert(row, PastDecision) for row in newest_first))
    document = decisions(home, feed, target)
    document.mend()
    if document.read() != notes:
        document.write(notes)


def _texts(kinds: Mapping[int, str], served_by: Mapping[int, str]) -> dict[str, str]:
    """What serves each horizon, as JSON: `{"1": "xgboost", "48": "linear"}`."""
    columns = {"kinds": kinds, "served_by": served_by}
    return {name: msgspec.json.encode(column).decode() for name, column in columns.items()}


def _common_columns(verdict: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"decided_at": now, "verdict": verdict, "month": f"{now:%Y-%m}"}


def _decision_schema() -> "pa.Schema":
    """Schema of the promotions table: a first row may have only nulls in some columns."""
    import pyarrow as pa

    time, text, number = pa.timestamp("us", "UTC"), pa.string(), pa.float64()
    return pa.schema(
        [
            *(("decided_at", time), ("promoted", pa.bool_()), ("winner", text), ("version", text), ("reason", text)),
            *(("composite", number), ("skill", number), ("incumbent_composite", number), ("gain", number)),
            *(("p_value", number), ("statistic", number), ("incumbent", text), ("challenger", text)),
            *(("retrain_reason", text), ("since", time), ("feed_time", time)),
            *(("test_rows", pa.int64()), ("test_start", time), ("test_end", time)),
            *(("run_id", text), ("verdict", text), ("hold", text), ("month", text)),
            *(("kinds", text), ("served_by", text)),
        ]
    )


def newest(lake: "LakeReader", feed: str, target: str, *, by_trial: bool = False) -> Row | None:
    """The newest decision, or the newest that a trial made; None if there is none."""
    return _last_row(lake, feed, target, "test_rows IS NOT NULL" if by_trial else "true")


def of_run(lake: "LakeReader", feed: str, target: str, run_id: str) -> Row | None:
    """The decision of a run; None if it made none, because nothing had changed or it failed before."""
    return _last_row(lake, feed, target, f"run_id = '{run_id}'")


def promotions_after(lake: "LakeReader", feed: str, target: str, delivery: int, limit: int) -> list[Row]:
    """The promotions after a row, oldest first."""
    return _rows(
        lake, table_name(feed, target), f"promoted AND version IS NOT NULL AND delivery > {delivery}", "delivery", limit
    )


def promotion_times(lake: "LakeReader", feed: str, target: str) -> dict[str, datetime]:
    """When each version was promoted last."""
    from aerocast.lake import connection

    if not lake.exists(name := table_name(feed, target)):
        return {}
    with connection() as con:
        con.execute("SET TimeZone = 'UTC'")
        promotions = lake.relation(con, name).filter("promoted AND version IS NOT NULL")
        return dict(promotions.aggregate("version, max(decided_at)", "version").fetchall())


def is_trial(decision: Mapping[str, Any]) -> bool:
    """Whether a trial made it, and not a choice."""
    return decision["test_rows"] is not None


def verdict_of(decision: Mapping[str, Any]) -> str:
    """What a trial came to in a word, or why a choice was made."""
    if not is_trial(decision):
        return str(decision["reason"])
    return "promoted" if decision["promoted"] else "held" if decision.get("hold") else "refused"


def newest_scores(lake: "LakeReader", feed: str, target: str) -> list[Row]:
    """Every model's scores in the newest trial."""
    name = table_name(feed, target, SCORES)
    last = _rows(lake, name, "true", "delivery DESC", 1)
    return _rows(lake, name, f"delivery = {last[0]['delivery']}", "delivery") if last else []


def is_decided(lake: "LakeReader", feed: str, target: str, verdict: str) -> bool:
    """Whether a trial of this verdict is in the table already."""
    from aerocast.lake import Slot

    return Slot(SLOT, verdict).is_delivered(lake.ledger(table_name(feed, target)))


def _last_row(lake: "LakeReader", feed: str, target: str, where: str) -> Row | None:
    rows = _rows(lake, table_name(feed, target), where, "delivery DESC", 1)
    return rows[0] if rows else None


def _rows(lake: "LakeReader", name: str, where: str, order: str, limit: int | None = None) -> list[Row]:
    from aerocast.lake import connection

    if not lake.exists(name):
        return []
    with connection() as con:
        rows = lake.relation(con, name).filter(where).order(order)
        table: list[Row] = (rows.limit(limit) if limit else rows).to_arrow_table().to_pylist()
    return table
