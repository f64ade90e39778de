"""A folder of this machine as a `Store`. The server imports this module: the standard library only."""

import glob
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from aerocast.common.errors import AeroCastError
from aerocast.storage import atomic
from aerocast.storage.atomic import Stamp
from aerocast.storage.store import Entry, Listing, Store


@dataclass(frozen=True, slots=True)
class FolderStore(Store):
    """Documents are files, replaced by renaming under one lock a folder."""

    folder: Path
    local: ClassVar[bool] = True

    def __str__(self) -> str:
        return str(self.folder)

    def below(self, folder: str) -> "FolderStore":
        return FolderStore(self.folder / folder)

    def read_stamped(self, name: str, most: int = atomic.LARGEST) -> tuple[bytes, Stamp] | None:
        path = self.folder / name
        try:
            return atomic.read_stamped(path, most)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _refusal(path, "read", error) from error

    def replace(self, name: str, data: bytes, *, private: bool = False) -> None:
        path = self.folder / name
        with atomic.folder_lock(path.parent, name):
            atomic.replace_file(path, data, private=private)

    def swap(self, name: str, data: bytes, expected: Stamp | None, *, private: bool = False) -> bool:
        path = self.folder / name
        with atomic.folder_lock(path.parent, name):
            if atomic.stamp(path) != expected:
                return False
            atomic.replace_file(path, data, private=private)
        return True

    def stamp(self, name: str) -> Stamp | None:
        path = self.folder / name
        try:
            return atomic.stamp(path)
        except OSError as error:
            raise _refusal(path, "read", error) from error

    def stamps(self, folder: str) -> dict[str, Stamp]:
        stamps = {}
        try:
            for above, folders, files in atomic.walk(self.folder / folder):
                # A folder with a document's name is listed, too, so that reading it fails with a message.
                for name in (*files, *(each for each in folders if "." in each)):
                    path = Path(above) / name
                    if (stamp := _link_stamp(path)) is not None:
                        stamps[path.relative_to(self.folder).as_posix()] = stamp
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _refusal(self.folder / folder, "listed", error) from error
        return {name: stamps[name] for name in sorted(stamps) if not atomic.is_hidden(name)}

    def size(self, name: str) -> int | None:
        entry = _entry(name, self.folder / name)
        return entry.size if entry else None

    def remove(self, name: str) -> None:
        path = self.folder / name
        try:
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                atomic.sync(path.parent)
        except OSError as error:
            raise _refusal(path, "removed", error) from error

    def link(self, name: str) -> str:
        return (self.folder.resolve() / name).as_uri()

    def listing(self, folder: str = "") -> Listing:
        files, others = [], []
        try:
            with os.scandir(self.folder / folder) as entries:
                for each in entries:
                    if not each.is_file(follow_symlinks=False):
                        others.append(each.name)
                    elif entry := _entry(each.name, each):
                        files.append(entry)
        except (FileNotFoundError, NotADirectoryError):
            return Listing([], [])
        except OSError as error:
            raise _refusal(self.folder / folder, "listed", error) from error
        return Listing(files, others)

    @contextmanager
    def local_copy(self, entry: Entry) -> Iterator[Path]:
        yield self.folder / entry.name

    def current(self, entry: Entry) -> Entry | None:
        return _entry(entry.name, self.folder / entry.name)

    def move(self, name: str, target: str) -> None:
        path, new = self.folder / name, self.folder / target
        try:
            atomic.make_folder(new.parent)
            if not os.path.lexists(path):  # nor does one whose name is too long
                return
            os.replace(path, new)
            atomic.sync(new.parent)
            atomic.sync(path.parent)
        except FileNotFoundError:  # moved before, by a process that was killed then
            return
        except OSError as error:
            raise _refusal(path, "moved", error) from error

    def duckdb_files(self, uris: Iterable[str]) -> list[str]:
        """Delta percent-encodes paths; some characters are wildcards to DuckDB."""
        return sorted(glob.escape(unquote(uri)) for uri in uris)

    def folders_with(self, marker: str) -> list[str]:
        return sorted(str(each.parent.relative_to(self.folder)) for each in self.folder.glob(f"**/{marker}"))

    def free(self) -> int | None:
        disk = shutil.disk_usage(next(each for each in (self.folder, *self.folder.parents) if each.exists()))
        return disk.free if disk.total else None  # a file system such as /proc has no size

    def create_folder(self) -> None:
        atomic.make_folder(self.folder)

    def sync(self, files: Sequence[str]) -> None:
        paths = [self.folder / name for name in files]
        for path in paths:
            atomic.sync(path)
        for parent in {path.parent for path in paths} | {self.folder}:
            atomic.sync(parent)

    def discard(self, token: str) -> None:
        for path in [*self.folder.glob(f"{token}*"), *self.folder.glob(f"*/{token}*")]:
            path.unlink(missing_ok=True)


def _link_stamp(path: Path) -> Stamp | None:
    try:
        return atomic.stamp(path)
    except OSError:  # a link in a circle
        return atomic.stamp_of(os.lstat(path))


def _entry(name: str, file: os.DirEntry[str] | Path) -> Entry | None:
    """None if it does not exist. A move changes the inode's ctime, a copy has an inode of its own."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refusal(Path(file), "read", error) from error
    identity = f"{status.st_ino} {status.st_ctime_ns}"
    return Entry(name, status.st_size, status.st_mtime, atomic.stamp_of(status), identity, status.st_ctime)


def _refusal(path: Path, action: str, error: OSError) -> AeroCastError:
    return AeroCastError(f"{path} cannot be {action}: {error.strerror or error}")
