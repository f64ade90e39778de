"""Tells AeroCast's own files in a home from those of others, by name; only its own are moved or removed."""

import contextlib
import os
import re
from collections.abc import Container, Iterator
from pathlib import Path

from aerocast.common.errors import AeroCastError
from aerocast.storage import atomic

_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DATABASE = r"\.(db|sqlite)(-wal|-shm|-journal)?"
# Folder of the home -> pattern of the names below it, relative to it; folders that people fill (`inbox`) are not ours.
_ROOMS = {
    "lake": r".+/(_delta_log/[^/]+|[^/]+\.parquet)",
    "releases": r"[^/]+/[^/]+/([^/]+\.json|\.claims/[^/]+|[^/]+/([^/]+\.onnx|manifest\.json|SHA256SUMS))",
    "promoted": r".+\.json",
    "candidates": r".+\.msgpack",
    "sources": r"[^/]+/.+",  # one folder for each kind
    "nws": r".+\.json",  # written by versions before
    "tail": r"[^/]+\.npz",
    "exports": r".+\.(csv|parquet)",
    "reports": r".+\.(png|json)",
    "log": r"[^/]+/[^/]+\.(open|jsonl)",
    "observations": rf"[^/]+{_DATABASE}",
    "feeder": r"[^/]+\.(json|journal)",
    "claims": r".+\.parquet",
    "mlflow": r"([0-9a-f]{32}|models)/.+",
    "history": rf".+{_DATABASE}",
    "schedules": rf".+{_DATABASE}",
    "storage": r".+",
    "dagster": r".+",
    "logs": r"(audit|refusals)\.jsonl(\.\d+)?",
    "processes": r"[^/]+\.log(\.1)?",
    **dict.fromkeys(("anomalies", "clock", "declared", "drift", "faults", "put_off", "requests"), r".+\.json"),
    **dict.fromkeys(("alarms", "decisions", "quarantine", "retraining"), r".+\.json"),
}
DEMO = "demo-drift"  # a home in the home
_LAST = ("home.json", ".writer")
_BESIDE = re.compile(r"(.*/)?(\.lock|\.[^/]+\.(lock|new|from))")  # what `aerocast.storage.atomic` writes next to a file
_TOP = re.compile(
    rf"home\.json|tokens\.json|\.writer|\.writable.*|mlflow[^/]*{_DATABASE}|workspace\.yaml|dagster\.yaml|\.demo"
    rf"|({_UUID}|__repository__[^/]*)/.+"  # Dagster's folders of runs
)


def is_own(name: str) -> bool:
    """Whether a file of this name, relative to the home and with slashes, is one that AeroCast writes."""
    name = name.removeprefix(f"{DEMO}/")
    room, _, below = name.partition("/")
    pattern = _ROOMS.get(room)
    if pattern is None or not below:
        return _TOP.fullmatch(name) is not None or name == ".lock"
    return re.fullmatch(pattern, below) is not None or _BESIDE.fullmatch(below) is not None


def is_room(name: str) -> bool:
    """Whether AeroCast has a folder of this name at the top of a home."""
    return name in _ROOMS


def files(home: Path) -> Iterator[tuple[str, bool]]:
    """Every file below a home, by its name relative to it, and whether it is AeroCast's own; links are not.

    Raises:
        OSError: a folder cannot be read.
    """
    for folder, below, names in atomic.walk(home):
        links = [name for name in below if os.path.islink(os.path.join(folder, name))]
        for name in (*names, *links):
            path = Path(folder, name)
            relative = path.relative_to(home).as_posix()
            yield relative, not path.is_symlink() and is_own(relative)


def sweep(home: Path, keep: Container[str] = ()) -> list[str]:
    """Removes AeroCast's own files except those to keep, and empty folders; returns the files of others.

    The mark and the lock go last, so that an interrupted call can be repeated.

    Raises:
        AeroCastError: a file cannot be removed.
    """
    try:
        every = sorted(files(home), key=lambda file: file[0] in _LAST)
        for name, own in every:
            if own and name not in keep:
                (home / name).unlink(missing_ok=True)
        for folder, _, _ in os.walk(home, topdown=False):
            with contextlib.suppress(OSError):  # what is not empty stays
                os.rmdir(folder)
    except OSError as error:
        raise AeroCastError(f"{error.filename} cannot be removed: {error.strerror or error}") from error
    return [name for name, own in every if not own]
