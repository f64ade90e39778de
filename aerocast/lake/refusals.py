"""Explains errors of tables and stores in words; they contain the system's error numbers in several forms."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from deltalake.exceptions import CommitFailedError

from aerocast.common.errors import AeroCastError, first_line

_DISK = {  # the system's error numbers, as the store spells them
    "os error 28": "the disk is full",
    "os error 122": "the disk quota is exhausted",
    "os error 27": "the file would exceed the largest size allowed",
    "os error 30": "the location is read-only",
    "os error 13": "writing there is not permitted",
    "os error 20": "a part of the path is a file, not a folder",
    "os error 2)": "the location does not exist and cannot be created",
}
_IN_WORDS = (28, 122, 27, 30, 13, 20)  # DuckDB gives these as text


def explain(error: Exception) -> str:
    """The reason of an error, in a few words."""
    text = with_error_number(str(error))
    if "Generic S3 error" in text:  # a tree of causes with arrows and colours, or a sentence with a dump behind it
        return " ".join(re.sub(r"\x1b\[\d*m|↳", "", text.partition("Debug source")[0]).split())
    return next((why for fault, why in _DISK.items() if fault in text), None) or text.splitlines()[0]


def with_error_number(fault: str) -> str:
    """The text with the system's error number as `os error 28`; it may have `code: 28`, `Errno 28`, or words."""
    text = re.sub(r"(?:code: |\[Errno )(\d+)[,\]]", r"(os error \1)", fault)
    number = next((number for number in _IN_WORDS if f": {os.strerror(number)}" in text), None)
    return text if number is None else f"{text} (os error {number})"


def is_overtaken(error: Exception) -> bool:
    """Whether another writer committed first."""
    conflict = isinstance(error, CommitFailedError) or "already exists" in str(error)
    return conflict and "os error" not in with_error_number(str(error))


@contextmanager
def damage_explained() -> Iterator[None]:
    """Turns DuckDB's error of a file that it cannot read into an AeroCastError, which names the file."""
    try:
        yield
    except (duckdb.IOException, duckdb.InvalidInputException, duckdb.SerializationException) as error:
        raise AeroCastError(f"a table's file cannot be read: {first_line(error)}") from error
