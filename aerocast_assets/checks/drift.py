"""Drift as checks: errors of each target, sensors and seasons on silver. They warn and never stop a run."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from aerocast.feed.declaration import Feed
from aerocast_assets.assets.describe import drawing, preview, report
from aerocast_assets.assets.step import check_step
from aerocast_assets.keys import key
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aerocast.contracts.drift_state import Diagnosis, Fault

EVIDENCE = ("test", "subject", "value", "threshold", "fired", "detail")


def of_target(feed: Feed, target: str, platform: Platform) -> dg.AssetCheckResult:
    """Whether the errors of a target are what season and weather allow, as the newest examination has it."""
    from aerocast.contracts import drift_state as state

    beliefs = state.document(platform.root, feed.name).read()
    own = [each for each in (beliefs.diagnoses if beliefs else ()) if each.target == target]
    drifting = [each.station for each in own if each.verdict == "concept_drift"]
    text = f"concept drift at {', '.join(drifting)}" if drifting else "no concept drift"
    heat = beliefs.of(target) if beliefs else None
    return dg.AssetCheckResult(
        passed=not drifting,
        severity=dg.AssetCheckSeverity.WARN,
        description=text if own else "no champion serves yet, so nothing was examined",
        metadata={
            **_describe(own),
            "hot": bool(heat and heat.hot),
            "edges": heat.edges if heat else 0,
            **{name: dg.MetadataValue.float(value) for name, value in _figures(own).items()},
            **drawing(platform, report(platform.root, feed.name, target, "drift"), "drift"),
        },
    )


def readings_checks(feed: Feed) -> dg.AssetChecksDefinition:
    """The two on silver: `sensors` and `season`.

    After `evaluation`, where that runs too, for then the newest silver is examined already.
    """
    after, silver = [key(feed, "evaluation")], key(feed, "silver")
    described = {
        "sensors": "Every sensor can be believed: none is stuck, spikes, changed its unit, jumps in time or is silent.",
        "season": "Readings are spread as in the same season of the champion's training span.",
    }

    specs = [
        dg.AssetCheckSpec(name, asset=silver, description=text, additional_deps=after)
        for name, text in described.items()
    ]

    @check_step(*specs, name=f"{feed.name}_drift")
    def check(platform: Platform) -> Iterator[dg.AssetCheckResult]:
        from aerocast.monitoring.evaluation import watch

        with platform.sql() as con:
            examination = watch.newest_examination(con, platform.lake.view(), platform.root, feed)
        nothing = "" if examination.diagnoses else "no champion serves yet, so nothing was examined"
        sound = f"{nothing} but single readings for their unit" if nothing else "all can be believed"
        broken = [fault for fault in examination.faults if fault.end is None]
        names = "; ".join(f"{fault.station}: {fault.column}, {fault.kind}" for fault in broken)
        shifted = sorted({each.station for each in examination.diagnoses if each.verdict == "covariate_shift"})
        yield dg.AssetCheckResult(
            passed=not broken,
            asset_key=silver,
            check_name="sensors",
            severity=dg.AssetCheckSeverity.WARN,
            description=names or sound,
            metadata={"faults_open": len(broken), "faults": preview([_fault(fault) for fault in broken])},
        )
        yield dg.AssetCheckResult(
            passed=not shifted,
            asset_key=silver,
            check_name="season",
            severity=dg.AssetCheckSeverity.WARN,
            description=nothing or (f"covariate shift at {', '.join(shifted)}" if shifted else "as the season was"),
            metadata={
                "stations_shifted": len(shifted),
                **_describe([d for d in examination.diagnoses if d.station in shifted]),
            },
        )

    return check


def _describe(diagnoses: "Sequence[Diagnosis]") -> dict[str, Any]:
    """The diagnosis of each station, and the tests that fired; all of them are in the report on the disk."""
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
        for test in each.evidence
        if test.fired
    ]
    return {"diagnosis": preview(verdicts), "evidence": preview(tests)}


def _figures(diagnoses: "Sequence[Diagnosis]") -> dict[str, float]:
    """Over all stations with outcomes: RMSE, what season and weather allow, and the intervals' coverage."""
    roots = {
        name: [value**2 for each in diagnoses if (value := getattr(each, name)) is not None]
        for name in ("rmse", "expected_rmse")
    }
    shares = [(each.coverage, each.outcomes) for each in diagnoses if each.coverage is not None and each.outcomes]
    figures = {name: math.sqrt(sum(squares) / len(squares)) for name, squares in roots.items() if squares}
    if shares:
        figures["coverage"] = sum(share * count for share, count in shares) / sum(count for _, count in shares)
    return figures


def _fault(fault: "Fault") -> dict[str, Any]:
    return {name: getattr(fault, name) for name in ("station", "column", "kind", "start", "detail")}
