"""Parquet files: one, many, in an archive or at a URL."""

from typing import ClassVar, Literal

from pydantic import Field

from aerocast.ingest.sources._file_source import FileSource


class ParquetSource(FileSource):
    """Parquet files; fields of structs have dotted names."""

    kind: Literal["parquet"] = Field(description="Name of the source kind")

    endings: ClassVar[tuple[str, ...]] = ("parquet", "pq")
