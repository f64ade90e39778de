"""One evaluation of a feed, from the prediction log to the drift state; safe to be killed and run again anywhere."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from aerocast.common.lineage import code_version, config_hash
from aerocast.contracts import clock
from aerocast.contracts.drift_state import DriftState
from aerocast.feed.declaration import Feed
from aerocast.lake import WHOLE, Lake
from aerocast.monitoring.drift.report import report
from aerocast.monitoring.evaluation import history, intake, outcomes, rolling, watch
from aerocast.releases import compatibility
from aerocast.storage import atomic
from aerocast.storage.home import Home


@dataclass(frozen=True)
class Evaluated:
    """What one evaluation found: what it took up, the months it computed, the rolling metrics (a row a group)."""

    taken: intake.LogIntake
    months: list[str]
    metrics: list[dict[str, Any]]
    history: Path | None
    judged: watch.Judgement
    report: Path
    version: str


def evaluate(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Home, feed: Feed, *, force: bool = False, live: bool = False
) -> Evaluated:
    """Takes up the log, joins, measures, examines and reports; what has not changed is not computed again.

    A `live` one, of which there may be one each minute, writes the newest month's daily metrics and history at most
    each hour.

    Raises:
        AeroCastError: the log, the lake, a release or the disk cannot be used.
    """
    con.execute("SET TimeZone = 'UTC'")
    intake_report = intake.take_segments(con, lake, home, feed.name)
    months = outcomes.refresh(con, lake, feed, force=force, conversions=compatibility.conversions(home, feed))
    metrics: list[dict[str, Any]] = []
    folder, version = None, ""
    if lake.exists(f"{feed.name}/outcomes"):
        metrics, version = _measure(con, lake, feed, clock.now(home, feed.name, feed.end), force=force)
        newest = force or not live or history.newest_is_due(lake, home, feed)
        rolling.daily(con, lake, feed, force=force, newest=newest)
        folder = history.write(con, lake, home, feed, newest=newest)
    update = watch.update_state(con, lake, home, feed, force=force)
    path = report_path(home, feed.name)
    if update.fresh or not path.exists():
        _write_report(path, update.state)
    state = msgspec.to_builtins(msgspec.structs.replace(update.state, written_at=update.state.judged_at))
    return Evaluated(intake_report, months, metrics, folder, update, path, config_hash(metrics=version, state=state))


def report_path(home: Home, feed: str) -> Path:
    """Where the newest drift report lies, as JSON."""
    return Path(home) / "reports" / feed / "drift.json"


def _measure(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, now: datetime, *, force: bool
) -> tuple[list[dict[str, Any]], str]:
    """The rolling metrics, stored if they are other than before: with new outcomes, or when a step is over."""
    name, source = f"{feed.name}/evaluation", f"{feed.name}/outcomes"
    content = lake.ledger(source).content(lake.months(source)[-rolling.MONTHS :])
    step = int(now.timestamp() // feed.cadence.total_seconds())
    version = config_hash(code=code_version(rolling.__name__), outcomes=content, step=step)
    table = rolling.metrics(con, lake, feed, now)
    if force or not lake.ledger(name).is_current(WHOLE, version):
        lake.overwrite(name, table, version)
    return table.to_pylist(), version


def _write_report(path: Path, state: DriftState) -> None:
    with atomic.folder_lock(path.parent, f"drift report of {state.feed}"):
        atomic.replace_file(path, msgspec.json.format(msgspec.json.encode(report(state)), indent=1))
