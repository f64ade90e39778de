"""Takes files of readings from `<inbox>/<feed>/`, whole or not at all.

`*.csv`, `*.csv.gz`, `*.parquet`, `*.jsonl` and `*.jsonl.gz` are read. In a folder a file is complete when it has
its name: write it as `name.part` (or `.tmp`, or beginning with a dot), then rename it. Or put a manifest beside it,
`<name>.manifest.json` with `{"sha256": ..., "rows": ..., "bytes": ...}` (rows and bytes may be left out): then it is
complete when it is what the manifest says. Objects in a store need a manifest.
A file that is in raw goes to `done/`; one that cannot be used goes to `rejected/`, with `<name>.reason.json`. So does
one that the disk cannot read, after some patience; until then it does not hold up the others.
A file put there once more is a new delivery, whatever it holds: the newest one counts.
"""

import errno
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec
import pyarrow as pa

from aerocast.common.errors import AeroCastError
from aerocast.common.waits import is_recent
from aerocast.common.words import count, printable
from aerocast.contracts import clock
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import inbox_files
from aerocast.ingest.channels.base import Batch
from aerocast.ingest.channels.files import ENDINGS, FileContent, kind_of, open_file
from aerocast.ingest.channels.inbox_files import DONE, MANIFEST, REJECTED, Rejection, parse_manifest, strangers
from aerocast.ingest.channels.patience import Delay, Patience, delay_text, read_delays
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.channels.readings import one_batch, to_raw
from aerocast.ingest.deliveries.layout import Layout
from aerocast.ingest.instants import instants_of
from aerocast.storage.folder import FolderStore
from aerocast.storage.home import Home, address, store_of
from aerocast.storage.settings import Settings
from aerocast.storage.store import Entry, Listing, UnreachableError

GRACE_SECONDS = 120.0
# Part of the names of batches: with another number a file that was taken in part would be taken again.
PART_ROWS = 200_000
# What no other file would fare better with: these wait until there is room again.
OBSTACLES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
REASONS_READ = 100  # rejected files whose reasons are read
REASON = ".reason.json"
LARGEST_MANIFEST = 64 << 10  # bytes
LONGEST_NAME = 160  # characters of the name of a file that was put away
log = logging.getLogger("aerocast.ingest.channels")


class _Candidate(NamedTuple):
    """A file that may be complete, with its manifest as it was read or why it was not; the later of the two changes."""

    entry: Entry
    manifest: bytes | None
    last_change: float
    trouble: AeroCastError | None = None


class _ReadFile(NamedTuple):
    """A file that was read to its end."""

    entry: Entry
    path: Path
    sha256: str


