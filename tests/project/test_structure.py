"""Rules for imports that import-linter cannot state."""

import re
from pathlib import Path

from tests import PROJECT

PRIVATE = re.compile(r"\bdagster\._|\bdagster_shared\b")


def test_only_compat_touches_private_modules_of_dagster() -> None:
    code = [
        path
        for room in ("aerocast", "aerocast_assets", "serving", "feeder", "cli", "demo", "benchmarks")
        for path in _modules(room)
    ]
    private = {path.relative_to(PROJECT).as_posix() for path in code if PRIVATE.search(path.read_text())}
    assert private == {"aerocast_assets/_compat/__init__.py", "aerocast_assets/_compat/storage.py"}


def _modules(room: str) -> list[Path]:
    return list((PROJECT / room).rglob("*.py"))
