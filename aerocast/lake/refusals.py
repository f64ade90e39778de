"""What the store's errors mean, in words: it gives the system's error numbers inside texts of several forms."""

import os
import re

from deltalake.exceptions import CommitFailedError

_DISK = {  # the system's error numbers, as the store spells them
    "os error 28": "the disk is full",
    "os error 122": "the disk quota is used up",
    "os error 27": "the file would exceed the largest size allowed",
    "os error 30": "the place is read-only",
    "os error 13": "there is no permission to write there",
    "os error 20": "a part of the path is a file, not a folder",
    "os error 2)": "the place does not exist and cannot be made",
}
_WORDED = (28, 122, 27, 30, 13, 20)  # these DuckDB gives in words


def told(error: Exception) -> str:
    """Why, in a few words."""
    text = coded(str(error))
    if "Generic S3 error" in text:  # a tree of causes with arrows and colours, or a sentence with a dump behind it
        return " ".join(re.sub(r"\x1b\[\d*m|↳", "", text.partition("Debug source")[0]).split())
    return next((why for fault, why in _DISK.items() if fault in text), None) or text.splitlines()[0]


def coded(fault: str) -> str:
    """The text with the system's error number in one form: some carry `code: 28`, some `Errno 28`, some words."""
    numbered = re.sub(r"(?:code: |\[Errno )(\d+)[,\]]", r"(os error \1)", fault)
    worded = next((number for number in _WORDED if f": {os.strerror(number)}" in numbered), None)
    return numbered if worded is None else f"{numbered} (os error {worded})"


def is_overtaken(error: Exception) -> bool:
    """Whether another writer committed first."""
    lost = isinstance(error, CommitFailedError) or "already exists" in str(error)
    return lost and "os error" not in coded(str(error))