class Inbox:
    """Implements `Channel`: a batch is a file, or PART_ROWS of it; the segment is the delivery's identity and the part.

    A delivery is a file with its content as it lies there: looked at again it is the same, moved there again or copied
    it is another one. A file whose manifest does not hold is left alone for `grace` seconds after its last change.
    """

    name = "inbox"

    def __init__(
        self, inbox: str, home: Home, feed: str, grace: float = GRACE_SECONDS, patience: timedelta = timedelta(days=1)
    ) -> None:
        self._store = store_of(inbox).below(feed)
        self._home, self._grace, self._delays, self._limit = home, grace, f"{feed}-inbox", patience
        self._ends: dict[str, _ReadFile] = {}
        self.rejections: list[str] = []
        self.notes: list[str] = []

    def backlog(self) -> int:
        """Files that are complete, or look like it, and those that are none of readings; not those that are put off."""
        listing, now, delays = self._store.listing(), datetime.now(UTC), self.delays()
        candidates = [one for one in self._candidates(listing) if not self._is_growing(one)]
        flags = (delays[key].is_due(now) if (key := one.entry.identity) in delays else True for one in candidates)
        return len(strangers(listing, self._grace)) + sum(flags)

    def delays(self) -> dict[str, Delay]:
        """The files that could not be read so far."""
        return read_delays(self._home, self._delays)

    def take(self, feed: Feed) -> Iterator[Batch]:
        """See `Channel`. A file that the disk cannot read is put off, and noted; what concerns all raises at the end.

        Raises:
            AeroCastError: the inbox cannot be read, or no file of it can be for now.
        """
        self._unlink_folders()
        listing, self._now = self._store.listing(), clock.now(self._home, feed.name, feed.end)
        patience = Patience(self._home, self._delays, self._limit)
        self.notes = [
            printable(f"{self._store}/{note}")
            for note in inbox_files.leftover_notes(listing, not self._store.local, self._grace)
        ]
        for stranger in strangers(listing, self._grace):
            self._reject(stranger, ReadingError("ending", stranger.name, ", ".join(f".{ending}" for ending in ENDINGS)))
        trouble, candidates = [], self._candidates(listing)
        for one in candidates:
            if not patience.is_due(one.entry.identity, datetime.now(UTC)):
                self.notes.append(f"{printable(one.entry.name)}: {delay_text([patience.delays[one.entry.identity]])}")
                continue
            try:
                if one.trouble:
                    raise one.trouble
                if not one.entry.name.isascii() and "\\udc" in ascii(one.entry.name):  # DuckDB takes no such path
                    raise ReadingError("name", printable(one.entry.name), "a name in UTF-8")
                with self._store.local_copy(one.entry) as path:
                    yield from self._batches(feed, one, path)
                patience.clear(one.entry.identity)
            except ReadingError as error:
                self._reject(one.entry, error)
            except FileNotFoundError:  # taken back, or taken up by another process
                continue
            except Exception as error:  # whatever one file leads to must not stop those behind it
                why = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
                sentence = printable(f"{self._store}/{one.entry.name} cannot be read: {why}")
                if isinstance(error, UnreachableError) or getattr(error, "errno", None) in OBSTACLES:
                    trouble.append(sentence)
                else:
                    self._put_off(one.entry, sentence, patience)
        patience.sweep((one.entry.identity for one in candidates), datetime.now(UTC))
        if trouble:
            raise AeroCastError("; ".join(trouble))

    def confirm(self, batch: Batch) -> None:
        """Moves the file away with its last part."""
        whole = self._ends.pop(batch.segment, None)
        if whole and self._is_same(whole):
            self._put_away(whole.entry, DONE, whole.sha256)

    def rejection_reasons(self) -> list[Rejection]:
        """Why files were rejected that still lie in `rejected/`: the newest LISTED of them, newest first.

        Raises:
            AeroCastError: the inbox cannot be read.
        """
        files = {one.name: one for one in self._store.listing(REJECTED).files}
        reasons = [one for name, one in files.items() if name.endswith(REASON) and name.removesuffix(REASON) in files]
        newest = sorted(reasons, key=lambda one: (one.changed, one.name), reverse=True)[:REASONS_READ]
        contents = (self._store.read(f"{REJECTED}/{one.name}") for one in newest)
        return [reason for data in contents if data is not None and (reason := inbox_files.parse_rejection(data))]

    def prune(self, done_limit: timedelta | None, rejected_limit: timedelta | None) -> int:
        """Removes what was put away longer ago than that; how many files. Raises AeroCastError as `take`."""
        old = [
            f"{folder}/{one.name}"
            for folder, limit in ((DONE, done_limit), (REJECTED, rejected_limit))
            if limit is not None
            for one in self._store.listing(folder).files
            if time.time() - one.put >= limit.total_seconds()
        ]
        for name in old:
            self._store.remove(name)
        return len(old)

    def _unlink_folders(self) -> None:
        """What is put away must not go where somebody's link leads."""
        for name in (DONE, REJECTED) if isinstance(self._store, FolderStore) else ():
            if (path := Path(str(self._store), name)).is_symlink():
                log.warning("%s is a link; it is replaced by a folder", path)
                path.unlink()

    def _candidates(self, listing: Listing) -> list[_Candidate]:
        """The files that may be complete, oldest first."""
        entries = {one.name: one for one in listing.files}
        files = [one for name, one in entries.items() if kind_of(name) and not name.startswith(".")]
        candidates = []
        for one in sorted(files, key=lambda one: (one.changed, one.name)):
            beside = entries.get(one.name + MANIFEST)
            if beside:
                candidates.append(self._with_manifest(one, beside))
            elif self._store.local:
                candidates.append(_Candidate(one, None, one.changed))
        return candidates

    def _with_manifest(self, one: Entry, beside: Entry) -> _Candidate:
        last_change = max(one.changed, beside.changed)
        try:
            is_small = beside.size <= LARGEST_MANIFEST  # another one is none, and waits until it is one
            return _Candidate(one, self._store.read(beside.name) if is_small else b"", last_change)
        except UnreachableError:
            raise
        except AeroCastError as error:  # of this file alone
            return _Candidate(one, None, last_change, error)

    def _is_growing(self, one: _Candidate) -> bool:
        """Whether the manifest says, without a look into the file, that there is more to come."""
        try:
            size = parse_manifest(one.manifest).bytes if one.manifest is not None else None
        except ReadingError:
            size = -1
        return size is not None and size != one.entry.size and self._fresh(one)

    def _fresh(self, one: _Candidate) -> bool:
        return is_recent(time.time() - one.last_change, self._grace)

    def _batches(self, feed: Feed, one: _Candidate, path: Path) -> Iterator[Batch]:
        whole = self._read_whole(one, path)
        if whole is None:
            return
        kind = kind_of(one.entry.name)
        assert kind is not None
        with open_file(path, kind, feed, whole=one.manifest is not None, name=one.entry.name) as content:
            rows = parse_manifest(one.manifest).rows if one.manifest is not None else None
            if rows not in (None, content.rows):
                raise ReadingError("rows", content.rows, f"{rows}, as the manifest says")
            self.notes += [printable(f"{one.entry.name}: {note}") for note in content.notes]
            yield from self._parts(feed, whole, content)

    def _parts(self, feed: Feed, whole: _ReadFile, content: FileContent) -> Iterator[Batch]:
        identity = hashlib.sha256(f"{whole.sha256} {whole.entry.identity}".encode()).hexdigest()
        parts = _parts(self._raw(feed, whole.entry.name, content))
        rows, number = next(parts, None), 0
        if rows is None and self._is_same(whole):
            self._put_away(whole.entry, DONE, whole.sha256)
        while rows is not None:
            next_rows = next(parts, None)
            if not self._is_same(whole):
                name = printable(whole.entry.name)
                log.warning("%s/%s was replaced while it was read; it is read next time", self._store, name)
                return
            segment = f"{self.name}/{identity}/{number}"
            if next_rows is None:
                self._ends[segment] = whole
            yield Batch(segment, one_batch(rows, segment))
            rows, number = next_rows, number + 1

    def _read_whole(self, one: _Candidate, path: Path) -> _ReadFile | None:
        """The file as it is now; None if it changes, or may become what its manifest says.

        Raises:
            ReadingError: it is not.
        """
        entry = self._store.current(one.entry)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if entry is None or self._store.current(entry) != entry:
            return None
        if one.manifest is not None:
            try:
                digest = parse_manifest(one.manifest).sha256
                if digest.lower() != sha256:
                    raise ReadingError("sha256", sha256, f"{digest}, as the manifest says: is the file truncated?")
            except ReadingError:
                if self._fresh(one):
                    return None
                raise
        return _ReadFile(entry, path, sha256)

    def _raw(self, feed: Feed, name: str, content: FileContent) -> Iterator[pa.Table]:
        now, source = self._now, printable(f"{self.name}/{name}")
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            instants = instants_of(con, feed)  # one a file: of an hour that is repeated it remembers
            layout = Layout(feed, content.station)
            for piece in content.pieces():
                yield to_raw(feed, piece, source, "", now, instants=instants, layout=layout)
            self.notes += [printable(f"{name}: {note}") for note in layout.notes]

    def _is_same(self, whole: _ReadFile) -> bool:
        """Whether the file is still the one that was read, even if its times were set meanwhile."""
        same = self._store.stamp(whole.entry.name) == whole.entry.stamp
        if same or not self._store.local:
            return same
        try:
            with whole.path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                again = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return False
        return whole.entry.stamp[0] == inode and again == whole.sha256

    def _put_off(self, entry: Entry, why: str, patience: Patience) -> None:
        """For another try later; once patience is over the file is put aside as it is."""
        delay = patience.fail(entry.identity, why, datetime.now(UTC))
        if delay:
            log.warning("%s", why)
            self.notes.append(delay_text([delay]))
            return
        last = patience.delays[entry.identity]
        self._reject(entry, ReadingError("file", why, f"a file that can be read; tried {count(last.tries, 'time')}"))
        patience.clear(entry.identity)

    def _reject(self, entry: Entry, error: ReadingError) -> None:
        name = printable(entry.name)
        log.warning("%s/%s is rejected: %s", self._store, name, error)
        self.rejections.append(f"{name}: {error}")
        field, value, rule = map(printable, (error.field, error.value, error.rule))
        reason = Rejection(name, printable(str(error)), field, value, rule, datetime.now(UTC))
        if self._store.stamp(entry.name) == entry.stamp:  # else another one has its name now, and its turn comes
            self._put_away(entry, REJECTED, f"{time.time_ns()}", msgspec.json.encode(reason))

    def _put_away(self, entry: Entry, folder: str, unique: str, reason: bytes | None = None) -> None:
        """The file and its manifest out of the way, beside one of the same name that may be there already."""
        name = printable(entry.name)
        name = name if len(name.encode()) <= LONGEST_NAME else f"{name[:20]}...{name[-20:]}"
        if self._store.exists(f"{folder}/{name}"):
            name = f"{unique[:20]}-{name}"
        if reason:
            self._store.replace(f"{folder}/{name}{REASON}", reason)
        endings = [MANIFEST, ""] if self._store.local else ["", MANIFEST]
        for ending in endings:  # a kill in between leaves a file that is looked at once more, or a manifest of nothing
            self._store.move(entry.name + ending, f"{folder}/{name}{ending}")


def inbox_of(home: Home, settings: Settings) -> str:
    """The folder or `s3://` prefix that holds the feeds' inboxes."""
    if settings.inbox:
        return address(settings.inbox, "AEROCAST_INBOX")
    return str(store_of(home).below("inbox"))


def _parts(tables: Iterator[pa.Table]) -> Iterator[list[pa.Table]]:
    """The rows of the tables in lists of PART_ROWS together; the last one may hold fewer."""
    part: list[pa.Table] = []
    room = PART_ROWS
    for table in tables:
        while len(table) >= room:
            yield [*part, table.slice(0, room)]
            table, part, room = table.slice(room), [], PART_ROWS
        if len(table):
            part.append(table)
            room -= len(table)
    if part:
        yield part
