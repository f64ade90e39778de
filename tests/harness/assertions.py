"""Equality within rounding: sums over arrays of other length or alignment differ by an ulp between processors."""

from typing import Any

import msgspec
import pytest


def assert_close(found: Any, wanted: Any, rel: float = 1e-9, absolute: float = 1e-9) -> None:
    """Compare structs, dataclasses, lists and dicts: floats within the tolerance, everything else exactly."""
    _compare(msgspec.to_builtins(found), msgspec.to_builtins(wanted), rel, absolute, "")


def _compare(found: Any, wanted: Any, rel: float, absolute: float, where: str) -> None:
    if isinstance(wanted, dict) and isinstance(found, dict):
        assert found.keys() == wanted.keys(), where
        for name in wanted:
            _compare(found[name], wanted[name], rel, absolute, f"{where}.{name}")
    elif isinstance(wanted, list | tuple) and isinstance(found, list | tuple):
        assert len(found) == len(wanted), where
        for number, pair in enumerate(zip(found, wanted, strict=True)):
            _compare(*pair, rel, absolute, f"{where}[{number}]")
    elif isinstance(wanted, float) and isinstance(found, float):
        assert found == pytest.approx(wanted, rel=rel, abs=absolute, nan_ok=True), where
    else:
        assert found == wanted, where
