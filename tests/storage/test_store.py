"""Small documents: the same behaviour in a folder and in an object store."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aerocast.common.errors import AeroCastError
from aerocast.storage import objects
from aerocast.storage.home import Home, ObjectHome, store_of


@pytest.fixture(params=["folder", "objects"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return tmp_path if request.param == "folder" else request.getfixturevalue("bucket")


def test_document_is_written_read_and_removed(home: Home) -> None:
    assert (store_of(home).read("declared/noaa.json"), store_of(home).stamp("declared/noaa.json")) == (None, None)
    assert store_of(home).names("declared") == []
    store_of(home).replace("declared/noaa.json", b"1")
    first = store_of(home).stamp("declared/noaa.json")
    store_of(home).replace("declared/noaa.json", b"22")
    store_of(home).replace("declared/deep/er.json", b"3")
    store_of(home).replace("declared-too/x", b"4")
    assert store_of(home).read("declared/noaa.json") == b"22"
    assert store_of(home).stamp("declared/noaa.json") not in (None, first)
    assert store_of(home).names("declared/") == ["declared/deep/er.json", "declared/noaa.json"]
    assert store_of(home).stamps("declared")["declared/noaa.json"] == store_of(home).stamp("declared/noaa.json")
    for _ in range(2):
        store_of(home).remove("declared/noaa.json")
        assert store_of(home).read("declared/noaa.json") is None


def test_swap_requires_current_stamp(home: Home) -> None:
    assert store_of(home).swap("a/b.json", b"one", None)
    assert not store_of(home).swap("a/b.json", b"two", None), "it is there already"
    found = store_of(home).read_stamped("a/b.json")
    assert found is not None
    assert found[0] == b"one"
    assert store_of(home).swap("a/b.json", b"two", found[1])
    assert not store_of(home).swap("a/b.json", b"three", found[1]), "it was overtaken"
    assert store_of(home).read("a/b.json") == b"two"
    store_of(home).remove("a/b.json")
    assert not store_of(home).swap("a/b.json", b"four", found[1]), "it is gone"


def test_concurrent_swaps_lose_no_update(home: Home) -> None:
    """Each adds its letter to what it read, until that went through."""

    def add(letter: str) -> None:
        while True:
            data, seen = store_of(home).read_stamped("word") or (b"", None)
            if store_of(home).swap("word", data + letter.encode(), seen):
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, "abcdefgh"))
    assert sorted((store_of(home).read("word") or b"").decode()) == list("abcdefgh")


def test_origin_note_belongs_to_its_document(home: Home) -> None:
    assert store_of(home).origin("tail/noaa.npz") is None
    store_of(home).replace("tail/noaa.npz", b"rows")
    store_of(home).note_origin("tail/noaa.npz", "cafe")
    assert store_of(home).origin("tail/noaa.npz") == "cafe"
    assert store_of(home).names("tail") == ["tail/noaa.npz"]
    store_of(home).remove("tail/noaa.npz")
    assert store_of(home).origin("tail/noaa.npz") is None


def test_origin_holds_only_while_document_is_as_noted(home: Home) -> None:
    for damaged in (b"rows and colum", b"rows and c0lumns", b"", b"\xff"):
        store_of(home).replace("tail/noaa.npz", b"rows and columns")
        store_of(home).note_origin("tail/noaa.npz", "cafe")
        assert store_of(home).origin("tail/noaa.npz") == "cafe"
        store_of(home).replace("tail/noaa.npz", damaged)
        assert store_of(home).origin("tail/noaa.npz") is None
        store_of(home).replace("tail/.noaa.npz.from", damaged)
        assert store_of(home).origin("tail/noaa.npz") is None


@pytest.mark.parametrize("method", ["read", "stamp", "size", "exists"])
def test_link_in_circle_is_named_by_every_question(method: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to("a.json")
    with pytest.raises(AeroCastError, match=rf"{tmp_path}/a\.json cannot be read: Too many levels"):
        getattr(store_of(tmp_path), method)("a.json")


def test_folder_in_place_of_document_is_named_by_write(tmp_path: Path) -> None:
    (tmp_path / "exports" / "a.json").mkdir(parents=True)
    with pytest.raises(AeroCastError, match=rf"to {tmp_path}/exports/a\.json: Is a directory"):
        store_of(tmp_path).replace("exports/a.json", b"1")


def test_missing_bucket_reports_no_documents(objects: None, tmp_path: Path) -> None:
    home = ObjectHome("s3://nobody-has-this/home", tmp_path)
    for use in (
        lambda: store_of(home).read("a"),
        lambda: store_of(home).replace("a", b""),
        lambda: store_of(home).names("a"),
        lambda: store_of(home).probe(writes=True),
    ):
        with pytest.raises(AeroCastError, match=r"s3://nobody-has-this/home/\S+ could not be .*NoSuchBucket") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_unreachable_store_raises_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setattr(objects, "_RETRY_SECONDS", 0.1)
    with pytest.raises(AeroCastError, match="could not be read: the object store does not answer: see AWS_ENDPOINT"):
        store_of(ObjectHome("s3://bucket/home", tmp_path)).read("a")
