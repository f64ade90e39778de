"""Where files for the inbox are put: a folder, or a prefix in an object store. No word here about what they hold."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from aerocast.errors import AeroCastError
from aerocast.storage import atomic, store
from aerocast.storage.atomic import Stamp
from aerocast.storage.home import ObjectHome

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Store


class Found(NamedTuple):
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

    files: list[Found]
    others: list[str]


class Place(Protocol):
    """One folder of files. Names are relative to it; every method raises AeroCastError when the place refuses."""

    atomic: bool  # a file is never there in part

    def listing(self, folder: str = "") -> Listing:
        """What is directly in it or in one of its folders, nothing if there is no such folder."""
        ...

    def read(self, name: str) -> bytes | None:
        """A small file, or None."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """A small file, durable."""
        ...

    def local(self, found: Found) -> AbstractContextManager[Path]:
        """The file as one on this machine's disk, for as long as the block lasts."""
        ...

    def current(self, found: Found) -> Found | None:
        """The file as it is now, None if it is gone; an object is what was found for as long as `local` gives it."""
        ...

    def same(self, found: Found) -> bool:
        """Whether it is still the file that was found."""
        ...

    def exists(self, name: str) -> bool: ...

    def remove(self, name: str) -> None:
        """Nothing happens to a name that is gone."""
        ...

    def move(self, name: str, target: str) -> None:
        """Over whatever is there; nothing happens to a name that is gone."""
        ...


class Folder:
    """A folder on this machine."""

    atomic = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def listing(self, folder: str = "") -> Listing:
        files, others = [], []
        try:
            with os.scandir(self._folder / folder) as entries:
                for entry in entries:
                    if not entry.is_file():
                        others.append(entry.name)
                    elif found := _found(entry.name, entry):
                        files.append(found)
        except (FileNotFoundError, NotADirectoryError):
            return Listing([], [])
        except OSError as error:
            raise self._refusal(error) from error
        return Listing(files, others)

    def read(self, name: str) -> bytes | None:
        return store.read(self._folder, name)

    def write(self, name: str, data: bytes) -> None:
        store.replace(self._folder, name, data)

    @contextmanager
    def local(self, found: Found) -> Iterator[Path]:
        yield self._folder / found.name

    def current(self, found: Found) -> Found | None:
        return _found(found.name, self._folder / found.name)

    def same(self, found: Found) -> bool:
        return atomic.stamp(self._folder / found.name) == found.stamp

    def exists(self, name: str) -> bool:
        return (self._folder / name).exists()

    def remove(self, name: str) -> None:
        store.remove(self._folder, name)

    def move(self, name: str, target: str) -> None:
        place = self._folder / target
        try:
            atomic.make_folder(place.parent)
            os.replace(self._folder / name, place)
            atomic.sync_folder(place.parent)
            atomic.sync_folder(self._folder)
        except FileNotFoundError:  # moved before, by who was killed then
            return
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> AeroCastError:
        return AeroCastError(f"the inbox {self._folder} cannot be used: {error.strerror or error}")


class Prefix:
    """Objects under `s3://bucket/prefix`; one that is there is whole, but nothing in it can be renamed at once."""

    atomic = True

    def __init__(self, url: str) -> None:
        self._home = ObjectHome(url.rstrip("/"), Path())

    def __str__(self) -> str:
        return self._home.url

    def listing(self, folder: str = "") -> Listing:
        import obstore

        with store.told(self._home, folder, "listed"):
            found = obstore.list_with_delimiter(self._bucket(), folder or None)
        begin = f"{folder}/" if folder else ""
        files = [_object(each, each["path"].removeprefix(begin)) for each in found["objects"]]
        return Listing(files, [path.removeprefix(begin).rstrip("/") for path in found["common_prefixes"]])

    def read(self, name: str) -> bytes | None:
        return store.read(self._home, name)

    def write(self, name: str, data: bytes) -> None:
        store.replace(self._home, name, data)

    @contextmanager
    def local(self, found: Found) -> Iterator[Path]:
        import obstore

        with tempfile.TemporaryDirectory(prefix="aerocast-") as folder:
            path = Path(folder) / "object"
            with store.told(self._home, found.name, "read"), path.open("wb") as file:
                for chunk in obstore.get(self._bucket(), found.name, options={"if_match": str(found.stamp)}):
                    file.write(chunk)
            yield path

    def current(self, found: Found) -> Found | None:
        return found

    def same(self, found: Found) -> bool:
        return store.stamp(self._home, found.name) == found.stamp

    def exists(self, name: str) -> bool:
        return store.stamp(self._home, name) is not None

    def remove(self, name: str) -> None:
        store.remove(self._home, name)

    def move(self, name: str, target: str) -> None:
        import obstore

        with store.told(self._home, name, "moved"):
            try:
                obstore.copy(self._bucket(), name, target)
            except FileNotFoundError:
                return
            obstore.delete(self._bucket(), [name])

    def _bucket(self) -> S3Store:
        return store.bucket(self._home.url)


def place_of(url: str, feed: str) -> Place:
    """The feed's folder in an inbox, which is a folder or `s3://bucket/prefix`."""
    return Prefix(f"{url.rstrip('/')}/{feed}") if "://" in url else Folder(Path(url) / feed)


def _found(name: str, file: os.DirEntry[str] | Path) -> Found | None:
    """None if it is gone by now. A move changes the inode's ctime, a copy has an inode of its own."""
    try:
        seen = file.stat()
    except FileNotFoundError:
        return None
    return Found(
        name, seen.st_size, seen.st_mtime, atomic.stamp_of(seen), f"{seen.st_ino} {seen.st_ctime_ns}", seen.st_ctime
    )


def _object(meta: ObjectMeta, name: str) -> Found:
    changed, tag = meta["last_modified"].timestamp(), str(meta["e_tag"])
    return Found(name, meta["size"], changed, tag, f"{tag} {changed}", changed)
