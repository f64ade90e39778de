"""Drift as checks: errors on `evaluation`, sensors and seasons on silver. They warn and never stop a run."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
import msgspec

from aerocast.feed import Feed
from aerocast_assets.assets.describe import drawing, preview, report
from aerocast_assets.keys import key
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aerocast.drift.state import Diagnosis, Fault

EVIDENCE = ("test", "subject", "value", "threshold", "fired", "detail")


def drift_checks(feed: Feed) -> list[dg.AssetChecksDefinition]:
    """One check of each target's errors, and the two on silver."""
    return [*(_errors(feed, target) for target in feed.targets), _readings(feed)]


def _errors(feed: Feed, target: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=key(feed, "evaluation"),
        name=f"{target}_drift",
        description=f"No concept drift: errors of {target} are what the same season and weather allow.",
    )
    def check(platform: Platform) -> dg.AssetCheckResult:
        from aerocast.drift import state

        seen = state.read(platform.root, feed.name)
        own = [each for each in (seen.diagnoses if seen else ()) if each.target == target]
        drifting = [each.station for each in own if each.verdict == "concept_drift"]
        said = f"concept drift at {', '.join(drifting)}" if drifting else "no concept drift"
        heat = seen.of(target) if seen else None
        return dg.AssetCheckResult(
            passed=not drifting,
            severity=dg.AssetCheckSeverity.WARN,
            description=said if own else "no champion serves yet, so nothing was examined",
            metadata={
                **_shown(own),
                "hot": bool(heat and heat.hot),
                "edges": heat.edges if heat else 0,
                "report": dg.MetadataValue.json(msgspec.json.decode(msgspec.json.encode(own))),
                **drawing(report(platform.root, feed.name, target, "drift"), "drift"),
            },
        )

    return check


def _readings(feed: Feed) -> dg.AssetChecksDefinition:
    """After `evaluation`, where that runs too, for then the newest silver is examined already."""
    after, silver = [key(feed, "evaluation")], key(feed, "silver")
    described = {
        "sensors": "Every sensor can be believed: none is stuck, spikes, changed its unit, jumps in time or is silent.",
        "season": "Readings are spread as in the same season of the champion's training span.",
    }

    @dg.multi_asset_check(
        name=f"{feed.name}_drift",
        specs=[
            dg.AssetCheckSpec(name, asset=silver, description=text, additional_deps=after)
            for name, text in described.items()
        ],
    )
    def check(platform: Platform) -> Iterator[dg.AssetCheckResult]:
        from aerocast.evaluation import watch
        from aerocast.lake import Lake

        with platform.sql() as con:
            seen = watch.newest(con, Lake(platform.root), platform.root, feed)
        nothing = "" if seen.diagnoses else "no champion serves yet, so nothing was examined"
        broken = [fault for fault in seen.faults if fault.end is None]
        shifted = sorted({each.station for each in seen.diagnoses if each.verdict == "covariate_shift"})
        yield dg.AssetCheckResult(
            passed=not broken,
            asset_key=silver,
            check_name="sensors",
            severity=dg.AssetCheckSeverity.WARN,
            description=_told(broken) if broken or not nothing else f"{nothing} but single readings for their unit",
            metadata={"faults": preview([_fault(fault) for fault in broken]), **_shown(seen.diagnoses)},
        )
        yield dg.AssetCheckResult(
            passed=not shifted,
            asset_key=silver,
            check_name="season",
            severity=dg.AssetCheckSeverity.WARN,
            description=nothing or (f"covariate shift at {', '.join(shifted)}" if shifted else "as the season was"),
            metadata=_shown(seen.diagnoses),
        )

    return check


def _shown(diagnoses: "Sequence[Diagnosis]") -> dict[str, Any]:
    """The diagnosis of each station, and the tests behind them: those that fired first."""
    verdicts = [
        {
            **{name: getattr(each, name) for name in ("target", "station", "verdict", "onset")},
            **{name: getattr(each, name) for name in ("rmse", "expected_rmse", "coverage", "outcomes")},
        }
        for each in diagnoses
    ]
    tests = [
        {"station": each.station, **{name: getattr(test, name) for name in EVIDENCE}}
        for each in diagnoses
        for test in sorted(each.evidence, key=lambda test: not test.fired)
    ]
    return {"diagnosis": preview(verdicts), "evidence": preview(tests)}


def _fault(fault: "Fault") -> dict[str, Any]:
    return {name: getattr(fault, name) for name in ("station", "column", "kind", "start", "detail")}


def _told(broken: "Sequence[Fault]") -> str:
    return "; ".join(f"{fault.station}: {fault.column}, {fault.kind}" for fault in broken) or "all can be believed"
