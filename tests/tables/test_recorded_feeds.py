"""Recorded data sets as feeds: a declaration alone (tests/data/feeds), and every row that was recorded is in bronze."""

import json
import os
from pathlib import Path

import pytest
import yaml

from aerocast.feed.declaration import Feed
from tests import DATA, SHARED
from tests.harness.deliveries import Deliveries

FEEDS = DATA / "feeds"
LARGE = {"beijing", "bloomsbury", "pjm", "openair", "nab", "jena", "kmsn", "elec2", "aurn"}
# Two readings of one station and time are one row of bronze: what was polled again, and the hours in which clocks went
# back (of pjm two values each), or files that say a time twice.
REPEATED = {"nws_stream": 5201, "nws_lines": 201, "jena": 1}
# A wall clock's time that no clock showed.
QUARANTINED: dict[str, int] = {}

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="needs AEROCAST_TEST_DATA")
heavy = [pytest.param(name, marks=pytest.mark.e2e) if name in LARGE else name for name in sorted(
    path.stem for path in FEEDS.glob("*.yaml"))]  # fmt: skip


def declared(name: str) -> Feed:
    os.environ["AEROCAST_TEST_DATA"] = str(SHARED)
    return Feed.parse(yaml.safe_load((FEEDS / f"{name}.yaml").read_text(encoding="utf-8"))["attributes"])


def recorded_rows(feed: Feed) -> int:
    """The rows of the manifest of the files that the feed reads."""
    path = Path(os.path.expandvars(feed.source.path))
    folder = path if path.is_dir() else path.parent
    pattern = f"*{feed.source.endings[0]}" if path.is_dir() else path.name
    files = [each.name for each in folder.glob(pattern)]
    if feed.source.kind == "json":  # whose manifest counts documents
        documents = [json.loads((folder / name).read_text(encoding="utf-8")) for name in files]
        return sum(each["n_obs"] if "n_obs" in each else len(each["features"]) for each in documents)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return sum(each["rows"] for each in manifest if each["file"] in files)


@pytest.mark.e2e
@pytest.mark.parametrize("name", heavy)
def test_every_recorded_row_is_in_bronze(home: Path, name: str) -> None:
    feed = declared(name)
    made = Deliveries(home, feed)
    books = made()
    assert not made.taken.failures
    assert books.rows_in == recorded_rows(feed)
    assert made.rules() == {}
    assert books.bronze == books.rows_in - REPEATED.get(name, 0) - QUARANTINED.get(name, 0)
