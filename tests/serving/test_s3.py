"""A server whose home is an object store: it finds, verifies, loads and swaps what others put into the bucket."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts import tail
from aerocast.releases import release
from aerocast.storage import objects
from aerocast.storage.home import ObjectHome, store_of
from serving.__main__ import _home as home_for_serving
from serving.config import read_settings
from serving.hot_swap import ServingStore
from tests.factories.releases import graph, manifest, publish
from tests.factories.tails import grid, write_tail
from tests.harness.server import Server
from tests.harness.waits import until

POINTER = "promoted/noaa/temperature/current.json"


@pytest.fixture
def http(bucket: ObjectHome) -> Iterator[httpx.Client]:
    """A server on release 1 and a tail, both in the bucket."""
    publish(bucket, 1, bias=1.0)
    write_tail(bucket)
    work = {"AEROCAST_WORK": str(bucket.work), "AEROCAST_LOG_SECONDS": "0.1"}
    with Server(bucket, settings=work) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def release_of(http: httpx.Client) -> dict[str, str]:
    found: dict[str, str] = http.get("/health").json()["releases"][0]
    return found


def test_promotions_tails_and_faults_in_bucket_reach_server(http: httpx.Client, bucket: ObjectHome) -> None:
    before = http.post("/predict", json={"station": "JFK"}).json()
    assert before["model"]["version"] == "0001-00000001"
    version = publish(bucket, 2, bias=5.0)
    until(lambda: release_of(http)["version"] == version)
    after = http.post("/predict", json={"station": "JFK"}).json()
    assert after["forecasts"][0]["value"] == pytest.approx(before["forecasts"][0]["value"] + 4)

    tail.write_grids(bucket, "noaa", {"JFK": grid("JFK", level=60.0)})
    until(lambda: http.post("/predict", json={"station": "JFK"}).json()["forecasts"][0]["value"] > 70)

    damaged = release.write(bucket, manifest(3), {"model.onnx": graph()})
    store_of(bucket).replace(f"releases/noaa/temperature/{damaged}/model.onnx", b"something else")
    data, seen = store_of(bucket).read_stamped(POINTER) or (b"", None)
    assert store_of(bucket).swap(POINTER, data.replace(version.encode(), damaged.encode()), seen)
    until(lambda: "is damaged" in http.get("/health").text)
    assert release_of(http)["version"] == version, "the good one serves on"

    assert version in http.get("/models").text
    assert list(bucket.work.glob("log/**/*.*")), "answers are logged on this machine"
    assert not any("log" in name for name in store_of(bucket).names(""))


@pytest.mark.parametrize(
    ("url", "says"), [("gs://bucket/home", "cannot be used"), ("s3://nobody/home", "NoSuchBucket")]
)
def test_unusable_home_raises_one_sentence(
    objects: None, tmp_path: Path, url: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEROCAST_HOME", url)
    monkeypatch.setenv("AEROCAST_WORK", str(tmp_path))
    with pytest.raises(AeroCastError, match=says) as caught:
        home_for_serving(read_settings())
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_unreachable_store_keeps_release_serving(bucket: ObjectHome, monkeypatch: pytest.MonkeyPatch) -> None:
    version = publish(bucket, 1)
    write_tail(bucket)
    server = ServingStore(bucket)
    server.poll()
    assert server.listing.error is None
    monkeypatch.setattr(objects, "_RETRY_SECONDS", 0.1)
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        server.poll()
    assert "the object store does not answer" in (server.listing.error or "")
    assert [served.manifest.version for served in server.serving()] == [version]
    server.poll()
    assert server.listing.error is None
