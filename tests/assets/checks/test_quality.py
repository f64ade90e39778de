"""What checks look at: the months of their run, or all there are when they run alone."""

from pathlib import Path

import dagster as dg
import pytest

from aerocast.feed.declaration import Feed
from aerocast_assets.keys import key
from tests.harness.graph import check, definitions, refresh


@pytest.mark.e2e  # months in several runs
def test_backfill_of_month_is_checked_by_that_month(feed: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    tables = [key(feed, layer) for layer in ("raw", "bronze")]
    assert refresh(feed, home, instance, selection=tables).success
    one = refresh(feed, home, instance, ["2024-03"], selection=tables)
    assert check(one, "nothing_lost").metadata["months"].value == "2024-03 to 2024-03"
    assert check(one, "key_unique").metadata["rows"].value == 31 * 24 * 2


def test_checks_alone_cover_all_months(feed: Feed, home: Path, instance: dg.DagsterInstance) -> None:
    assert refresh(feed, home, instance, selection=[key(feed, layer) for layer in ("raw", "bronze")]).success
    found = definitions(home, feed).resolve_implicit_global_asset_job_def()
    name = dg.AssetCheckKey(key(feed, "bronze"), "nothing_lost")
    alone = found.get_subset(asset_selection=set(), asset_check_selection={name})
    result = alone.execute_in_process(instance=instance)
    assert check(result, "nothing_lost").metadata["months"].value == "2024-01 to 2024-04"
