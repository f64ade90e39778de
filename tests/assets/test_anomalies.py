"""anomalies through Dagster: the asset's page, its check, and what a run without news does."""

from pathlib import Path

import dagster as dg
import pytest

from aerocast.contracts import anomalies as state
from aerocast_assets.assets.anomalies import rarity
from aerocast_assets.keys import key
from tests.factories.feeds import small_feed, write_readings
from tests.harness.columns import shown_columns, stored_columns
from tests.harness.graph import check, metadata, refresh


@pytest.mark.parametrize(
    ("surprise", "text"),
    [(3, "once in 1,000 steps"), (3.5, "once in 3,160 steps"), (9, "once in 1,000,000 steps or more")],
)
def test_rarity_counts_steps(surprise: float, text: str) -> None:
    assert rarity(surprise) == text


def test_asset_keeps_table_document_and_check(tmp_path: Path, home: Path, instance: dg.DagsterInstance) -> None:
    feed = small_feed(write_readings(tmp_path / "readings.csv"))
    layers = [key(feed, name) for name in ("raw", "bronze", "silver", "anomalies")]
    done = refresh(feed, home, instance, selection=layers)
    assert done.success
    shown, document = metadata(done, key(feed, "anomalies")), state.document(home, "small").read()
    assert document is not None
    assert shown["status"] == "computed"
    assert shown["steps_looked_at"] == 2 * 7 * 24
    assert shown["events_90_days"] == len(document.events) == shown["dagster/row_count"]
    assert document.newest.keys() == {"AAA", "BBB"}
    assert check(done, "calm").passed == (not document.open())
    assert shown_columns(feed, home, key(feed, "anomalies")) == stored_columns(home, "small/anomalies")

    again = refresh(feed, home, instance, selection=layers)
    assert again.success
    assert metadata(again, key(feed, "anomalies"))["status"] == "unchanged"
