"""raw: readings as delivered, appended exactly once; and the source they come from, observed for changes."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import dagster as dg

from aerocast.common.lineage import code_version
from aerocast.feed.declaration import Feed
from aerocast_assets.assets.describe import count_rows, status
from aerocast_assets.assets.step import step, with_signature
from aerocast_assets.assets.versions import contents, data_version
from aerocast_assets.keys import HOURLY, follow, key, live_job_name, pool, table
from aerocast_assets.keys import months as partitions
from aerocast_assets.labels import feed_spec, linked
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from aerocast.ingest.channels.intake import IntakeReport
    from aerocast.lake import Lake, LakeReader
    from aerocast.tables.raw import Delivery

UNREAD = "could_not_be_read"  # metadata of raw: which ways in, and why
RECENT = 2  # newest months of raw in which a live source's newest reading is looked for


def source(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/source`: its data version is a fingerprint of what the source holds now."""
    spec = feed_spec(
        feed,
        "source",
        kinds={feed.source.kind},
        description=f"Where the readings of {feed.name} come from: {feed.source.label}",
        automation_condition=HOURLY,
    )

    def observe(platform: Platform) -> dg.ObserveResult:
        from aerocast.contracts import clock

        now = clock.now(platform.root, feed.name, feed.end)
        return dg.ObserveResult(data_version=dg.DataVersion(feed.source.fingerprint(feed, now)))

    own = linked(spec, with_signature(observe))
    define = dg.multi_observable_source_asset(name=own.key.to_python_identifier(), specs=[own])
    return cast("dg.AssetsDefinition", define(observe))


def raw(feed: Feed) -> dg.AssetsDefinition:
    """`<feed>/raw`: what the source has of these months, and all that waits in the channels, whatever its month."""

    spec = feed_spec(
        feed,
        "raw",
        deps=[key(feed, "source")],
        partitions_def=partitions(feed),
        kinds={"deltalake"},
        code_version=code_version(type(feed.source).__module__),
        description="Readings as delivered, with station, UTC time, source and segment id. Append-only, exactly once.",
        automation_condition=follow(feed),
    )

    @step(spec, pool=pool(feed))
    def asset(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[None]:
        from aerocast.contracts import clock, declared
        from aerocast.operations.healing import heal

        lake, name, months = platform.lake, table(feed, "raw"), sorted(context.partition_keys)
        now, notes = clock.now(platform.root, feed.name, feed.end), heal(platform.root, feed)
        declared.publish(platform.root, feed)
        intake = _take(context, feed, platform, lake, now, notes)
        notes += intake.notes
        if intake.failures and not lake.exists(name):
            raise dg.Failure(f"{name}: nothing could be read: {failure_text(intake.failures)}")
        for line in (*notes, *(f"could not be read: {way}: {why}" for way, why in intake.failures.items())):
            context.log.warning(line)
        counts, new = count_rows(context, lake, [name], months, intake.months), intake.rows.total()
        context.log.info(f"{counts['rows']} readings, {intake.segments} segments new ({new} readings)")
        return dg.MaterializeResult(
            metadata={
                **status(new),
                **counts,
                "rows_new": new,
                "segments_new": intake.segments,
                **_describe(intake, notes),
                "now": now.isoformat(timespec="seconds"),
            },
            data_version=data_version(context, contents(lake, name, months, platform.hash_salt)),
        )

    return asset


def _take(
    context: dg.AssetExecutionContext, feed: Feed, platform: Platform, lake: "Lake", now: datetime, notes: list[str]
) -> "IntakeReport":
    """Channels first: a source that cannot be read must not delay what people sent. Notes which ways could be read."""
    from aerocast.ingest.channels import channels_of
    from aerocast.ingest.channels.intake import SOURCE, admit_stations, place_strays, take_all, take_source
    from aerocast.ingest.channels.patience import Patience, delay_text

    settings, months, real = platform.settings, sorted(context.partition_keys), datetime.now(UTC)
    channels = channels_of(platform.root, feed, settings)
    intake = take_all(lake, feed, channels)
    patience, ways = Patience(platform.root, feed.name, settings.patience), [channel.name for channel in channels]
    # A service that does not answer costs minutes; a person who starts a run by hand asks it all the same.
    patient = feed.source.watch == "polled" and context.run.job_name == live_job_name(feed)
    if patient and not patience.is_due(SOURCE, real):
        notes.append(f"{SOURCE}: {delay_text([patience.delays[SOURCE]])}")
    else:
        take_source(lake, feed, _read(feed, platform, lake, months, now, notes), intake)
        ways.append(SOURCE)
    for way in ways:
        if way in intake.failures:
            patience.fail(way, intake.failures[way], real)
        else:
            patience.clear(way)
    place_strays(lake, feed, now, intake)
    admit_stations(lake, feed, months, intake)
    return intake


def _read(
    feed: Feed, platform: Platform, lake: "LakeReader", months: list[str], now: datetime, notes: list[str]
) -> "Iterator[Delivery]":
    """What the source has: a file all that it holds, a service all that is news, a simulation these months."""
    from pathlib import Path

    from aerocast.common.months import month_of
    from aerocast.feed.source_kind import ReadRequest
    from aerocast.ingest.channels.slots import fingerprints_of_slots

    name, after = table(feed, "raw"), dict[str, datetime]()
    whole = feed.source.watch == "whole"
    if not whole:
        with platform.sql() as con:
            after = _newest(con, lake, name, sorted({*months, *lake.months(name)[-RECENT:]}))
    polled = feed.source.watch == "polled" and month_of(now) in months
    # What retention has taken out is not asked for again.
    open_months = None if polled or whole else sorted(set(months) - lake.ledger(name).removed_months())
    work = Path(platform.root) / "sources" / feed.source.kind
    slots = fingerprints_of_slots(lake, feed) if whole else None
    yield from feed.source.read(feed, ReadRequest(open_months, now, after, work, notes, slots))


def _newest(con: "DuckDBPyConnection", lake: "LakeReader", raw: str, months: Sequence[str]) -> dict[str, datetime]:
    """The newest reading of each month of raw that has one: what a live source need not deliver again."""
    if not lake.exists(raw):
        return {}
    rows = lake.relation(con, raw, months).filter("time IS NOT NULL").aggregate("month, max(time) AS time", "month")
    return {month: time.astimezone(UTC) for month, time in rows.fetchall()}


def _describe(intake: "IntakeReport", notes: list[str]) -> dict[str, Any]:
    """What of an intake is worth a look, and nothing else."""
    metadata: dict[str, Any] = {f"rows_from_{way}": rows for way, rows in sorted(intake.rows.items())}
    metadata |= {
        "months_touched": ", ".join(sorted(intake.months)),
        "known_already": intake.repeats,
        "no_news": intake.unsaid,
    }
    metadata |= {"withdrawn": intake.withdrawals, "placed": intake.moves}
    metadata |= {
        "rejected": "; ".join(intake.rejections),
        "notes": "; ".join(notes),
        UNREAD: failure_text(intake.failures),
    }
    return {name: value for name, value in metadata.items() if value}


def failure_text(failed: dict[str, str]) -> str:
    """Ways in that could not be read, as one line."""
    return "; ".join(f"{way}: {why}" for way, why in failed.items())
