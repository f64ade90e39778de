"""The inbox as a prefix in an object store: only what a manifest announces is taken, and it is moved as in a folder."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aerocast import store
from aerocast.doors import doors_of
from aerocast.doors.inbox import Inbox
from aerocast.errors import AeroCastError
from aerocast.feed import Feed
from aerocast.home import ObjectHome
from aerocast.settings import Settings
from tests.making import small_feed
from tests.objects import new_home, object_store

TEXT = b"station,time,t\nAAA,2024-01-05T00:00:00Z,1.5\nBBB,2024-01-05T00:00:00Z,2.5\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectHome]:
    with pytest.MonkeyPatch.context() as patch, object_store(patch):
        yield new_home(tmp_path_factory.mktemp("work"))


def announce(home: ObjectHome, name: str, sha256: str) -> None:
    store.replace(home, f"inbox/small/{name}.manifest.json", json.dumps({"sha256": sha256}).encode())


def test_objects_are_taken_rejected_and_left_alone(home: ObjectHome) -> None:
    feed: Feed = small_feed(Path("readings.csv"))
    door = next(door for door in doors_of(home, feed, Settings(home=home.url)) if isinstance(door, Inbox))
    assert door.waiting() == 0
    assert list(door.take(feed)) == []
    for name in ("good.csv", "cut.csv", "silent.csv"):
        store.replace(home, f"inbox/small/{name}", TEXT[:-9] if name == "cut.csv" else TEXT)
    announce(home, "good.csv", hashlib.sha256(TEXT).hexdigest())
    announce(home, "cut.csv", hashlib.sha256(TEXT).hexdigest())
    assert door.waiting() == 2
    (batch,) = door.take(feed)
    assert batch.segment == f"{hashlib.sha256(TEXT).hexdigest()}/0"
    assert batch.table["t"].to_pylist() == ["1.5", "2.5"]
    door.done(batch)
    impatient = Inbox(f"{home.url}/inbox", home, feed.name, grace=0)
    assert list(impatient.take(feed)) == []
    assert store.names(home, "inbox") == [
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


def test_a_bucket_that_is_not_there_is_one_sentence(home: ObjectHome) -> None:
    lost = Inbox("s3://no-such-bucket/inbox", home, "small")
    with pytest.raises(AeroCastError, match="s3://no-such-bucket/inbox/small"):
        lost.waiting()
