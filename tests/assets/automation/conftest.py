"""What tests of sensors share."""

from datetime import timedelta

import pytest

from aerocast_assets.automation import live


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live runs follow each other at once also without a champion."""
    monkeypatch.setattr(live, "ROOM", timedelta(0))
