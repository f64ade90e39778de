"""Keeps the lake small without losing what is needed: retention, compaction, vacuum, cleanup of the log, disk use.

What a release was trained on stays readable for as long as the release is there: its versions are named to the vacuum,
and each keeps a checkpoint of its own in the log. All else that is older than `RETENTION` may go. Every step is one
commit or deletes only what no version needs, so it may be killed anywhere, beside readers and writers.
"""

import math
import os
import shutil
from collections.abc import Container, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow.fs import FileSelector

from aerocast.common.errors import AeroCastError
from aerocast.common.months import month_span
from aerocast.feed.declaration import Feed
from aerocast.lake import LOG_PROPERTIES, PARTITION, Lake, LakeReader
from aerocast.lake.ledger import checkpoints, log_of
from aerocast.models import candidates
from aerocast.operations.pruning import prune
from aerocast.releases import release
from aerocast.storage.home import Home

RETENTION = timedelta(days=1)  # for readers of an older version; a live run makes a month of each layer again
CALM = timedelta(days=1)  # a month that was not written to for so long is joined into one file
MANY_FILES = 16  # files of a month at which it is joined although it is still written to
WINDOWS = "windows"


class Use(NamedTuple):
    """One table: its rows, the files and bytes of its newest version, and the bytes of all its versions."""

    table: str
    rows: int
    files: int
    bytes: int
    bytes_in_all: int


class Upkeep(NamedTuple):
    """What a round did, by table: months removed, months compacted, files vacuumed, commits dropped from the log, and
    why tables failed, or were left alone because it is not known what of them is needed; `prunings` are by kind.
    """

    removals: dict[str, list[str]]
    compactions: dict[str, int]
    vacuums: dict[str, int]
    dropped_commits: dict[str, int]
    failures: dict[str, str]
    prunings: dict[str, int]


def maintain(
    home: Home, lake: Lake, feeds: Mapping[str, tuple[Feed, datetime]], retention: timedelta = RETENTION
) -> Upkeep:
    """Runs one round over all tables. `feeds` are the declared ones by name, each with its own present.

    A table that fails, or of which it is not known what is needed, is noted in `failures`, and the others go on.
    """
    upkeep, now = Upkeep({}, {}, {}, {}, {}, {}), datetime.now(UTC)
    for feed, present in feeds.values():
        try:
            # Releases first: what they were trained on is not needed then.
            for kind, count in prune(home, lake, feed).items():
                upkeep.prunings[kind] = upkeep.prunings.get(kind, 0) + count
        except AeroCastError as error:
            upkeep.failures[f"{feed.name}, beside its tables"] = str(error)
        try:
            upkeep.removals.update(expire(lake, feed, present))
        except AeroCastError as error:
            upkeep.failures[feed.name] = str(error)
    for feed_name, tables in groupby(lake.tables(), key=lambda name: name.split("/")[0]):
        names = list(tables)
        try:
            needs = lineage_versions(home, lake, feed_name)
        except AeroCastError as error:
            upkeep.failures.update({name: str(error) for name in names})
            continue
        for name in names:
            try:
                _maintain_table(lake, name, needs.get(name, set()), now, retention, upkeep)
            except AeroCastError as error:
                upkeep.failures[name] = str(error)
    return upkeep


def _maintain_table(lake: Lake, name: str, keep: set[int], now: datetime, retention: timedelta, upkeep: Upkeep) -> None:
    set_log_properties(lake, name)
    upkeep.compactions[name] = compact_months(lake, name, now)
    log = _log(lake, name)
    # A version from before its log was ours to clean can be gone already; none that can be read may go.
    keep = {version for version in keep if log and min(log) <= version <= max(log)}
    upkeep.vacuums[name] = lake.vacuum(name, keep, retention)
    upkeep.dropped_commits[name] = drop_log(lake, name, keep, now - retention)


def set_log_properties(lake: LakeReader, name: str) -> None:
    """Sets the table properties that a table of an older home lacks: how its log is kept."""
    table = lake.table(name)
    if not LOG_PROPERTIES.items() <= table.metadata().configuration.items():
        table.alter.set_table_properties(LOG_PROPERTIES)


def expire(lake: Lake, feed: Feed, present: datetime) -> dict[str, list[str]]:
    """Removes the months that ended longer ago than their layer's retention; table -> months.

    What was made from them is not made a second time: the ledger's `gone` tells the layer below.
    """
    removals = {}
    for layer, limit in feed.retention:
        names = [f"{feed.name}/{target}/{layer}" for target in feed.targets] if layer == WINDOWS else []
        for name in names or [f"{feed.name}/{layer}"]:
            months = [] if limit is None else [m for m in lake.months(name) if month_span(m)[1] + limit <= present]
            if months:
                lake.remove(name, months)
                removals[name] = months
    return removals


