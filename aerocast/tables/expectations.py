"""Checks bronze with a Great Expectations suite that is generated from the feed's declaration.

The rules are plain data, so that the code location names its checks without importing Great Expectations (seconds and
300 MB); `validate` imports it and runs all rules at once.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aerocast.feed import known_ahead
from aerocast.feed.declaration import Feed

if TYPE_CHECKING:
    import pandas as pd

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
EXAMPLES = 10
# Below this share of readings with a measured target a check warns.
TARGET_SHARE = 0.9


@dataclass(frozen=True)
class Rule:
    """One expectation: `type` is Great Expectations' snake-case name; `blocking` if it stops training."""

    name: str
    type: str
    arguments: dict[str, Any]
    description: str
    blocking: bool = True


@dataclass(frozen=True)
class Verdict:
    """The result of a rule: `unexpected` rows of `rows`, a few of them as `examples`."""

    rule: Rule
    passed: bool
    rows: int = 0
    unexpected: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    observed: str = ""
    raised: bool = False  # the expectation itself broke


def rules(feed: Feed) -> list[Rule]:
    """The feed's suite: schema, keys, physical ranges, and how often a target was measured."""
    names = ["station", "time", *(column.name for column in feed.columns), "segment", "flags", "month"]
    return [
        Rule("columns", "expect_table_columns_to_match_set", {"column_set": names}, "Exactly the declared columns."),
        Rule(
            "key_unique",
            "expect_compound_columns_to_be_unique",
            {"column_list": ["station", "time"]},
            "One row per station and time.",
        ),
        Rule("time_present", "expect_column_values_to_not_be_null", {"column": "time"}, "Every row has its time."),
        *(
            Rule(
                "station_declared",
                "expect_column_values_to_be_in_set",
                {"column": "station", "value_set": list(feed.station_ids)},
                f"Stations are {', '.join(feed.station_ids)}.",
            )
            for _ in range(not feed.open_stations)  # else those that joined are stations, too
        ),
        *(
            Rule(
                f"{column.name}_in_range",
                "expect_column_values_to_be_between",
                {"column": column.name, "min_value": column.range[0], "max_value": column.range[1]},
                f"{column.name} lies within {column.range[0]:g} to {column.range[1]:g} {column.unit}, or is missing.",
            )
            for column in feed.columns
        ),
        *(
            Rule(
                f"{target}_measured",
                "expect_column_values_to_not_be_null",
                {"column": target, "mostly": TARGET_SHARE},
                f"The target {target} was measured in at least {TARGET_SHARE:.0%} of the readings.",
                blocking=False,
            )
            # Where forecasts are issued, many readings hold nothing else.
            for target in (() if known_ahead.series(feed) else feed.targets)
        ),
    ]


def validate(feed: Feed, pieces: "Iterable[pd.DataFrame]") -> list[Verdict]:
    """Every rule's verdict over all frames together (bronze's columns; float columns in canonical units).

    A month lies in one frame; so what is unique in each is unique in all, and one frame at a time is in memory.
    """
    return [_total(parts) for parts in zip(*(_run(feed, piece) for piece in pieces), strict=True)]


def _total(parts: Sequence[Verdict]) -> Verdict:
    """The verdict over several frames from those over each."""
    rule, rows, unexpected = parts[0].rule, sum(part.rows for part in parts), sum(part.unexpected for part in parts)
    enough = "mostly" in rule.arguments and rows - unexpected >= rule.arguments["mostly"] * rows
    return Verdict(
        rule=rule,
        passed=all(part.passed for part in parts) or (enough and not any(part.raised for part in parts)),
        rows=rows,
        unexpected=unexpected,
        examples=[example for part in parts for example in part.examples][:EXAMPLES],
        observed=next((part.observed for part in parts if part.observed), ""),
        raised=any(part.raised for part in parts),
    )


def _run(feed: Feed, bronze: "pd.DataFrame") -> list[Verdict]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.registry import get_expectation_impl

    every = rules(feed)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("lake").add_dataframe_asset("bronze")
    batch = source.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": bronze})
    suite = gx.ExpectationSuite(
        name=f"{feed.name}_bronze",
        expectations=[get_expectation_impl(rule.type)(**rule.arguments, meta={"name": rule.name}) for rule in every],
    )
    outcome = batch.validate(suite, result_format={"result_format": "COMPLETE"})
    by_name = {r.expectation_config.meta["name"]: r for r in outcome.results if r.expectation_config is not None}
    return [_verdict(rule, by_name[rule.name], bronze) for rule in every]


def _verdict(rule: Rule, result: Any, bronze: "pd.DataFrame") -> Verdict:
    details = result.result or {}
    where: Sequence[int] = details.get("unexpected_index_list") or []
    rows = bronze.iloc[list(where[:EXAMPLES])].to_dict("records") if where else []
    faults = [value for value in (result.exception_info or {}).values() if isinstance(value, dict)]
    raised = "; ".join(str(fault["exception_message"]) for fault in faults if fault.get("exception_message"))
    return Verdict(
        rule=rule,
        passed=bool(result.success),
        rows=len(bronze),
        unexpected=int(details.get("unexpected_count") or 0),
        examples=[{str(name): value for name, value in row.items()} for row in rows],
        observed=raised or str(details.get("observed_value") or ""),
        raised=bool(raised),
    )
