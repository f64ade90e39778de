"""Stores bundles of files so that each becomes visible whole: in a folder, or in an object store.

`release` is the only user: it knows what is in a bundle, this module how it gets there. In a folder a bundle
is written under a temporary name and renamed. An object store has no rename, so there a bundle is complete when it has
its last file, and a number belongs to the writer whose claim came first.
"""

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec

from aerocast.common.errors import AeroCastError
from aerocast.common.waits import is_recent
from aerocast.storage import atomic
from aerocast.storage.atomic import Stamp
from aerocast.storage.documents import Document
from aerocast.storage.home import Home, store_of
from aerocast.storage.store import Store

FOLDER = "releases"
PROMOTED = "promoted"
LAST_FILE = "SHA256SUMS"
NAME = re.compile(r"^[a-z][a-z0-9_]*$")
VERSION = re.compile(r"^(\d{4,})-([0-9a-f]{8})$")
ABANDONED_AFTER = timedelta(days=1)
LARGEST = 64 << 20  # bytes of a file of a release


class BundleStorage(Protocol):
    """The bundles of one (feed, target), by version."""

    def versions(self) -> list[str]:
        """The complete bundles, in no order."""

    def has(self, version: str) -> bool: ...

    def location(self, version: str) -> str:
        """The bundle's path or URL, for people."""

    def read(self, version: str, file: str) -> bytes:
        """Raises OSError for a file that is missing or cannot be read."""

    def writer(self, purpose: str) -> AbstractContextManager[None]:
        """A context around `add`. Raises AeroCastError for whatever the storage refuses in the block."""

    def add(self, number: int, version: str, contents: Mapping[str, bytes]) -> bool:
        """Writes a bundle, the last of `contents` last; False if the number is in use."""

    def remove(self, version: str) -> None:
        """Deletes the bundle; what a kill leaves of it counts as incomplete."""

    def pointer(self, file: str) -> str:
        """The document's name in the home (see `aerocast.storage.store`) that points to a bundle."""


def bundle_storage(home: Home, feed: str, target: str) -> BundleStorage:
    """The storage of a (feed, target)'s releases. Raises AeroCastError if a name is invalid."""
    for name in (feed, target):
        if not NAME.match(name):
            raise AeroCastError(f"{name!r} is not a valid name of a feed or target: lower case, digits and underscores")
    store = store_of(home)
    return _FolderBundles(Path(home), feed, target) if store.local else _ObjectBundles(store, feed, target)


def pointers(home: Home, file: str, errors: dict[str, str] | None = None) -> Iterator[tuple[str, str, Stamp]]:
    """(feed, target, stamp) of every pointer of this name; a feed that cannot be read does not hide the others.

    One listing a feed and one stat a target; of an object store one listing for all, whatever their history. What
    cannot be read is put into `errors`, with the reason.

    Raises:
        OSError: there is a folder of releases that cannot be listed.
        AeroCastError: the object store cannot be listed.
    """
    store = store_of(home)
    if not store.local:
        for name, stamp in store.stamps(PROMOTED).items():
            parts = name.split("/")
            if len(parts) == 4 and parts[3] == file and all(NAME.match(part) for part in parts[1:3]):
                yield parts[1], parts[2], stamp
        return
    root = Path(home) / FOLDER
    for feed in _valid_names(root) if root.exists() else ():
        for target, stamp in _feed_pointers(root / feed, file, {} if errors is None else errors):
            yield feed, target, stamp


def _feed_pointers(folder: Path, file: str, errors: dict[str, str]) -> list[tuple[str, Stamp]]:
    """The targets of one feed that have a pointer, as far as they can be read."""
    stamps = []
    try:
        for target in _valid_names(folder):
            try:
                if stamp := atomic.stamp(folder / target / file):
                    stamps.append((target, stamp))
            except OSError as error:
                errors[f"{FOLDER}/{folder.name}/{target}/{file}"] = error.strerror or str(error)
    except OSError as error:
        errors[f"{FOLDER}/{folder.name}"] = error.strerror or str(error)
    return stamps


def _valid_names(path: Path) -> list[str]:
    return sorted(name for name in os.listdir(path) if NAME.match(name))