def compact_months(lake: Lake, name: str, now: datetime) -> int:
    """Joins the files of each month that has several and is calm, or has many; how many months."""
    files: dict[str | None, list[float]] = {}
    for action in _actions(lake, name):
        files.setdefault(action.get(f"partition.{PARTITION}"), []).append(_seconds(action["modification_time"]))
    calm = (now - CALM).timestamp()
    due = [month for month, ages in files.items() if len(ages) > 1 and (max(ages) < calm or len(ages) >= MANY_FILES)]
    for month in sorted(due, key=str):
        lake.compact(name, month)
    return len(due)


def lineage_versions(home: Home, lake: LakeReader, feed: str) -> dict[str, set[int]]:
    """The versions that a feed's releases, and candidates that may become one, name in their lineage; by table.

    Raises:
        AeroCastError: one of them cannot be read, so it is not known.
    """
    versions: dict[str, set[int]] = {}
    # Of every target that has a training table, still declared or not.
    names = [name.split("/") for name in lake.tables()]
    for target in [rest[0] for own, *rest in names if own == feed and rest[1:] == [WINDOWS]]:
        lineages = []
        for entry in release.history(home, feed, target):
            if entry.manifest is None:
                raise AeroCastError(f"what release {entry.version} of {feed}/{target} needs is unknown: {entry.error}")
            lineages.append(entry.manifest.lineage.delta_versions)
        for path in sorted(candidates.candidate_path(Path(home), feed, target, "any").parent.glob("*.msgpack")):
            if candidate := candidates.read_candidate(Path(home), feed, target, path.stem):
                lineages.append(candidate.delta_versions)
        for layer, version in (item for lineage in lineages for item in lineage.items()):
            name = f"{feed}/{target}/{layer}" if layer == WINDOWS else f"{feed}/{layer}"
            versions.setdefault(name, set()).add(version)
    return versions


def drop_log(lake: LakeReader, name: str, keep: set[int], before: datetime) -> int:
    """Drops the log of versions that ended before then, except those to keep; how many commits.

    A version to keep becomes a checkpoint first, and can be read without the log before it.
    """
    log, ages = log_of(lake.table(name)), _log(lake, name)
    # The newest version of then was the table's state for some of the retention, so the log begins with it.
    old = [version for version, time in ages.items() if time < before.timestamp()]
    checkpoint_versions = {version for version in checkpoints(log) if old and version <= max(old)}
    if not checkpoint_versions:
        return 0
    start = max(checkpoint_versions)
    for version in sorted(each for each in keep - checkpoint_versions if each < start):
        lake.table(name, version).create_checkpoint()
    drop = [version for version in ages if version < start and version not in keep]
    files = [f"{version:020d}.json" for version in drop]
    files += [f"{version:020d}.checkpoint.parquet" for version in sorted(checkpoint_versions - keep) if version < start]
    for file in files:
        log.delete_file(f"_delta_log/{file}")
    return len(drop)


def disk_use(lake: LakeReader) -> list[Use]:
    """The space of each table, the largest first; on an object store only that of its newest version."""
    uses, names = [], lake.tables()
    folders = {Path(lake.uri(name)) for name in names}
    for name in names:
        actions = _actions(lake, name)
        size = sum(action["size_bytes"] for action in actions)
        whole = bytes_below(Path(lake.uri(name)), folders) if lake.store.local else size
        uses.append(Use(name, sum(action["num_records"] or 0 for action in actions), len(actions), size, whole))
    return sorted(uses, key=lambda use: -use.bytes_in_all)


def disk(home: Home) -> tuple[int, int]:
    """Free and total bytes on the disk of the home; of its work folder, if the home is an object store."""
    path = Path(home)
    while not path.exists():
        path = path.parent
    usage = shutil.disk_usage(path)
    return usage.free, usage.total


def _actions(lake: LakeReader, name: str) -> list[dict[str, Any]]:
    actions: list[dict[str, Any]] = pa.table(lake.table(name).get_add_actions(flatten=True)).to_pylist()
    return actions


def _log(lake: LakeReader, name: str) -> dict[int, float]:
    """The versions that the log names, by a commit or a checkpoint, and when that was written (seconds since 1970)."""
    infos = log_of(lake.table(name)).get_file_info(FileSelector("_delta_log"))
    versions: dict[int, float] = {}
    for info in sorted(infos, key=lambda info: info.base_name):
        number, _, kind = info.base_name.partition(".")
        if number.isdigit() and kind in ("json", "checkpoint.parquet"):
            versions[int(number)] = min(versions.get(int(number), math.inf), (info.mtime_ns or 0) / 1e9)
    return versions


def bytes_below(path: Path, tables: Container[Path] = ()) -> int:
    """Bytes of the files under a folder, without the tables in it; a file that vanishes meanwhile counts as empty."""
    total = 0
    for folder, below, names in os.walk(path):
        below[:] = [each for each in below if Path(folder, each) not in tables]
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(folder, name).stat().st_size
    return total


def _seconds(moment: object) -> float:
    """A file's time in the log, as an instant or in milliseconds."""
    return moment.timestamp() if isinstance(moment, datetime) else float(str(moment)) / 1000
