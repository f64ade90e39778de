"""What a result depends on, as one hash: declaration, code and input versions, in canonical JSON."""

import hashlib
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aerocast.common.closure import Package

if TYPE_CHECKING:
    from numpy.typing import NDArray


def config_hash(**parts: Any) -> str:
    """SHA-256 (64 hex digits) of the parts as canonical JSON: same hash, same result.

    Raises:
        TypeError: a part is not plain JSON data (then its text would not be canonical).
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest(*arrays: "NDArray[Any]") -> str:
    """SHA-256 of the arrays' bytes, for a `config_hash` over numbers that are too many for JSON."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(array.tobytes())
    return total.hexdigest()


@cache
def code_version(*modules: str) -> str:
    """Twelve hex digits of the code of these modules (`"aerocast.x"`) and of all that they import.

    An edit there makes everything they compute stale; comments, docstrings, formatting and the modules of
    `closure.NOT_COUNTED` do not count. A module of another package, which brings a kind, counts in the same way.

    Raises:
        ValueError: there is no such module.
    """
    return _package(*sorted({module.partition(".")[0] for module in modules} - {"aerocast"})).version(*modules)


@cache
def _package(*others: str) -> Package:
    return Package(Path(__file__).parents[1], *map(_location, others))


def _location(package: str) -> Path:
    """The folder of an installed package, or the file of a single module; nothing is imported."""
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    if spec and (folders or spec.origin):
        return Path(folders[0] if folders else str(spec.origin))
    raise ValueError(f"{package} is not installed")
