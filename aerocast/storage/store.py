"""One protocol for a folder and an object store: documents by name, such as `declared/noaa.json`, and tables' files.

A reader sees a document as one writer left it, whole. Names are relative, with slashes; what begins with a dot is no
document. The two classes are in `aerocast.storage.folder` and `aerocast.storage.objects`; `aerocast.storage.home` says
which one a home has.
The server imports this module: the standard library only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from aerocast.common.errors import AeroCastError
from aerocast.storage import atomic
from aerocast.storage.atomic import Stamp

if TYPE_CHECKING:
    import duckdb


class UnreachableError(AeroCastError):
    """The object store as a whole cannot be used, whatever is asked of it."""


class Entry(NamedTuple):
    """A file by name; `changed` in seconds since 1970. The stamp is another one once the file was replaced.

    The `identity` is that of the file as it was put there: moved here once more, or uploaded again, it has another.
    """

    name: str
    size: int
    changed: float
    stamp: Stamp
    identity: str
    put: float = 0.0  # seconds since 1970, at which it got its name


class Listing(NamedTuple):
    """What lies in a folder: its files, and the names of all else, which is not looked into."""

    files: list[Entry]
    others: list[str]


class Store(ABC):
    """A folder or a prefix; as text its path or URL. Every method raises AeroCastError where the storage refuses."""

    __slots__ = ()
    local: ClassVar[bool]  # on a disk of this machine; else other machines read and write it, too

    @abstractmethod
    def below(self, folder: str) -> Store:
        """The same kind of storage, one folder of it."""

    @abstractmethod
    def read_stamped(self, name: str, most: int = atomic.LARGEST) -> tuple[bytes, Stamp] | None:
        """The document with its stamp, both of one version; None if there is none. Refuses more bytes than `most`."""

    @abstractmethod
    def replace(self, name: str, data: bytes) -> None:
        """Old or new document, never a mixture; it survives a power cut when this returns."""

    @abstractmethod
    def swap(self, name: str, data: bytes, seen: Stamp | None) -> bool:
        """Replaces the document if its stamp is still `seen` (None: there is none); False if another was first."""

    @abstractmethod
    def stamp(self, name: str) -> Stamp | None:
        """What changes whenever the document does; None while there is none. One stat, or one small request.

        Raises:
            OSError: a folder above it cannot be entered.
        """

    @abstractmethod
    def stamps(self, folder: str) -> dict[str, Stamp]:
        """The stamps of all documents below a folder, by name, sorted: of an object store one request a thousand."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """The document's bytes; None if there is none."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """The document is gone, if there was one."""

    @abstractmethod
    def link(self, name: str) -> str:
        """The document's address for other programs, a URL."""

    def check(self, *, writes: bool) -> None:  # noqa: B027 - nothing to do by default
        """Proves that the storage answers and, if it is written to, takes documents."""

    @abstractmethod
    def listing(self, folder: str = "") -> Listing:
        """What is directly in it or in one of its folders, nothing if there is no such folder."""

    @abstractmethod
    def local_copy(self, entry: Entry) -> AbstractContextManager[Path]:
        """The file as one on this machine's disk, for as long as the block lasts."""

    @abstractmethod
    def current(self, entry: Entry) -> Entry | None:
        """The file as it is now, None if it is gone; an object stays what it was while `local_copy` gives it."""

    @abstractmethod
    def move(self, name: str, target: str) -> None:
        """Over whatever is there; nothing happens to a name that is gone."""

    # For tables: Delta and DuckDB know files by path or URL. A default does what one of the two needs: nothing.

    def delta_options(self) -> dict[str, str] | None:
        """The `storage_options` of a Delta table."""
        return None

    def attach(self, con: duckdb.DuckDBPyConnection) -> None:  # noqa: B027 - nothing to do by default
        """Lets DuckDB read and write files here."""

    @abstractmethod
    def duckdb_files(self, uris: Iterable[str]) -> list[str]:
        """Delta's file URIs as `read_parquet` takes them, sorted."""

    @abstractmethod
    def folders_with(self, marker: str) -> list[str]:
        """The folders at any depth that hold a folder `marker`, sorted."""

    def free(self) -> int | None:
        """Bytes that are free on the disk; None where nobody can say."""
        return None

    def make(self) -> None:  # noqa: B027 - nothing to do by default
        """The folder is there when this returns, where folders must be made."""

    def settle(self, files: Sequence[str]) -> None:  # noqa: B027 - nothing to do by default
        """These files, written by another library, are on disk when this returns. Raises OSError."""

    def discard(self, token: str) -> None:  # noqa: B027 - nothing to do by default
        """Removes the files of a write that came to nothing; on an object store they wait for vacuum."""

    def read(self, name: str, most: int = atomic.LARGEST) -> bytes | None:
        """The document, or None. Refuses more bytes than `most`."""
        stamped = self.read_stamped(name, most)
        return stamped[0] if stamped else None

    def names(self, folder: str) -> list[str]:
        """The names of all documents below a folder, sorted."""
        return list(self.stamps(folder))

    def exists(self, name: str) -> bool:
        return self.stamp(name) is not None

    def origin(self, name: str) -> str | None:
        """What `note_origin` said of this document; None if nothing, or if the document is gone."""
        note = self.read(_note(name))
        return note.decode() if note is not None and self.exists(name) else None

    def note_origin(self, name: str, config_hash: str) -> None:
        """Says what a derived document was made from, after it was made: a kill in between leaves it stale."""
        self.replace(_note(name), config_hash.encode())


def _note(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}.{file}.from"
