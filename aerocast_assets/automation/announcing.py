"""What the platform tells others over the broker: the course of every retrain run, and every promotion.

`model-training` and `model-selected`, each message at least once and with an id by which a reader drops repetitions.
The sensor reads what the instance and the promotions table have recorded, from where it stopped: a run status sensor
would go on past an event that the broker did not take. Without a broker nothing is lost, and nothing breaks.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg
import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.waits import remaining
from aerocast.promotion import table
from aerocast.storage.home import Home, store_of
from aerocast_assets.assets.champion import RETRAIN_TAG
from aerocast_assets.assets.claims import UNSET, listening
from aerocast_assets.automation import cursors
from aerocast_assets.keys import RETRAIN_OF
from aerocast_assets.labels import OWNERS
from aerocast_assets.resources import Platform

if TYPE_CHECKING:
    from aerocast.ingest.brokers import Letter

TRAINING, SELECTED = "model-training", "model-selected"
POLL = 15  # seconds
PAGE = 200  # events of a kind, and promotions of a target, that a tick looks at
UNRECORDED = timedelta(minutes=15)  # after which a promotion without a row of the table is told from its pointer
Status = Literal["RUNNING", "SUCCESS", "FAILED"]
STATUSES: dict[dg.DagsterEventType, Status] = {
    dg.DagsterEventType.RUN_START: "RUNNING",
    dg.DagsterEventType.RUN_SUCCESS: "SUCCESS",
    dg.DagsterEventType.RUN_FAILURE: "FAILED",
    dg.DagsterEventType.RUN_CANCELED: "FAILED",
}


class Training(msgspec.Struct, frozen=True):
    """A message of `model-training`. Of a run that succeeded `version` and `config_hash` are what serves after it."""

    id: str
    feed: str
    target: str
    run_id: str
    status: Status
    reason: str
    time: datetime
    version: str | None = None
    config_hash: str | None = None


class Selected(msgspec.Struct, frozen=True):
    """A message of `model-selected`: `version` serves from now on; `metrics` are those on its test rows."""

    id: str
    feed: str
    target: str
    version: str
    kind: str | None
    config_hash: str | None
    metrics: dict[str, Any]
    uri: str
    reason: str
    time: datetime


class RunAnnouncements(msgspec.Struct, frozen=True):
    """What was told of one target: up to which row of promotions, and which version; `stamp` is its pointer's then."""

    row: int = -1
    version: str = ""
    stamp: str = ""


class AnnouncingCursor(msgspec.Struct, frozen=True):
    """Where the sensor stopped: the newest event of the instance, and each target."""

    event: int = -1
    targets: dict[str, RunAnnouncements] = {}


def announcing() -> dg.Definitions:
    """The sensor `announcements`."""

    @dg.sensor(
        name="announcements",
        minimum_interval_seconds=POLL,
        default_status=listening(),
        owners=OWNERS,
        description=f"Tells the broker of retrain runs ({TRAINING}) and promotions ({SELECTED}).",
    )
    def sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:

        address = platform.settings.broker
        if not address:
            return dg.SensorResult(skip_reason=UNSET, cursor=context.cursor)
        before = cursors.read(context, AnnouncingCursor, "everything is announced again, under the same ids")
        try:
            sent_count, cursor = tell(context.instance, platform.root, address, before)
        except AeroCastError as error:
            return dg.SensorResult(skip_reason=f"to be announced later: {error}", cursor=context.cursor)
        text = f"announced {sent_count} changes" if sent_count else "nothing new to announce"
        return dg.SensorResult(skip_reason=text, cursor=cursors.encoded(cursor))

    return dg.Definitions(sensors=[sensor])


def tell(
    instance: dg.DagsterInstance, root: Home, address: str, before: AnnouncingCursor
) -> tuple[int, AnnouncingCursor]:
    """Publishes what has happened since; how many messages, and where the next call begins.

    Raises:
        AeroCastError: the broker cannot be reached, or does not take one: the next call begins where this one did.
    """
    from aerocast.ingest import brokers

    event, trainings = _trainings(instance, root, before.event)
    targets, selected = _selections(root, before.targets)
    letters = {TRAINING: [_letter(each) for each in trainings], SELECTED: [_letter(each) for each in selected]}
    if any(letters.values()):
        with brokers.connect(address) as broker:
            for topic, new in letters.items():
                if new:
                    broker.publish_all(topic, new)
    return sum(map(len, letters.values())), AnnouncingCursor(event, targets)


def _letter(message: Training | Selected) -> "Letter":
    from aerocast.ingest.brokers import Letter

    return Letter(message.id, msgspec.json.encode(message), f"{message.feed}/{message.target}")


