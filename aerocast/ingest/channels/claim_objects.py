"""Copies the objects that claims name: only those below declared prefixes, and none through a link.

What lies elsewhere is refused by its name alone, so that an answer says nothing about other files of this machine.
"""

import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import unquote

from aerocast.common.errors import AeroCastError
from aerocast.common.words import printable
from aerocast.storage.home import Home, ObjectHome, home_of, store_of
from aerocast.storage.settings import Settings
from aerocast.storage.store import Entry

FOLDER = "claims"  # of a home: objects that `announce` has put there
LARGEST = 512 << 20  # bytes of an object
SETTING = "AEROCAST_CLAIM_PREFIXES"
_BUCKET, _FILE = "s3://", ("file:///", "file://localhost/")
_OBJECT = re.compile(r"s3://([a-z0-9][a-z0-9.-]+[a-z0-9])/([^/\x00-\x1f\x7f]+(?:/[^/\x00-\x1f\x7f]+)*)")
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)  # of a link, too, wherever it leads
_CHUNK = 1 << 20


class Unusable(Exception):
    """The claim itself is wrong: no later attempt would help."""


class ObjectCopy(NamedTuple):
    """An object on this machine's disk, which nobody changes, and its SHA-256."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class ClaimPrefixes:
    """Where objects may lie: absolute folders, and URLs `s3://bucket/prefix` without a slash at their ends."""

    folders: tuple[Path, ...]
    urls: tuple[str, ...]

    @classmethod
    def of(cls, home: Home, declared: str = "") -> "ClaimPrefixes":
        """The home's own `claims`, and what the setting names, with commas between.

        Raises:
            AeroCastError: the setting names something else.
        """
        texts = [text.strip() for text in declared.split(",") if text.strip()]
        homes = [home_of(Settings(home=text), SETTING) for text in texts]
        own = ObjectHome(f"{home}/{FOLDER}", home.work) if isinstance(home, ObjectHome) else Path(home) / FOLDER
        folders = [path for path in (own, *homes, *map(Path, texts)) if isinstance(path, Path) and path.is_absolute()]
        links = [path.resolve() for path in folders]
        return cls(
            tuple(dict.fromkeys([*folders, *links])),
            tuple(str(each) for each in (own, *homes) if isinstance(each, ObjectHome)),
        )

    @contextmanager
    def copy(self, uri: str) -> Iterator[ObjectCopy]:
        """The object, for the duration of the block.

        Raises:
            Unusable: it is not there or too large, or its name is none below a prefix.
            AeroCastError: it cannot be read now.
        """
        with tempfile.TemporaryDirectory(prefix="aerocast-") as folder:
            path = Path(folder) / "object"
            if name := self._object_name(uri):
                yield _download(*name, uri, path)
            elif file := self._file_name(uri):
                yield _duplicate(*file, uri, path)
            else:
                raise Unusable(f"uri: {printable(uri)} names no object below a prefix for claims: see {SETTING}")

    def _object_name(self, uri: str) -> tuple[str, str] | None:
        match = _OBJECT.fullmatch(uri)
        is_below = any(uri.startswith(f"{url}/") for url in self.urls)
        return (match[1], match[2]) if match and is_below and _is_plain(unquote(match[2]).split("/")) else None

    def _file_name(self, uri: str) -> tuple[Path, Sequence[str]] | None:
        start = next((start for start in (*_FILE, "/") if uri.startswith(start)), None)
        if start is None:
            return None
        rest = uri.removeprefix(start)
        name = f"/{rest if start == '/' else unquote(rest, errors='surrogateescape')}"
        if "\0" in name or not _is_plain(name.split("/")[1:]):
            return None
        path = Path(name)
        folder = next((folder for folder in self.folders if path != folder and path.is_relative_to(folder)), None)
        return (folder, path.relative_to(folder).parts) if folder else None


def _is_plain(parts: Sequence[str]) -> bool:
    return not {"", ".", ".."} & {*parts}


def _download(bucket: str, name: str, uri: str, path: Path) -> ObjectCopy:
    store = store_of(f"{_BUCKET}{bucket}")
    size, stamp = store.size(name), store.stamp(name)
    if size is None or stamp is None:
        store.read(name)  # raises where the bucket is not there, which says nothing about its objects
        raise Unusable(f"uri: there is no object {uri}")
    if size > LARGEST:
        raise _too_large(uri)
    with store.local_copy(Entry(name, size, 0.0, stamp, "")) as copy, copy.open("rb") as file:
        return _saved(file, uri, path)


def _duplicate(folder: Path, parts: Sequence[str], uri: str, path: Path) -> ObjectCopy:
    text = printable(uri)
    try:
        with _open_below(folder, parts) as file:
            if file is None:
                raise Unusable(f"uri: there is no file {text}")
            return _saved(file, uri, path)
    except OSError as error:
        if error.errno in _NOWHERE:
            raise Unusable(f"uri: there is no file {text}") from error
        raise AeroCastError(f"uri: {text} cannot be read: {error.strerror or error}") from error
    except UnicodeError as error:
        raise Unusable(f"uri: there is no file {text}") from error


@contextmanager
def _open_below(folder: Path, parts: Sequence[str]) -> Iterator[BinaryIO | None]:
    """The regular file, opened step by step so that no link leads out, even one that is put there meanwhile."""
    with ExitStack() as stack:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, place)
        for number, part in enumerate(parts, 1):
            kind = os.O_DIRECTORY if number < len(parts) else os.O_NONBLOCK  # a pipe must not wait for its writer
            place = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | kind, dir_fd=place)
            stack.callback(os.close, place)
        if stat.S_ISREG(os.fstat(place).st_mode):
            yield stack.enter_context(open(place, "rb", closefd=False))
        else:
            yield None


def _saved(file: BinaryIO, uri: str, path: Path) -> ObjectCopy:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as copy:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > LARGEST:
                raise _too_large(uri)
            digest.update(chunk)
            copy.write(chunk)
    return ObjectCopy(path, digest.hexdigest())


def _too_large(uri: str) -> Unusable:
    return Unusable(f"uri: {printable(uri)} is too large; announce it in parts of at most {LARGEST} bytes")
