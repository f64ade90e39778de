"""CSV files: one, many, in an archive or at a URL, plain or compressed."""

from typing import ClassVar, Literal

from pydantic import Field

from aerocast.ingest.sources._file_source import FileSource


class CsvSource(FileSource):
    """CSV and other delimited text files, or those inside an installed package (found without importing it)."""

    kind: Literal["csv"] = Field(default="csv", description="Name of the source kind")

    endings: ClassVar[tuple[str, ...]] = ("csv", "tsv", "txt", "dat")
