"""Where a platform's things lie: a folder, or an object store with a folder of this machine beside it.

What processes on several machines share (lake, releases, tail, small documents) goes to the home itself, through
`aerocast.lake`, `aerocast.releases.release` and `store_of`. What belongs to this machine (clock, faults, the
loop's state, logs, candidates, tracking, reports) lies in the folder `Path(home)`: the home itself, or
`work` of an object store.
The server imports this module: the standard library only.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from aerocast.common.errors import AeroCastError
from aerocast.storage.folder import FolderStore
from aerocast.storage.objects import ObjectStore
from aerocast.storage.store import Store

_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[A-Za-z0-9_.=-]*[A-Za-z0-9_=-])*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
# The libraries read `?` as the start of a query, `%41` as a letter, a backslash as a slash; the rest is no text.
_UNUSABLE = re.compile(r"[?\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|%[0-9A-Fa-f]{2}")
_LONGEST = 400  # bytes: SQLite takes 511 for a file, and its names below a home need the rest
_LONGEST_PART = 255
WORK = Path(".aerocast")


@dataclass(frozen=True, slots=True)
class ObjectHome(os.PathLike[str]):
    """A home in an object store: `url` without a slash at its end, and this machine's own folder, absolute.

    As a path (`Path(home)`, `home / "clock"`) it is that folder; as text it is the URL.
    """

    url: str
    work: Path

    def __fspath__(self) -> str:
        return str(self.work)

    def __truediv__(self, name: str | os.PathLike[str]) -> Path:
        return self.work / name

    def __str__(self) -> str:
        return self.url


Home: TypeAlias = Path | ObjectHome


def store_of(home: Home | str) -> Store:
    """What all machines that use the home share; of `Path(home)` this machine's own. A text is a folder or a URL."""
    if isinstance(home, ObjectHome) or "://" in str(home):
        return ObjectStore(str(home).rstrip("/"))
    return FolderStore(Path(home).absolute())


class _Places(Protocol):
    """What of `aerocast.storage.settings.Settings` says where things lie."""

    @property
    def home(self) -> str: ...

    @property
    def work(self) -> Path | None: ...


def home_of(settings: _Places, setting: str = "AEROCAST_HOME") -> Home:
    """The home that the settings name, absolute; `setting` is the name under which a person gave it.

    Without `AEROCAST_WORK` each object store has a work folder of its own, `.aerocast/work/<bucket>/<prefix>`: what was
    done for one home says nothing about another.

    Raises:
        AeroCastError: an URL that is none of an object store's, or not of a supported one; a path that a library
            which keeps files under it would misread.
    """
    if not _SCHEME.match(settings.home):
        return _usable(settings.home, setting)
    url = settings.home.rstrip("/")
    if not _URL.fullmatch(url):
        rule = "a folder, or s3://bucket/prefix of letters, digits and ._=-"
        raise AeroCastError(f"{setting}={settings.home!r} cannot be used; allowed: {rule}")
    work = settings.work or WORK / "work" / url.removeprefix("s3://")
    return ObjectHome(url, _usable(work, "AEROCAST_WORK"))


def variables(home: Home) -> dict[str, str]:
    """The settings by which a child process has the same home."""
    work = {"AEROCAST_WORK": str(home.work)} if isinstance(home, ObjectHome) else {}
    return {"AEROCAST_HOME": str(home), **work}


def address(text: str, setting: str) -> str:
    """The folder or URL that a setting names, a folder absolute. Raises AeroCastError as `expanded`."""
    return text if _SCHEME.match(text) else str(expanded(text, setting))


def expanded(path: str | Path, setting: str) -> Path:
    """The absolute path that a setting or an option names, `~` and links followed.

    Raises:
        AeroCastError: it names a user that is not there, or links that go in a circle.
    """
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise AeroCastError(f"{setting}={str(path)!r} cannot be used: {error}") from error


def _usable(path: str | Path, setting: str) -> Path:
    """The folder, if tables and databases can be kept under it. Raises AeroCastError otherwise."""
    folder = expanded(path, setting)
    if odd := _UNUSABLE.search(str(folder)):
        raise AeroCastError(f"{setting}={str(path)!r} cannot be used: no file can be kept under a path with {odd[0]!r}")
    size, part = len(os.fsencode(folder)), max(map(len, map(os.fsencode, folder.parts)))
    if size > _LONGEST or part > _LONGEST_PART:
        rule = f"at most {_LONGEST} bytes, {_LONGEST_PART} between two slashes"
        raise AeroCastError(f"{setting}: the path of {size} bytes that begins {str(folder)[:60]!r} is too long: {rule}")
    return folder
