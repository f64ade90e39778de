"""evaluation: live forecasts beside what was measured, how good each version is lately, and whether the world changed.

Writes `<feed>/{predictions,posted,outcomes,evaluation,evaluation_daily,drift,faults}`, the drift state and the exports.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.common.lineage import code_version
from aerocast.feed.declaration import Feed
from aerocast_assets.assets.describe import drawing, preview, report, status
from aerocast_assets.assets.step import step
from aerocast_assets.keys import LIVE_TAG, forward, key
from aerocast_assets.labels import feed_spec
from aerocast_assets.resources import Platform, Refresh

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aerocast.contracts.drift_state import DriftState
    from aerocast.lake import LakeReader
    from aerocast.monitoring.evaluation.run import Evaluated

PREVIEWED = ("target", "station", "horizon", "version", "shadow", "n", "rmse", "bias", "coverage", "skill", "missing")
ROWS = 12
FIGURES = ("rmse", "bias", "coverage", "skill")


def evaluation(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/evaluation`, of all targets; there need be no champion, and nothing in the log, yet."""

    spec = feed_spec(
        feed,
        "evaluation",
        deps=[key(feed, "silver"), *(key(feed, target, "champion") for target in feed.targets)],
        kinds={"deltalake", "duckdb", "csv"},
        code_version=code_version("aerocast.monitoring.evaluation.run"),
        description="Logged forecasts joined with outcomes: rolling RMSE, bias, coverage, skill; and the diagnosis.",
        automation_condition=forward(feed),
    )

    @step(spec)
    def asset(context: dg.AssetExecutionContext, config: Refresh, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast.monitoring.evaluation.run import evaluate

        lake = platform.lake
        with platform.sql() as con:
            live = LIVE_TAG in context.run.tags
            result = evaluate(con, lake, platform.root, feed, force=config.force, live=live)
            pictures = _pictures(con, lake, platform, feed, result, force=config.force)
        for line in (_log_line(result), *verdicts(feed, result.judged.state)):
            context.log.info(line)
        if result.taken.damaged:
            context.log.warning(f"{result.taken.damaged} lines of the prediction log could not be read")
        return dg.MaterializeResult(
            metadata=_metadata(feed, result) | pictures, data_version=dg.DataVersion(result.version)
        )

    return asset


def _pictures(
    con: "DuckDBPyConnection", lake: "LakeReader", platform: Platform, feed: Feed, result: "Evaluated", *, force: bool
) -> dict[str, dg.MetadataValue[Any]]:
    """What the examination saw of each target, drawn again if it changed what is believed, or from time to time."""
    from aerocast.contracts import clock
    from aerocast.monitoring.drift.report import plot
    from aerocast.monitoring.evaluation import watch

    pictures: dict[str, dg.MetadataValue[Any]] = {}
    examination, state = result.judged.examination, result.judged.state
    for target in feed.targets:
        figure, path = None, report(platform.root, feed.name, target, "drift")
        examined = examination and any(each.target == target for each in examination.diagnoses)
        if (
            examination
            and examined
            and (force or result.judged.differs(target) or clock.is_due(platform.root, feed.name, path))
        ):
            outcomes = watch.of_target(target, examination.outcomes)
            readings = watch.of_target(target, examination.readings)
            figure = plot(feed, target, state, outcomes, readings, watch.history(con, lake, feed, target))
        title = "drift" if len(feed.targets) == 1 else f"{target}_drift"
        pictures |= drawing(platform, path, title, figure)
    return pictures


def verdicts(feed: Feed, state: "DriftState") -> list[str]:
    """A sentence a target: what was diagnosed where."""
    lines = []
    for target in feed.targets:
        own = [each for each in state.diagnoses if each.target == target]
        stations: dict[str, list[str]] = {}
        for each in own:
            stations.setdefault(each.verdict, []).append(each.station)
        sentence = "; ".join(f"{verdict} at {', '.join(places)}" for verdict, places in sorted(stations.items()))
        heat = state.of(target)
        lines.append(f"{target}: {sentence or 'no champion serves yet, so nothing was examined'}{', hot' * heat.hot}")
    return lines


def _log_line(result: "Evaluated") -> str:
    if not result.taken.segments and not result.metrics:
        return "no forecast was logged yet"
    intake, missing = result.taken, sum(row["missing"] for row in result.metrics if row["station"] == "all")
    return (
        f"{intake.predictions} forecasts and {intake.posted} posted outcomes taken up from {intake.segments} segments;"
        f" {len(result.months)} months of outcomes computed; {missing} outcomes missing"
    )


def _metadata(feed: Feed, result: "Evaluated") -> dict[str, Any]:
    intake, state = result.taken, result.judged.state
    rows = [row for row in result.metrics if row["n"]]
    metadata: dict[str, Any] = {
        **status(intake.segments or result.months or result.judged.fresh),
        "log": _log_line(result),
        "verdicts": preview([{"target": line} for line in verdicts(feed, state)]),
        "rolling": preview(table_of(rows[:ROWS], PREVIEWED)),
        "segments": intake.segments,
        "predictions_new": intake.predictions,
        "posted_new": intake.posted,
        "damaged_lines": intake.damaged,
        "unknown_ids": intake.unknown,
        "months_computed": len(result.months),
        "missing_outcomes": sum(row["missing"] for row in result.metrics if row["station"] == "all"),
        "dagster/row_count": len(result.metrics),
        "evaluated": sum(row["n"] for row in result.metrics if row["station"] == "all"),
        "faults_open": sum(fault.end is None for fault in state.faults),
        "judged_at": str(state.judged_at),
        **quality(feed, result.metrics, {heat.target: heat.version for heat in state.heat}),
        "report_path": dg.MetadataValue.path(result.report),
    }
    if result.history:
        metadata["prediction_history"] = dg.MetadataValue.path(result.history)
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
