"""Files with a JSON object a line: one, many, in an archive or at a URL, plain or compressed."""

from typing import ClassVar, Literal

from pydantic import Field

from aerocast.ingest.sources._file_source import FileSource


class JsonLinesSource(FileSource):
    """Files with a reading a line, as a JSON object; fields of nested objects have dotted names."""

    kind: Literal["jsonl"] = Field(description="Name of the source kind")

    endings: ClassVar[tuple[str, ...]] = ("jsonl", "ndjson")
