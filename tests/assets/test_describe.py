"""What people see of a materialisation: pictures and tables that fit the page, also of a step with nothing to do."""

from pathlib import Path

import dagster as dg
import pytest

from aerocast.feed.declaration import Feed
from aerocast_assets.keys import key
from tests.harness.graph import metadata, refresh

pytestmark = pytest.mark.e2e  # whole loops of the asset graph

INLINE = 1000  # the UI shows Markdown in place below this many characters, else behind a link


def test_unchanged_run_shows_last_decision(feed: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    first, again = (refresh(feed, home, instance) for _ in range(2))
    assert first.success
    assert again.success
    champion = key(feed, "temperature", "champion")
    decided, repeated = metadata(first, champion), metadata(again, champion)
    assert (decided.pop("status"), repeated.pop("status")) == ("computed", "unchanged")
    assert repeated == decided
    picture = "http://127.0.0.1:8000/reports/small/temperature/{0}.png"
    assert decided["skill"] == picture.format("skill")
    assert Path(decided["skill_file"]) == home / "reports/small/temperature/skill.png"
    for table in ("scores", "mae_degF", "interval_coverage"):
        assert "| linear |" in decided[table]
        assert len(decided[table]) < INLINE
    forecasts = metadata(again, key(feed, "temperature", "forecasts"))
    assert forecasts["forecast"] == picture.format("forecast")
    assert "| AAA | 1 |" in forecasts["table"]
    assert len(forecasts["table"]) < INLINE
