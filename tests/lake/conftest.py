"""An empty lake for the tests of this room."""

from pathlib import Path

import pytest

from aerocast.lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "home")