def _trainings(instance: dg.DagsterInstance, root: Home, after: int) -> tuple[int, list[Training]]:
    """The changes of retrain runs after an event, in order, and the newest event that was looked at."""
    pages = {
        kind: instance.fetch_run_status_changes(
            dg.RunStatusChangeRecordsFilter(kind, after_storage_id=after),  # type: ignore[arg-type]  # its four kinds
            limit=PAGE,
            ascending=True,
        )
        for kind in STATUSES
    }
    # Of a kind with more events than a page holds the later ones are not known yet: they go before those of others.
    ends = [page.records[-1].storage_id for page in pages.values() if page.has_more]
    changes = [(record.storage_id, kind, record) for kind, page in pages.items() for record in page.records]
    changes = [each for each in changes if not ends or each[0] <= min(ends)]
    records = instance.get_run_records(dg.RunsFilter(run_ids=[each[2].run_id for each in changes])) if changes else []
    runs = {record.dagster_run.run_id: record.dagster_run for record in records}
    messages = []
    for _, kind, record in sorted(changes, key=lambda each: each[0]):
        run = runs.get(record.run_id)
        if run and "/" in (of := run.tags.get(RETRAIN_OF, "")):
            messages.append(_training(root, run, of, STATUSES[kind], record.timestamp))
    return max((each[0] for each in changes), default=after), messages


def _training(root: Home, run: dg.DagsterRun, of: str, status: Status, at: float) -> Training:
    feed, _, target = of.partition("/")
    version, hashed = _served(root, feed, target, run.run_id) if status == "SUCCESS" else (None, None)
    return Training(
        id=f"{run.run_id}/{status}",
        feed=feed,
        target=target,
        run_id=run.run_id,
        status=status,
        reason=run.tags.get(RETRAIN_TAG, ""),
        time=datetime.fromtimestamp(at, UTC),
        version=version,
        config_hash=hashed,
    )


def _served(root: Home, feed: str, target: str, run_id: str) -> tuple[str | None, str | None]:
    """Version and config hash of what serves after a run: by its own decision, or the one that stood."""
    from aerocast.lake import Lake
    from aerocast.releases import release

    lake = Lake(root)
    decision = table.of_run(lake, feed, target, run_id) or table.newest(lake, feed, target)
    if not decision or not (version := decision["version"]):
        return None, None
    try:
        return version, release.load(root, feed, target, version).manifest.lineage.config_hash
    except AeroCastError:  # damaged or gone by now
        return version, None


def _selections(
    root: Home, announced: dict[str, RunAnnouncements]
) -> tuple[dict[str, RunAnnouncements], list[Selected]]:
    """The promotions of every target that were not told of yet; a target whose pointer has not moved costs a stat."""
    from aerocast.releases import release

    after, messages = dict(announced), list[Selected]()
    for feed, target, stamp in release.discover(root):
        name = f"{feed}/{target}"
        before = after.get(name, RunAnnouncements())
        if before.stamp == str(stamp):
            continue
        for row, message in _promotions(root, feed, target, before):
            if message.version != before.version:
                messages.append(message)
            before = RunAnnouncements(row, message.version)
        pointer = release.current(root, feed, target)
        if (
            pointer
            and pointer.version != before.version
            and not remaining(UNRECORDED, pointer.promoted_at, datetime.now(UTC))
        ):
            # Killed between the two, and never repeated.
            messages.append(_selected(root, feed, target, pointer.version, pointer.promoted_at, {}))
            before = RunAnnouncements(before.row, pointer.version)
        # The pointer moves before the row is there: until then each tick looks again.
        quiet = pointer is not None and pointer.version == before.version
        after[name] = RunAnnouncements(before.row, before.version, str(stamp) if quiet else "")
    return after, messages


def _promotions(root: Home, feed: str, target: str, before: RunAnnouncements) -> Iterator[tuple[int, Selected]]:
    """The rows of the promotions table behind the one told of last, oldest first, as messages."""
    from aerocast.lake import Lake

    for row in table.promotions_after(Lake(root), feed, target, before.row, PAGE):
        yield row["delivery"], _selected(root, feed, target, row["version"], row["decided_at"], row)


def _selected(root: Home, feed: str, target: str, version: str, at: datetime, row: dict[str, Any]) -> Selected:
    """The message of one promotion; its release may be damaged or gone by now, which does not unmake it."""
    from aerocast.releases import release

    try:
        manifest = release.load(root, feed, target, version).manifest
    except AeroCastError:
        manifest = None
    place = f"releases/{feed}/{target}/{version}"
    return Selected(
        id=f"{feed}/{target}/{version}@{at.isoformat()}",
        feed=feed,
        target=target,
        version=version,
        kind=manifest.kind if manifest else row.get("winner"),
        config_hash=manifest.lineage.config_hash if manifest else None,
        metrics=msgspec.to_builtins(manifest.metrics.overall) if manifest else {},
        uri=store_of(root).link(place),
        reason=row.get("retrain_reason") or row.get("reason") or "",
        time=at,
    )
