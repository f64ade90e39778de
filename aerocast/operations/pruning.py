"""Prunes what grows beside the tables: releases, candidates, exports, trainings, files of inbox and claims.

`Feed.housekeeping` says how much of each stays. Never removed is a release that a pointer names (what serves, what
served before it, what challenges, what a person holds), a file that is not in raw yet, or anything that cannot be read.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.contracts import prediction_history
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import claim_objects
from aerocast.ingest.channels.inbox import Inbox, inbox_of
from aerocast.lake import LakeReader, connection
from aerocast.models import candidates
from aerocast.models.tracking import Tracker
from aerocast.models.tracking_database import FILE, TrackingUnavailable
from aerocast.monitoring.evaluation import history
from aerocast.releases import release
from aerocast.storage.home import Home
from aerocast.storage.settings import Settings


def prune(home: Home, lake: LakeReader, feed: Feed) -> dict[str, int]:
    """Removes what is beyond the feed's housekeeping; how many of each.

    Raises:
        AeroCastError: something cannot be looked at or removed; what comes after it waits for the next night.
    """
    limits = feed.housekeeping
    return {
        "releases": sum(_releases(home, feed, target, limits.releases) for target in feed.targets),
        "candidates": _candidates(home, feed, limits.candidates),
        "exports": _exports(home, feed),
        "inbox_files": Inbox(inbox_of(home, Settings(home=str(home))), home, feed.name).prune(
            limits.done, limits.rejected
        ),
        "claimed_objects": _claims(home, lake, feed, limits.claims),
        "trainings": _trainings(home, feed, limits.trainings),
    }


def _releases(home: Home, feed: Feed, target: str, newest: int) -> int:
    """Removes all but the newest and those that any field of a pointer names."""
    count = 0
    for version in release.versions(home, feed.name, target)[:-newest]:
        # Read for each: a person may choose one of them meanwhile.
        pointers = release.current(home, feed.name, target), release.challenger(home, feed.name, target)
        if version not in {text for each in pointers if each for text in _texts(msgspec.to_builtins(each))}:
            release.remove(home, feed.name, target, version)
            count += 1
    return count


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def _candidates(home: Home, feed: Feed, limit: timedelta | None) -> int:
    """Removes old candidates of targets and kinds that are not declared any more: the others are one file a kind."""
    root = Path(home) / "candidates" / feed.name
    current = {
        candidates.candidate_path(Path(home), feed.name, target, kind)
        for target in feed.targets
        for kind in (*feed.candidates, "sequence")
    }
    old = [path for path in root.glob("*/*.msgpack") if path not in current and _is_old(path, limit)]
    return _delete(old)


def _exports(home: Home, feed: Feed) -> int:
    """Removes months that the history does not hold any more, with the notes of what they were made from."""
    folder = prediction_history.place(home, feed.name)
    months = [path.stem for path in folder.glob("????-??.csv")]
    old = sorted(set(months) - set(history.months_kept(feed, months)))
    _delete([folder / f".{month}.csv.from" for month in old])
    return _delete([folder / f"{month}.csv" for month in old])


def _claims(home: Home, lake: LakeReader, feed: Feed, limit: timedelta | None) -> int:
    """Removes old objects in this machine's folder that are in raw: any other one may still be needed."""
    raw = f"{feed.name}/raw"
    old = [path for path in (Path(home) / claim_objects.FOLDER / feed.name).glob("*.parquet") if _is_old(path, limit)]
    if not old or not lake.exists(raw):
        return 0
    with connection() as con:
        rows = lake.relation(con, raw).filter("starts_with(segment, 'claim/')")
        in_raw = {row[0] for row in rows.select("split_part(segment, '/', 2)").distinct().fetchall()}
    return _delete([path for path in old if path.stem in in_raw])


def _trainings(home: Home, feed: Feed, limit: timedelta | None) -> int:
    """Removes old runs of MLflow that neither a release nor a candidate comes from; 0 where MLflow cannot be used."""
    if limit is None or not (Path(home) / FILE).exists():
        return 0
    # Also of targets and kinds that are not declared any more: their files stay.
    run_ids = {
        each.manifest.lineage.mlflow_run_id
        for name, target, _ in release.discover(home)
        if name == feed.name
        for each in release.history(home, feed.name, target)
        if each.manifest
    }
    for path in (Path(home) / "candidates" / feed.name).glob("*/*.msgpack"):
        candidate = candidates.read_candidate(home, feed.name, path.parent.name, path.stem)
        run_ids |= {candidate.mlflow_run_id} if candidate else set()
    tracker = Tracker(home)
    try:
        return tracker.prune(feed.name, datetime.now(UTC) - limit, {run for run in run_ids if run})
    except TrackingUnavailable:
        return 0


def _is_old(path: Path, limit: timedelta | None) -> bool:
    return limit is not None and time.time() - path.stat().st_mtime >= limit.total_seconds()


def _delete(paths: list[Path]) -> int:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise AeroCastError(f"{path} cannot be removed: {error.strerror or error}") from error
    return len(paths)
