"""The benchmarks are scripts: their folder is on the path, as when one is run."""

import sys
from collections.abc import Iterator

import pytest

from tests import PROJECT

BENCHMARKS = PROJECT / "benchmarks"


@pytest.fixture(autouse=True, scope="module")
def _scripts_on_path() -> Iterator[None]:
    """The scripts' modules are forgotten after each file of tests."""
    before = set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))
    scripts = {"measuring", *(script.stem for script in BENCHMARKS.glob("*.py"))}
    for name in set(sys.modules) - before:
        if name.split(".")[0] in scripts:
            del sys.modules[name]
