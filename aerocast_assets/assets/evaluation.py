"""evaluation: live forecasts beside what was measured, how good each version is lately, and whether the world changed.

Writes `<feed>/{predictions,posted,outcomes,evaluation,evaluation_daily,drift,faults}`, the drift state and the exports.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.common.lineage import code_version
from aerocast.feed.model import Feed
from aerocast_assets.assets.describe import drawing, preview, report, status
from aerocast_assets.keys import LIVE_TAG, forward, key
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aerocast.contracts.drift_state import DriftState
    from aerocast.lake import LakeReader
    from aerocast.monitoring.evaluation.run import Evaluated

SHOWN = ("target", "station", "horizon", "version", "shadow", "n", "rmse", "bias", "coverage", "skill", "missing")
ROWS = 12
FIGURES = ("rmse", "bias", "coverage", "skill")


def evaluation(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/evaluation`, of all targets; there need be no champion, and nothing in the log, yet."""

    @dg.asset(
        key=key(feed, "evaluation"),
        deps=[key(feed, "silver"), *(key(feed, target, "champion") for target in feed.targets)],
        group_name=feed.name,
        kinds={"deltalake", "duckdb", "csv"},
        code_version=code_version("aerocast.monitoring.evaluation.run"),
        description="Logged forecasts joined with outcomes: rolling RMSE, bias, coverage, skill; and the diagnosis.",
        automation_condition=forward(feed),
    )
    def asset(context: dg.AssetExecutionContext, config: Refresh, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast.monitoring.evaluation.run import evaluate

        lake = platform.lake
        with platform.sql() as con:
            live = LIVE_TAG in context.run.tags
            found = evaluate(con, lake, platform.root, feed, force=config.force, live=live)
            pictures = _pictures(con, lake, platform, feed, found, force=config.force)
        for line in (_log_line(found), *verdicts(feed, found.judged.state)):
            context.log.info(line)
        if found.taken.damaged:
            context.log.warning(f"{found.taken.damaged} lines of the prediction log could not be read")
        return dg.MaterializeResult(
            metadata=_metadata(feed, found) | pictures, data_version=dg.DataVersion(found.version)
        )

    return asset


def _pictures(
    con: "DuckDBPyConnection", lake: "LakeReader", platform: Platform, feed: Feed, found: "Evaluated", *, force: bool
) -> dict[str, dg.MetadataValue[Any]]:
    """What the examination saw of each target, drawn again if it changed what is believed, or from time to time."""
    from aerocast.contracts import clock
    from aerocast.monitoring.drift.report import plot
    from aerocast.monitoring.evaluation import watch

    shown: dict[str, dg.MetadataValue[Any]] = {}
    seen, state = found.judged.examination, found.judged.state
    for target in feed.targets:
        figure, path = None, report(platform.root, feed.name, target, "drift")
        examined = seen and any(each.target == target for each in seen.diagnoses)
        if (
            seen
            and examined
            and (force or found.judged.differs(target) or clock.is_due(platform.root, feed.name, path))
        ):
            outcomes, readings = watch.of_target(target, seen.outcomes), watch.of_target(target, seen.readings)
            figure = plot(feed, target, state, outcomes, readings, watch.history(con, lake, feed, target))
        title = "drift" if len(feed.targets) == 1 else f"{target}_drift"
        shown |= drawing(platform, path, title, figure)
    return shown


def verdicts(feed: Feed, state: "DriftState") -> list[str]:
    """A sentence a target: what was diagnosed where."""
    lines = []
    for target in feed.targets:
        own = [each for each in state.diagnoses if each.target == target]
        stations: dict[str, list[str]] = {}
        for each in own:
            stations.setdefault(each.verdict, []).append(each.station)
        told = "; ".join(f"{verdict} at {', '.join(found)}" for verdict, found in sorted(stations.items()))
        heat = state.of(target)
        lines.append(f"{target}: {told or 'no champion serves yet, so nothing was examined'}{', hot' * heat.hot}")
    return lines


def _log_line(found: "Evaluated") -> str:
    if not found.taken.segments and not found.metrics:
        return "no forecast was logged yet"
    taken, missing = found.taken, sum(row["missing"] for row in found.metrics if row["station"] == "all")
    return (
        f"{taken.predictions} forecasts and {taken.posted} posted outcomes taken up from {taken.segments} segments;"
        f" {len(found.months)} months of outcomes computed; {missing} outcomes missing"
    )


def _metadata(feed: Feed, found: "Evaluated") -> dict[str, Any]:
    taken, state = found.taken, found.judged.state
    shown = [row for row in found.metrics if row["n"]]
    metadata: dict[str, Any] = {
        **status(taken.segments or found.months or found.judged.fresh),
        "log": _log_line(found),
        "verdicts": preview([{"target": line} for line in verdicts(feed, state)]),
        "rolling": preview(table_of(shown[:ROWS], SHOWN)),
        "segments": taken.segments,
        "predictions_new": taken.predictions,
        "posted_new": taken.posted,
        "damaged_lines": taken.damaged,
        "unknown_ids": taken.unknown,
        "months_computed": len(found.months),
        "missing_outcomes": sum(row["missing"] for row in found.metrics if row["station"] == "all"),
        "dagster/row_count": len(found.metrics),
        "evaluated": sum(row["n"] for row in found.metrics if row["station"] == "all"),
        "faults_open": sum(fault.end is None for fault in state.faults),
        "judged_at": str(state.judged_at),
        **quality(feed, found.metrics, {heat.target: heat.version for heat in state.heat}),
        "report_path": dg.MetadataValue.path(found.report),
    }
    if found.history:
        metadata["prediction_history"] = dg.MetadataValue.path(found.history)
    return metadata


def quality(
    feed: Feed, metrics: Sequence[Mapping[str, Any]], serving: Mapping[str, str | None]
) -> dict[str, dg.MetadataValue[Any]]:
    """How good the serving releases are lately over all stations, as numbers that the UI draws over time."""
    return {
        f"{'' if len(feed.targets) == 1 else row['target'] + '_'}{figure}_{row['horizon']}": dg.MetadataValue.float(
            row[figure]
        )
        for row in metrics
        if row["station"] == "all" and not row["shadow"] and row["n"] and row["version"] == serving.get(row["target"])
        for figure in FIGURES
        if row[figure] is not None
    }


def table_of(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """These columns of the rows."""
    return [{name: row[name] for name in names} for row in rows]