@dataclass(frozen=True, slots=True)
class _FolderBundles:
    """`releases/<feed>/<target>/<version>/<file>`, the pointers beside the versions."""

    home: Path
    feed: str
    target: str

    @property
    def folder(self) -> Path:
        return self.home / FOLDER / self.feed / self.target

    def versions(self) -> list[str]:
        try:
            return [name for name in os.listdir(self.folder) if VERSION.match(name)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def has(self, version: str) -> bool:
        return (self.folder / version).is_dir()

    def location(self, version: str) -> str:
        return str(self.folder / version)

    def read(self, version: str, file: str) -> bytes:
        return atomic.read_file(self.folder / version / file, LARGEST)

    @contextmanager
    def writer(self, purpose: str) -> Iterator[None]:
        """One writer at a time, so an incomplete bundle belongs to a writer that was killed."""
        with atomic.folder_lock(self.folder, purpose):
            for name in os.listdir(self.folder):
                if name.startswith(".new-"):
                    shutil.rmtree(self.folder / name)
            yield

    def add(self, number: int, version: str, contents: Mapping[str, bytes]) -> bool:
        staging = self.folder / f".new-{version}"
        try:
            staging.mkdir()
            for name, data in contents.items():
                atomic.write_file(staging / name, data)
            atomic.sync(staging)
            os.rename(staging, self.folder / version)
        except OSError:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        atomic.sync(self.folder)
        return True

    def remove(self, version: str) -> None:
        trash = self.folder / f".new-{version}"  # as one that is half written
        os.rename(self.folder / version, trash)
        atomic.sync(self.folder)
        shutil.rmtree(trash)

    def pointer(self, file: str) -> str:
        return f"{FOLDER}/{self.feed}/{self.target}/{file}"


class _Claim(msgspec.Struct, frozen=True):
    """Who writes the bundle of a number, since when; `by` makes each claim another document."""

    version: str
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class _ObjectBundles:
    """`releases/<feed>/<target>/<version>/<file>`; pointers under `promoted/`, so that a poll lists nothing else."""

    store: Store
    feed: str
    target: str

    @property
    def prefix(self) -> str:
        return f"{FOLDER}/{self.feed}/{self.target}"

    def versions(self) -> list[str]:
        return [version for version, files in self._bundles().items() if LAST_FILE in files]

    def has(self, version: str) -> bool:
        return self.store.stamp(f"{self.prefix}/{version}/{LAST_FILE}") is not None

    def location(self, version: str) -> str:
        return self.store.link(f"{self.prefix}/{version}")

    def read(self, version: str, file: str) -> bytes:
        data = self.store.read(f"{self.prefix}/{version}/{file}", LARGEST)
        if data is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such object")
        return data

    @contextmanager
    def writer(self, purpose: str) -> Iterator[None]:
        """Others may write, too: an incomplete bundle is deleted only when it is a day old."""
        try:
            for version, files in self._bundles().items():
                if LAST_FILE not in files and self._is_abandoned(version):
                    for file in files:
                        self.store.remove(f"{self.prefix}/{version}/{file}")
            yield
        except AeroCastError as error:
            raise AeroCastError(f"{purpose}: {error}") from error

    def add(self, number: int, version: str, contents: Mapping[str, bytes]) -> bool:
        claim = _Claim(version, datetime.now(UTC), uuid.uuid4().hex)
        if not self._claim(version).swap(claim, None):
            return False
        for name, data in contents.items():
            if not self.store.swap(f"{self.prefix}/{version}/{name}", data, None):
                raise AeroCastError(f"{self.location(version)}/{name} exists already: a release cannot be changed")
        return True

    def remove(self, version: str) -> None:
        files = self._bundles().get(version, [])
        for file in sorted(files, key=lambda file: file != LAST_FILE):
            self.store.remove(f"{self.prefix}/{version}/{file}")

    def pointer(self, file: str) -> str:
        return f"{PROMOTED}/{self.feed}/{self.target}/{file}"

    def _bundles(self) -> dict[str, list[str]]:
        """The files of each version, complete or not."""
        files: dict[str, list[str]] = {}
        for name in self.store.names(self.prefix):
            version, _, file = name.removeprefix(f"{self.prefix}/").partition("/")
            if VERSION.match(version):
                files.setdefault(version, []).append(file)
        return files

    def _claim(self, version: str) -> Document[_Claim]:
        return Document(self.store, f"{self.prefix}/.claims/{version.split('-')[0]}", _Claim, "claim")

    def _is_abandoned(self, version: str) -> bool:
        try:
            claim = self._claim(version).read()
        except AeroCastError:
            return False
        return claim is None or not is_recent(
            (datetime.now(UTC) - claim.at).total_seconds(), ABANDONED_AFTER.total_seconds()
        )
