"""Small documents: the same behaviour in a folder and in an object store."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aerocast.errors import AeroCastError
from aerocast.storage import store
from aerocast.storage.home import Home, ObjectHome


@pytest.fixture(params=["folder", "objects"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return tmp_path if request.param == "folder" else request.getfixturevalue("bucket")


def test_a_document_comes_and_goes(home: Home) -> None:
    assert (store.read(home, "declared/noaa.json"), store.stamp(home, "declared/noaa.json")) == (None, None)
    assert store.names(home, "declared") == []
    store.replace(home, "declared/noaa.json", b"1")
    first = store.stamp(home, "declared/noaa.json")
    store.replace(home, "declared/noaa.json", b"22")
    store.replace(home, "declared/deep/er.json", b"3")
    store.replace(home, "declared-too/x", b"4")
    assert store.read(home, "declared/noaa.json") == b"22"
    assert store.stamp(home, "declared/noaa.json") not in (None, first)
    assert store.names(home, "declared/") == ["declared/deep/er.json", "declared/noaa.json"]
    assert store.stamps(home, "declared")["declared/noaa.json"] == store.stamp(home, "declared/noaa.json")
    for _ in range(2):
        store.remove(home, "declared/noaa.json")
        assert store.read(home, "declared/noaa.json") is None


def test_a_swap_needs_the_stamp_that_was_read(home: Home) -> None:
    assert store.swap(home, "a/b.json", b"one", None)
    assert not store.swap(home, "a/b.json", b"two", None), "it is there already"
    found = store.read_stamped(home, "a/b.json")
    assert found is not None
    assert found[0] == b"one"
    assert store.swap(home, "a/b.json", b"two", found[1])
    assert not store.swap(home, "a/b.json", b"three", found[1]), "it was overtaken"
    assert store.read(home, "a/b.json") == b"two"
    store.remove(home, "a/b.json")
    assert not store.swap(home, "a/b.json", b"four", found[1]), "it is gone"


def test_of_many_at_once_nobody_is_lost(home: Home) -> None:
    """Each adds its letter to what it read, until that went through."""

    def add(letter: str) -> None:
        while True:
            data, seen = store.read_stamped(home, "word") or (b"", None)
            if store.swap(home, "word", data + letter.encode(), seen):
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, "abcdefgh"))
    assert sorted((store.read(home, "word") or b"").decode()) == list("abcdefgh")


def test_a_note_of_origin_belongs_to_its_document(home: Home) -> None:
    assert store.made_from(home, "tail/noaa.npz") is None
    store.replace(home, "tail/noaa.npz", b"rows")
    store.note_origin(home, "tail/noaa.npz", "cafe")
    assert store.made_from(home, "tail/noaa.npz") == "cafe"
    assert store.names(home, "tail") == ["tail/noaa.npz"]
    store.remove(home, "tail/noaa.npz")
    assert store.made_from(home, "tail/noaa.npz") is None


def test_a_bucket_that_is_not_there_says_nothing_of_its_documents(objects: None, tmp_path: Path) -> None:
    home = ObjectHome("s3://nobody-has-this/home", tmp_path)
    for use in (
        lambda: store.read(home, "a"),
        lambda: store.replace(home, "a", b""),
        lambda: store.names(home, "a"),
        lambda: store.check(home),
    ):
        with pytest.raises(AeroCastError, match=r"s3://nobody-has-this/home/\S+ could not be .*NoSuchBucket") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_a_store_that_does_not_answer_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setattr(store, "_RETRY_SECONDS", 0.1)
    with pytest.raises(AeroCastError, match="could not be read: the object store does not answer: see AWS_ENDPOINT"):
        store.read(ObjectHome("s3://bucket/home", tmp_path), "a")
