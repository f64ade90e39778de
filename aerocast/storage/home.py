"""The home of a platform: a folder, or an object store with a work folder on this machine.

Data that several machines share (lake, releases, tail, small documents) is in the home itself, through
`aerocast.lake`, `aerocast.releases.release` and `store_of`. Data of this machine (clock, faults, the loop's state,
logs, candidates, tracking, reports) is in the folder `Path(home)`: the home itself, or the work folder.
The server imports this module: the standard library only.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from aerocast.common.errors import AeroCastError

if TYPE_CHECKING:
    from aerocast.storage.settings import Settings
    from aerocast.storage.store import Store

_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[A-Za-z0-9_.=-]*[A-Za-z0-9_=-])*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
# Libraries read `?` as the start of a query, `%41` as a letter and a backslash as a slash; the rest are not printable.
_UNUSABLE = re.compile(r"[?\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|%[0-9A-Fa-f]{2}")
_LONGEST = 400  # bytes: SQLite takes 511 for a file, and its names below a home need the rest
_LONGEST_PART = 255
WORK = Path(".aerocast")


@dataclass(frozen=True, slots=True)
class ObjectHome(os.PathLike[str]):
    """A home in an object store: `url` without a trailing slash, and this machine's work folder, absolute.

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
    """The storage of a home, a folder or a URL; `store_of(Path(home))` is that of this machine alone."""
    # The code location only names homes, and loads without either.
    from aerocast.storage.folder import FolderStore
    from aerocast.storage.objects import ObjectStore

    if isinstance(home, ObjectHome) or "://" in str(home):
        return ObjectStore(str(home).rstrip("/"))
    return FolderStore(Path(home).absolute())


def home_of(settings: Settings, setting: str = "AEROCAST_HOME") -> Home:
    """The home that the settings name, absolute; `setting` is the name of the setting in messages.

    Without `AEROCAST_WORK` each object store has a work folder of its own, `.aerocast/work/<bucket>/<prefix>`.

    Raises:
        AeroCastError: the URL is not that of a supported object store, or a library would misread the path.
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
    """The environment variables that give a child process the same home."""
    work = {"AEROCAST_WORK": str(home.work)} if isinstance(home, ObjectHome) else {}
    return {"AEROCAST_HOME": str(home), **work}


def address(text: str, setting: str) -> str:
    """The folder or URL that a setting names, a folder absolute. Raises AeroCastError as `expanded`."""
    return text if _SCHEME.match(text) else str(expanded(text, setting))


def expanded(path: str | Path, setting: str) -> Path:
    """The absolute path that a setting or an option names, `~` and links followed.

    Raises:
        AeroCastError: it names an unknown user, or links form a circle.
    """
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise AeroCastError(f"{setting}={str(path)!r} cannot be used: {error}") from error


def _usable(path: str | Path, setting: str) -> Path:
    """The folder, expanded. Raises AeroCastError if tables and databases cannot be stored under it."""
    folder = expanded(path, setting)
    if odd := _UNUSABLE.search(str(folder)):
        raise AeroCastError(f"{setting}={str(path)!r} cannot be used: a path must not contain {odd[0]!r}")
    size, part = len(os.fsencode(folder)), max(map(len, map(os.fsencode, folder.parts)))
    if size > _LONGEST or part > _LONGEST_PART:
        rule = f"at most {_LONGEST} bytes, {_LONGEST_PART} between two slashes"
        raise AeroCastError(f"{setting}: the path of {size} bytes that begins {str(folder)[:60]!r} is too long: {rule}")
    return folder
