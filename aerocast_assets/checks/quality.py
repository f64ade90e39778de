"""Checks of the tables: nothing lost, values believed, expectations, freshness. Blocking ones stop the run."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from aerocast.common.words import count, duration
from aerocast.feed.declaration import Feed
from aerocast.tables.expectations import Verdict, rules, validate
from aerocast_assets.assets.describe import preview
from aerocast_assets.assets.step import check_step
from aerocast_assets.batch import Check, check_together
from aerocast_assets.checks.training import places_declared
from aerocast_assets.keys import key, months, table
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.lake import LakeReader
    from aerocast.tables.quality import QuarantineShare

PREVIEWED = 10  # largest shares
NEWEST = 2  # months in which a station's newest reading is looked for


def quality_checks(feed: Feed) -> list[dg.AssetChecksDefinition]:
    """The feed's checks on raw, bronze and silver."""
    block, training_sets = feed.quality.block, [key(feed, target, "training_set") for target in feed.targets]
    return [
        check_together(f"{feed.name}__bronze_checks", _nothing_lost(feed), _values_believed(feed, key(feed, "bronze"))),
        _expectations(feed),
        check_together(f"{feed.name}__silver_checks", _freshness(feed), places_declared(feed)),
        *(check_together("", _values_believed(feed, asset, block)) for asset in training_sets if block is not None),
    ]


def _months(context: dg.AssetCheckExecutionContext, lake: "LakeReader", feed: Feed) -> list[str]:
    """The months of this run, so that a check's cost does not grow with history; run alone, all there are."""
    tags = context.run.tags
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    first, last = first or tags.get("dagster/partition"), last or tags.get("dagster/partition")
    if first and last:
        return [month for month in months(feed).get_partition_keys() if first <= month <= last]
    return sorted({month for layer in ("raw", "bronze") for month in lake.months(table(feed, layer))})


def _open(context: dg.AssetCheckExecutionContext, lake: "LakeReader", feed: Feed) -> list[str]:
    """Those months whose books are open: what retention took a part of stays as the rules of its time left it."""
    removed = set[str]().union(
        *(lake.ledger(table(feed, layer)).removed_months() for layer in ("raw", "bronze", "quarantine"))
    )
    return [month for month in _months(context, lake, feed) if month not in removed]


