"""Where a platform's things lie: a folder, or an object store with a folder of this machine beside it.

What processes on several machines share (lake, releases, tail, small documents) goes to the home itself, through
`aerocast.lake`, `aerocast.release` and `aerocast.store`. What belongs to this machine (clock, faults, the loop's state,
logs, candidates, tracking, reports) lies in the folder `Path(home)`: the home itself, or `work` of an object store.
The server imports this module: the standard library only.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from aerocast.errors import AeroCastError

_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[A-Za-z0-9_.=-]*[A-Za-z0-9_=-])*")
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


class _Places(Protocol):
    """What of `aerocast.settings.Settings` says where things lie."""

    @property
    def home(self) -> str: ...

    @property
    def work(self) -> Path | None: ...


def home_of(settings: _Places) -> Home:
    """The home that the settings name, absolute.

    Without `AEROCAST_WORK` each object store has a work folder of its own, `.aerocast/work/<bucket>/<prefix>`: what was
    done for one home says nothing about another.

    Raises:
        AeroCastError: an URL that is none of an object store's, or not of a supported one.
    """
    if "://" not in settings.home:
        return Path(settings.home).resolve()
    url = settings.home.rstrip("/")
    if not _URL.fullmatch(url):
        rule = "a folder, or s3://bucket/prefix of letters, digits and ._=-"
        raise AeroCastError(f"AEROCAST_HOME={settings.home!r} cannot be used; allowed: {rule}")
    work = settings.work or WORK / "work" / url.removeprefix("s3://")
    return ObjectHome(url, work.resolve())
