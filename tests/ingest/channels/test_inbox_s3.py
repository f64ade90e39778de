"""The inbox as a prefix in an object store: only what a manifest announces is taken, and it is moved as in a folder."""

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import channels_of
from aerocast.ingest.channels.inbox import Inbox
from aerocast.storage.home import ObjectHome, store_of
from aerocast.storage.settings import Settings
from tests.factories.feeds import small_feed
from tests.harness.object_store import new_home, object_store

TEXT = b"station,time,t\nAAA,2024-01-05T00:00:00Z,1.5\nBBB,2024-01-05T00:00:00Z,2.5\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectHome]:
    with pytest.MonkeyPatch.context() as patch, object_store(patch):
        yield new_home(tmp_path_factory.mktemp("work"))


def announce(home: ObjectHome, name: str, sha256: str) -> None:
    store_of(home).replace(f"inbox/small/{name}.manifest.json", json.dumps({"sha256": sha256}).encode())


def test_objects_with_manifest_are_taken_or_rejected(home: ObjectHome) -> None:
    feed: Feed = small_feed(Path("readings.csv"))
    channel = next(
        channel for channel in channels_of(home, feed, Settings(home=home.url)) if isinstance(channel, Inbox)
    )
    assert channel.backlog() == 0
    assert list(channel.take(feed)) == []
    for name in ("good.csv", "cut.csv", "silent.csv"):
        store_of(home).replace(f"inbox/small/{name}", TEXT[:-9] if name == "cut.csv" else TEXT)
    announce(home, "good.csv", hashlib.sha256(TEXT).hexdigest())
    announce(home, "cut.csv", hashlib.sha256(TEXT).hexdigest())
    assert channel.backlog() == 2
    (batch,) = channel.take(feed)
    assert [each.segment for each in channel.take(feed)] == [batch.segment], "looked at again it is the same delivery"
    assert batch.table["t"].to_pylist() == ["1.5", "2.5"]
    channel.confirm(batch)
    impatient = Inbox(f"{home.url}/inbox", home, feed.name, grace=0)
    assert list(impatient.take(feed)) == []
    assert [note.split("; ")[0] for note in impatient.notes] == [f"{home.url}/inbox/small/silent.csv has no manifest"]
    assert [why.file for why in impatient.rejection_reasons()] == ["cut.csv"]
    assert store_of(home).names("inbox") == [
        f"inbox/small/{name}"
        for name in (
            "done/good.csv",
            "done/good.csv.manifest.json",
            "rejected/cut.csv",
            "rejected/cut.csv.manifest.json",
            "rejected/cut.csv.reason.json",
            "silent.csv",
        )
    ]


def test_reuploaded_object_is_new_delivery(home: ObjectHome) -> None:
    feed: Feed = small_feed(Path("readings.csv"))
    channel = Inbox(f"{home.url}/again", home, feed.name)
    segments = []
    for _ in range(2):
        store_of(home).replace("again/small/a.csv", TEXT)
        manifest = json.dumps({"sha256": hashlib.sha256(TEXT).hexdigest()}).encode()
        store_of(home).replace("again/small/a.csv.manifest.json", manifest)
        (batch,) = channel.take(feed)
        channel.confirm(batch)
        segments.append(batch.segment)
        time.sleep(1)  # an object store may know the time to the second only
    assert len(set(segments)) == 2


def test_missing_bucket_raises_one_sentence(home: ObjectHome) -> None:
    lost = Inbox("s3://no-such-bucket/inbox", home, "small")
    with pytest.raises(AeroCastError, match="s3://no-such-bucket/inbox/small"):
        lost.backlog()
