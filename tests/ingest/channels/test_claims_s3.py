"""Claims whose objects lie in an object store, over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from aerocast.feed.declaration import Feed
from aerocast.ingest.brokers import Broker, connect
from aerocast.ingest.channels import claim_objects
from aerocast.ingest.channels.claim_objects import ClaimPrefixes
from aerocast.ingest.channels.claims import announce, take_claims
from aerocast.storage.home import ObjectHome, store_of
from tests.factories.claims import hours_in_raw, lookup_of, write_object
from tests.harness.brokers import start_nats
from tests.harness.object_store import new_home, object_store


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectHome]:
    with object_store(monkeypatch):
        yield new_home(tmp_path / "work", "landing")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with start_nats(tmp_path) as running, connect(running.url) as connected:
        yield connected


def test_objects_are_uploaded_before_announcement_and_taken_once(
    bucket: ObjectHome, broker: Broker, feed: Feed, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_object(tmp_path / "a.parquet", range(4))
    (claim,) = announce(broker, "training-data", feed, [path], bucket)
    assert claim.uri == f"{bucket}/claims/small/{claim.sha256}.parquet"
    name = f"claims/small/{claim.sha256}.parquet"
    assert store_of(bucket).read(name) == path.read_bytes()

    gone = msgspec.structs.replace(claim, sha256="0" * 64, uri=f"{bucket}/gone.parquet")
    nowhere = msgspec.structs.replace(gone, uri="s3://no-such-bucket/a.parquet")
    for number, each in enumerate((gone, nowhere)):
        broker.publish("training-data", msgspec.json.encode(each), f"{number}")
    prefixes = ClaimPrefixes.of(home, f"{bucket},s3://no-such-bucket")
    taken = take_claims(broker, home, lookup_of(feed), quiet=1.5, prefixes=prefixes)
    assert taken.rows == {"small": 4}
    assert [refused.error for refused in taken.dead] == [f"uri: there is no object {gone.uri}"]
    # A bucket that is not there says nothing about its objects: a wrong account must not make dead letters of all.
    assert ["NoSuchBucket" in refused.error for refused in taken.postponed] == [True]

    monkeypatch.setattr(claim_objects, "LARGEST", 100)
    broker.publish("training-data", msgspec.json.encode(msgspec.structs.replace(claim, sha256="1" * 64)), "large")
    (large,) = take_claims(broker, home, lookup_of(feed), quiet=1.0, prefixes=prefixes).dead
    assert "announce it in parts of at most 100" in large.error

    store_of(bucket).remove(name)
    broker.publish("inference-data", msgspec.json.encode(claim), "again")
    assert take_claims(broker, home, lookup_of(feed), quiet=1.0, prefixes=prefixes).repeats == 1
    assert hours_in_raw(home) == list(range(4))
