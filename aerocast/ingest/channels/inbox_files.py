"""What lies in an inbox beside files of readings: manifests, reasons of a rejection, and what is not taken."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.waits import is_recent
from aerocast.common.words import duration
from aerocast.ingest.channels.files import ENDINGS, kind_of
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.storage.documents import decode
from aerocast.storage.store import Entry, Listing

MANIFEST, PARTIAL_ENDINGS = ".manifest.json", (".part", ".tmp", ".filepart", ".partial", ".crdownload")
DONE, REJECTED = "done", "rejected"


class InboxManifest(msgspec.Struct, frozen=True):
    """What a file must be to be complete."""

    sha256: str
    rows: int | None = None
    bytes: int | None = None


class Rejection(msgspec.Struct, frozen=True):
    """Why a file was rejected, and when."""

    file: str
    detail: str
    field: str
    value: str
    rule: str
    rejected_at: datetime


def parse_manifest(data: bytes) -> InboxManifest:
    try:
        return decode(data, InboxManifest, "it")
    except AeroCastError as error:
        raise ReadingError("manifest", data[:200], f'{{"sha256": "...", "rows": 1}} ({error})') from error


def parse_rejection(data: bytes) -> Rejection | None:
    try:
        return decode(data, Rejection, "it")
    except AeroCastError:
        return None


def strangers(listing: Listing, patience: float) -> list[Entry]:
    """Files that are no readings by their ending, and have not changed for `patience` seconds: they may be renamed."""
    return [
        one
        for one in sorted(listing.files)
        if not (kind_of(one.name) or one.name.endswith(MANIFEST) or one.name.startswith("."))
        and not _is_unfinished(one.name)
        and not is_recent(time.time() - one.changed, patience)
    ]


def leftover_notes(listing: Listing, needs_manifest: bool, patience: float) -> Iterator[str]:
    """A sentence for each thing that is not taken and has not changed for `patience` seconds.

    `announced`: files are taken only if a manifest announces them.
    """
    for name in sorted(set(listing.others) - {DONE, REJECTED}):
        if not name.startswith("."):
            yield f"{name} is not a file: its content is ignored"
    names = {one.name for one in listing.files}
    for one in sorted(listing.files):
        what, age = _lack(one.name, names, needs_manifest), time.time() - one.changed
        if what and not is_recent(age, patience):
            since = duration(timedelta(seconds=age)) if age > 0 else "no time"
            yield f"{one.name} {what}; it was last changed {since} ago"


def _lack(name: str, names: set[str], needs_manifest: bool) -> str | None:
    """What keeps the file from being taken."""
    if name.endswith(MANIFEST):
        return None if name.removesuffix(MANIFEST) in names else "announces a file that does not exist"
    if _is_unfinished(name):
        return "is unfinished, according to its name"
    return "has no manifest" if needs_manifest and kind_of(name) and name + MANIFEST not in names else None


def _is_unfinished(name: str) -> bool:
    """Whether the name says that a file of readings is to come: hidden files of another kind are nobody's business."""
    hidden = name.startswith(".") and any(f".{ending}" in name.lower() for ending in ENDINGS)
    return hidden or name.lower().endswith(PARTIAL_ENDINGS)