def _nothing_lost(feed: Feed) -> Check:
    spec = dg.AssetCheckSpec(
        "nothing_lost",
        asset=key(feed, "bronze"),
        blocking=True,
        description="Every reading and every value of raw went to one place, counted from the three tables.",
    )

    def check(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        from aerocast.tables.quality import EMPTY, Audit, audit

        lake = platform.lake.view()
        span = _open(context, lake, feed)
        books = EMPTY
        with platform.sql() as con:
            for piece in lake.chunks(table(feed, "raw"), span):
                tables = (lake.relation(con, table(feed, layer), piece) for layer in ("raw", "bronze", "quarantine"))
                books = Audit(*map(sum, zip(books, audit(con, feed, *tables), strict=True)))
        return dg.AssetCheckResult(
            passed=books.balanced,
            severity=dg.AssetCheckSeverity.ERROR,
            description="every reading and value is accounted for"
            if books.balanced
            else "readings or values are lost: " + ", ".join(f"{name} {n:,}" for name, n in books._asdict().items()),
            metadata={**books._asdict(), "months": f"{span[0]} to {span[-1]}" if span else "none"},
        )

    return Check(spec, check)


def _values_believed(feed: Feed, asset: dg.AssetKey, block: float | None = None) -> Check:
    """With a share that blocks it stops what would be trained on rows of which too much is lacking."""
    description = "No column of any station lacks more of its values, missing or quarantined, than is usual."
    if block is not None:
        description = f"No column of any station lacks {block:.0%} of its values (quality.block)."

    spec = dg.AssetCheckSpec("values_believed", asset=asset, blocking=block is not None, description=description)

    def check(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        from aerocast.tables import quality

        lake, names = platform.lake.view(), [table(feed, layer) for layer in ("bronze", "quarantine")]
        with platform.sql() as con:
            shares = quality.total_shares(
                quality.shares(con, feed, *(lake.relation(con, name, piece) for name in names))
                for piece in lake.chunks(names[0], _open(context, lake, feed))
            )
        high = quality.shares_above(shares, block)
        return dg.AssetCheckResult(
            passed=not high,
            severity=dg.AssetCheckSeverity.WARN if block is None else dg.AssetCheckSeverity.ERROR,
            description="; ".join(map(str, high)) or "as usual",
            metadata={
                "largest_share": max((each.share for each in shares), default=0.0),
                "high": preview([_row(each) for each in high]),
                "shares": preview([_row(each) for each in sorted(shares, key=lambda each: -each.share)[:PREVIEWED]]),
            },
        )

    return Check(spec, check)


def _row(share: "QuarantineShare") -> dict[str, object]:
    return {**share._asdict(), "share": share.share}


def _expectations(feed: Feed) -> dg.AssetChecksDefinition:
    bronze = key(feed, "bronze")
    suite = rules(feed)

    specs = [dg.AssetCheckSpec(r.name, asset=bronze, description=r.description, blocking=r.blocking) for r in suite]

    @check_step(*specs, name=f"{feed.name}_expectations")
    def check(context: dg.AssetCheckExecutionContext, platform: Platform) -> Iterator[dg.AssetCheckResult]:
        lake, name = platform.lake.view(), table(feed, "bronze")
        with platform.sql() as con:
            # Without a row there is still one frame, whose columns are judged.
            pieces = lake.chunks(name, _open(context, lake, feed)) or [[]]
            frames = (lake.relation(con, name, piece).to_arrow_table().to_pandas() for piece in pieces)
            for verdict in validate(feed, frames):
                yield _result(bronze, verdict)

    return check


def _result(asset: dg.AssetKey, verdict: Verdict) -> dg.AssetCheckResult:
    blocking = verdict.rule.blocking
    return dg.AssetCheckResult(
        passed=verdict.passed,
        asset_key=asset,
        check_name=verdict.rule.name,
        severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
        description=verdict.rule.description if verdict.passed else _unexpected(verdict),
        metadata={
            "expectation": verdict.rule.type,
            "arguments": dg.MetadataValue.json(verdict.rule.arguments),
            "rows": verdict.rows,
            "unexpected": verdict.unexpected,
            "observed": verdict.observed,
            "examples": preview(verdict.examples),
        },
    )


def _unexpected(verdict: Verdict) -> str:
    """What an expectation met instead."""
    rows = f"{count(verdict.unexpected, 'row')} of {verdict.rows:,} do not comply" if verdict.unexpected else ""
    return f"{verdict.rule.description} But {', '.join(filter(None, [rows, verdict.observed])) or 'it is not so'}."


def _freshness(feed: Feed) -> Check:
    spec = dg.AssetCheckSpec(
        "fresh",
        asset=key(feed, "silver"),
        description=f"Each station's newest reading is at most {duration(feed.freshness)} old, by the feed's clock.",
    )

    def check(_: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        from aerocast.contracts import clock

        lake, name = platform.lake.view(), table(feed, "bronze")
        with platform.sql() as con:
            rows = lake.relation(con, name, lake.months(name)[-NEWEST:])
            newest = dict(rows.aggregate("station, max(time)", "station").fetchall())
        now = clock.now(platform.root, feed.name, feed.end)
        ages = {station: now - newest[station] if station in newest else None for station in feed.station_ids}
        late = [station for station, age in ages.items() if age is None or age > feed.freshness]
        return dg.AssetCheckResult(
            passed=not late,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(
                [*(_late(station, ages[station], feed) for station in late), *_impatience(feed, late)]
            )
            or f"every station's newest reading is at most {duration(feed.freshness)} old",
            metadata={
                "late": ", ".join(late),
                "stations": preview(
                    [
                        {"station": station, "newest": str(newest.get(station)), "age": duration(age) if age else ""}
                        for station, age in ages.items()
                    ]
                ),
            },
        )

    return Check(spec, check)


def _late(station: str, age: timedelta | None, feed: Feed) -> str:
    """What is wrong with a station that is not fresh."""
    if age is None:
        return f"{station}: no reading lately"
    return f"{station}: the newest reading is {duration(age)} old, at most {duration(feed.freshness)} are allowed"


def _impatience(feed: Feed, late: Sequence[str]) -> list[str]:
    """That a limit below the cadence makes a station late which reports once a step."""
    if not late or feed.freshness >= feed.cadence:
        return []
    steps = f"the cadence of {duration(feed.cadence)}"
    return [
        f"freshness {duration(feed.freshness)} is below {steps}: what reports once a step is late between two steps"
    ]
