"""One interface to folders and object stores: documents by name, such as `declared/noaa.json`, and tables' files.

A reader sees a document as one writer left it, complete. Names are relative, with slashes; files whose name begins with
a dot are not documents. `aerocast.storage.home` says whether a home is a `FolderStore` or an `ObjectStore`.
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
    """The object store as a whole cannot be used."""


class Entry(NamedTuple):
    """A file by name; times are in seconds since 1970. The stamp changes whenever the file is replaced.

    The `identity` changes, too, if the same file is moved here or uploaded again.
    """

    name: str
    size: int
    changed: float
    stamp: Stamp
    identity: str
    put: float = 0.0  # when it got its name


class Listing(NamedTuple):
    """The content of a folder: its files, and the names of everything else, links among them."""

    files: list[Entry]
    others: list[str]


class Store(ABC):
    """A folder or a prefix; `str()` gives its path or URL. Every method raises AeroCastError if the storage fails."""

    __slots__ = ()
    local: ClassVar[bool]  # on a disk of this machine, not shared with others

    @abstractmethod
    def below(self, folder: str) -> Store:
        """The storage of one of its folders."""

    @abstractmethod
    def read_stamped(self, name: str, most: int = atomic.LARGEST) -> tuple[bytes, Stamp] | None:
        """The document and its stamp, of one version; None if it does not exist. Refuses more bytes than `most`."""

    @abstractmethod
    def replace(self, name: str, data: bytes, *, private: bool = False) -> None:
        """Replaces the document at once; it survives a power cut when this returns.

        A `private` one only its owner may read, where the storage knows owners.
        """

    @abstractmethod
    def swap(self, name: str, data: bytes, expected: Stamp | None, *, private: bool = False) -> bool:
        """Replaces the document if its stamp is still `expected` (None: it does not exist); else returns False."""

    @abstractmethod
    def stamp(self, name: str) -> Stamp | None:
        """Changes whenever the document does; None if it does not exist. One stat, or one small request."""

    @abstractmethod
    def stamps(self, folder: str) -> dict[str, Stamp]:
        """The stamps of all documents below a folder, sorted by name; in an object store one request for a thousand."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """How many bytes the document has; None if it does not exist."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes the document, if it exists."""

    @abstractmethod
    def link(self, name: str) -> str:
        """The document's address for other programs, a URL."""

    def probe(self, *, writes: bool) -> None:  # noqa: B027 - nothing to do by default
        """Checks that the storage answers and, if `writes`, takes documents."""

    @abstractmethod
    def listing(self, folder: str = "") -> Listing:
        """The direct content of it or of one of its folders; empty if the folder does not exist."""

    @abstractmethod
    def local_copy(self, entry: Entry) -> AbstractContextManager[Path]:
        """The file on this machine's disk, for the duration of the block."""

    @abstractmethod
    def current(self, entry: Entry) -> Entry | None:
        """The file as it is now, None if it is gone; an object does not change while `local_copy` gives it."""

    @abstractmethod
    def move(self, name: str, target: str) -> None:
        """Renames a file, over an existing one; does nothing if it is gone."""

    # For tables: Delta and DuckDB know files by path or URL. By default nothing is needed.

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
        """Free bytes on the disk; None if unknown."""
        return None

    def create_folder(self) -> None:  # noqa: B027 - nothing to do by default
        """Creates the folder, where folders must be created."""

    def sync(self, files: Sequence[str]) -> None:  # noqa: B027 - nothing to do by default
        """Files that another library wrote are on disk when this returns. Raises OSError."""

    def discard(self, token: str) -> None:  # noqa: B027 - nothing to do by default
        """Removes the files of a failed write; in an object store vacuum does that later."""

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
        """The hash that `note_origin` stored for this document; None if it is not there as it was then."""
        note = self.read(_note(name))
        config_hash, _, form = (note or b"").decode(errors="replace").partition(" ")
        return config_hash if form and form == self._form(name) else None

    def note_origin(self, name: str, config_hash: str) -> None:
        """Stores a hash of what a document was made from, after the document: a kill in between leaves it stale."""
        self.replace(_note(name), f"{config_hash} {self._form(name)}".encode())

    def _form(self, name: str) -> str:
        """Changes when anybody writes the document, but not when it moves with its home."""
        stamp = self.stamp(name)
        return "-".join(map(str, stamp[1:])) if isinstance(stamp, tuple) else stamp or ""


def _note(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}.{file}.from"
