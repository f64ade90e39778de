"""Releases in an object store: complete or invisible, numbers claimed once, pointers moved by compare-and-swap."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.releases import release, storage
from aerocast.releases.release import Current
from aerocast.storage.atomic import Stamp
from aerocast.storage.home import ObjectHome, store_of
from aerocast.storage.objects import ObjectStore
from tests.factories.releases import graph, manifest, publish, write_release

KEY = ("noaa", "temperature")
PLACE = "releases/noaa/temperature"
POINTER = "promoted/noaa/temperature/current.json"


class Killed(BaseException):
    """The writer is gone: nothing catches this."""


def write_and_die(home: ObjectHome, number: int, monkeypatch: pytest.MonkeyPatch, documents: int) -> None:
    """A writer that is killed when it has put so many documents."""
    real, left = ObjectStore.swap, iter(range(documents))

    def swap(store: ObjectStore, name: str, data: bytes, seen: Stamp | None, **options: bool) -> bool:
        if next(left, None) is None:
            raise Killed
        return real(store, name, data, seen)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "swap", swap)
        with pytest.raises(Killed):
            write_release(home, number)


def test_release_round_trips(bucket: ObjectHome) -> None:
    assert release.versions(bucket, *KEY) == []
    assert release.current(bucket, *KEY) is None
    made = manifest(7)
    version = release.write(bucket, made, {"model.onnx": graph()})
    assert version == "0001-00000007"
    loaded = release.load(bucket, *KEY, version)
    assert loaded.files == {"model.onnx": graph()}
    assert loaded.manifest == made.stamped(version, {"model.onnx": loaded.manifest.graphs.station.sha256})
    assert write_release(bucket, 7, b"other bytes") == version, "the same config_hash is written once"
    assert write_release(bucket, 8) == "0002-00000008"
    for _ in range(2):
        assert [entry.version for entry in release.history(bucket, *KEY)] == ["0002-00000008", version]
    assert not bucket.work.exists(), "nothing of a release is kept on the machine"


def test_pointers_move_and_one_listing_discovers_them(bucket: ObjectHome, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(release.discover(bucket)) == []
    first, second = publish(bucket, 1), write_release(bucket, 2)
    publish(bucket, 1, target="pressure")
    before = {key: stamp for *key, stamp in release.discover(bucket) for key in [tuple(key)]}
    named = release.challenge(bucket, *KEY, second)
    assert named == release.challenger(bucket, *KEY)
    assert release.challenger_stamp(bucket, *KEY) is not None
    moved = release.promote(bucket, *KEY, second)
    assert (moved.version, moved.previous) == (second, first)
    assert release.promote(bucket, *KEY, second) == moved == release.current(bucket, *KEY)
    assert release.challenger(bucket, *KEY) is None
    assert release.challenger_stamp(bucket, *KEY) is None
    with pytest.raises(AeroCastError, match="no other one serves"):
        release.challenge(bucket, *KEY, second)
    monkeypatch.setattr(ObjectStore, "read_stamped", None)
    monkeypatch.setattr(ObjectStore, "stamp", None)
    after = {key: stamp for *key, stamp in release.discover(bucket) for key in [tuple(key)]}
    assert set(after) == set(before) == {KEY, ("noaa", "pressure")}
    assert after[KEY] != before[KEY]
    assert after["noaa", "pressure"] == before["noaa", "pressure"]


@pytest.mark.parametrize("documents", range(4))
def test_partial_release_of_killed_writer_is_invisible(
    bucket: ObjectHome, monkeypatch: pytest.MonkeyPatch, documents: int
) -> None:
    write_and_die(bucket, 1, monkeypatch, documents)
    assert len(store_of(bucket).names(PLACE)) == max(0, documents - 1), "the claim is no document of the release"
    assert release.versions(bucket, *KEY) == []
    assert release.history(bucket, *KEY) == []
    with pytest.raises(AeroCastError, match="there is no release '0001-00000001'"):
        release.promote(bucket, *KEY, "0001-00000001")
    again = write_release(bucket, 1)
    assert again == ("0001-00000001" if documents == 0 else "0002-00000001"), "a number is claimed for good"
    assert release.promote(bucket, *KEY, again).version == again


def test_leftovers_of_killed_writer_are_removed_after_one_day(
    bucket: ObjectHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_and_die(bucket, 1, monkeypatch, 3)
    left = f"{PLACE}/0001-00000001/model.onnx"
    write_release(bucket, 2)
    assert store_of(bucket).read(left) == b"graph", "its writer may be slow, not dead"
    claim = storage._Claim("0001-00000001", datetime.now(UTC) - timedelta(days=2), "somebody")
    store_of(bucket).replace(f"{PLACE}/.claims/0001", msgspec.json.encode(claim))
    write_release(bucket, 3)
    assert [name for name in store_of(bucket).names(PLACE) if "/0001-" in name] == []
    assert release.versions(bucket, *KEY) == ["0002-00000002", "0003-00000003"]


@pytest.mark.parametrize("file", ["model.onnx", "manifest.json", "SHA256SUMS"])
def test_damaged_object_is_detected_and_named(bucket: ObjectHome, file: str) -> None:
    first = publish(bucket, 1)
    version = write_release(bucket, 2)
    name = f"{PLACE}/{version}/{file}"
    data = bytearray(store_of(bucket).read(name) or b"")
    data[len(data) // 2] ^= 1
    store_of(bucket).replace(name, bytes(data))
    with pytest.raises(AeroCastError, match=f"release {bucket}/{PLACE}/{version} is damaged: ") as caught:
        release.promote(bucket, *KEY, version)
    assert "\n" not in str(caught.value)
    pointer = release.current(bucket, *KEY)
    assert pointer is not None
    assert pointer.version == first
    if file == "model.onnx":
        store_of(bucket).remove(name)
        with pytest.raises(AeroCastError, match=r"is damaged: model\.onnx cannot be read: there is no such object"):
            release.load(bucket, *KEY, version)


def test_concurrent_writers_get_separate_numbers(bucket: ObjectHome) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda number: write_release(bucket, number), range(1, 7)))
    assert sorted(release._number(version) for version in written) == list(range(1, 7))
    assert release.versions(bucket, *KEY) == sorted(written)


def test_second_of_two_promotions_names_the_first(bucket: ObjectHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both read the same pointer before either writes: the loser must not lose the winner's promotion."""
    first = publish(bucket, 1)
    rivals = write_release(bucket, 2), write_release(bucket, 3)
    both, real, tries = threading.Barrier(2, timeout=20), ObjectStore.swap, []

    def swap(store: ObjectStore, name: str, data: bytes, seen: Stamp | None, **options: bool) -> bool:
        tries.append(name)
        if len(tries) <= 2:
            both.wait()
        return real(store, name, data, seen)

    monkeypatch.setattr(ObjectStore, "swap", swap)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda version: release.promote(bucket, *KEY, version), rivals))
    assert tries == [POINTER] * 3, "one of them had to look again"
    last = release.current(bucket, *KEY)
    winner = next(pointer for pointer in done if pointer == last)
    other = next(pointer for pointer in done if pointer != last)
    assert (other.previous, winner.previous) == (first, other.version)


def test_lost_answer_to_swap_is_not_failure(bucket: ObjectHome) -> None:
    """The client asks again when an answer is lost, and then finds what it has put itself."""
    data = msgspec.json.encode(Current("0001-00000001", datetime.now(UTC)))
    assert store_of(bucket).swap(POINTER, data, None)
    assert store_of(bucket).swap(POINTER, data, None)


def test_serving_release_never_challenges_itself(bucket: ObjectHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """A promotion slips in between a challenge's look at what serves and its own writing."""
    publish(bucket, 1)
    second, real = write_release(bucket, 2), ObjectStore.swap

    def swap(store: ObjectStore, name: str, data: bytes, seen: Stamp | None, **options: bool) -> bool:
        monkeypatch.setattr(ObjectStore, "swap", real)
        release.promote(bucket, *KEY, second)
        return real(store, name, data, seen)

    monkeypatch.setattr(ObjectStore, "swap", swap)
    release.challenge(bucket, *KEY, second)
    assert release.challenger(bucket, *KEY) is None
