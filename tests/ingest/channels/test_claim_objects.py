"""What a claim may name: objects below the declared prefixes; of anything else it learns nothing, not even a stat."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from aerocast.common.errors import AeroCastError
from aerocast.ingest.channels import claim_objects
from aerocast.ingest.channels.claim_objects import ClaimPrefixes, Unusable
from aerocast.storage.home import ObjectHome, store_of
from tests.harness.object_store import new_home, object_store

CONTENT = b"readings"


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    """A declared prefix with one object; `tmp_path/secret` lies outside."""
    folder = tmp_path / "landing"
    folder.mkdir()
    (folder / "a.parquet").write_bytes(CONTENT)
    return folder


def prefixes(landing: Path) -> ClaimPrefixes:
    return ClaimPrefixes.of(landing.parent / "home", f"{landing},s3://bucket/landing")


def answer(landing: Path, uri: str) -> str:
    """What is said of a claim; the name that the claim gives is left out."""
    try:
        with prefixes(landing).copy(uri) as (path, sha256):
            assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
            return path.read_text()
    except (Unusable, AeroCastError) as error:
        return f"{type(error).__name__}: {str(error).replace(uri, '<uri>')}"


OUTSIDE = "Unusable: uri: <uri> names no object below a prefix for claims: see AEROCAST_CLAIM_PREFIXES"
NOWHERE = "Unusable: uri: there is no file <uri>"
NAMES = {
    "a path": "{0}/secret",
    "a URL": "file://{0}/secret",
    "a URL of this host": "file://localhost{0}/secret",
    "the prefix's begin": "{0}/landing-secret",
    "the prefix itself": "{0}/landing",
    "two dots": "{0}/landing/../secret",
    "two dots inside": "{0}/landing/b/../../secret",
    "one dot": "{0}/./landing/a.parquet",
    "two slashes": "{0}/landing//a.parquet",
    "two slashes first": "/{0}/secret",
    "encoded dots": "file://{0}/landing/%2e%2e/secret",
    "encoded slash": "file://{0}/landing/..%2fsecret",
    "encoded letters": "file://{0}/%73ecret",
    "an encoded NUL": "file://{0}/landing/a%00",
    "another case": "{0}/LANDING/a.parquet",
    "a scheme in capitals": "FILE://{0}/landing/a.parquet",
    "another host": "file://example{0}/landing/a.parquet",
    "no slashes": "file:{0}/landing/a.parquet",
    "another scheme": "https://localhost{0}/landing/a.parquet",
    "a relative path": "landing/a.parquet",
    "a home": "~/secret",
    "another bucket": "s3://other/landing/a.parquet",
    "a bucket of such a begin": "s3://bucket2/landing/a.parquet",
    "another prefix": "s3://bucket/secret/a.parquet",
    "a prefix of such a begin": "s3://bucket/landing-2/a.parquet",
    "a bucket's dots": "s3://bucket/landing/../secret",
    "a bucket's encoded dots": "s3://bucket/landing/%2e%2e/secret",
    "a bucket in another case": "s3://bucket/LANDING/a.parquet",
    "a scheme of buckets in capitals": "S3://bucket/landing/a.parquet",
    "a process": "/proc/self/environ",
}


@pytest.mark.parametrize("name", NAMES)
def test_name_outside_prefix_gets_one_answer_whatever_is_there(name: str, landing: Path) -> None:
    uri, answers = NAMES[name].format(landing.parent), set[str]()
    for secret in (landing.parent / "secret", landing.parent / "landing-secret"):
        answers.add(answer(landing, uri))
        secret.write_text("secret")
        answers.add(answer(landing, uri))
        secret.chmod(0)
        answers.add(answer(landing, uri))
        secret.unlink()
        secret.mkdir()
        answers.add(answer(landing, uri))
    assert answers == {OUTSIDE}


def noted(function: Callable[..., object], calls: list[str]) -> Callable[..., object]:
    def call(path: object, *rest: object, **options: object) -> object:
        calls.append(os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path))
        return function(path, *rest, **options)

    return call


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_asked_about_what_lies_outside(name: str, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, allowed, calls = NAMES[name].format(landing.parent), prefixes(landing), list[str]()
    for function in ("stat", "lstat", "open", "access", "readlink", "scandir", "listdir"):
        monkeypatch.setattr(os, function, noted(getattr(os, function), calls))
    for each in (uri, f"{landing}/a.parquet"):
        with suppress(Unusable), allowed.copy(each):
            pass
    assert "a.parquet" in calls, "an object's own name is opened"
    assert [call for call in calls if "secret" in call or "environ" in call or "LANDING" in call] == []


@pytest.mark.parametrize("link", ["link", "folder/secret", "folder"])
@pytest.mark.parametrize("is_inside", [False, True])
def test_link_below_prefix_is_not_followed(link: str, is_inside: bool, landing: Path) -> None:
    """Not even one that stays inside, and the answer is the same whether it leads anywhere."""
    place = landing if is_inside else landing.parent
    (landing / "link").symlink_to(place / "secret")
    (landing / "folder").symlink_to(place / "deep")
    answers = {answer(landing, f"{landing}/{link}")}
    (place / "secret").write_text("secret")
    (place / "deep").mkdir()
    (place / "deep" / "secret").write_text("secret")
    assert answers | {answer(landing, f"{landing}/{link}")} == {NOWHERE}


def test_link_in_place_of_folder_is_not_followed_while_object_is_opened(
    landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where somebody changes a folder into a link between two steps."""
    (landing / "b").mkdir()
    (landing / "b" / "secret").write_text("public")
    (landing.parent / "secret").write_text("secret")
    real = os.open

    def swapping(path: object, flags: int, **options: int) -> int:
        if path == "b":
            (landing / "b").rename(landing / "c")
            (landing / "b").symlink_to(landing.parent)
        return real(path, flags, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(claim_objects.os, "open", swapping)
    assert answer(landing, f"{landing}/b/secret") == NOWHERE


@pytest.mark.parametrize("uri", ["{0}/a.parquet", "file://{0}/a.parquet", "file://localhost{0}/%61.parquet"])
def test_object_below_prefix_is_copied(uri: str, landing: Path) -> None:
    assert answer(landing, uri.format(landing)) == CONTENT.decode()


def test_prefix_that_is_link_is_followed(landing: Path) -> None:
    """The declaration is the operator's, and both names are good."""
    (landing.parent / "link").symlink_to(landing)
    allowed = ClaimPrefixes.of(landing.parent / "home", str(landing.parent / "link"))
    for name in ("link", "landing"):
        with allowed.copy(f"{landing.parent}/{name}/a.parquet") as copy:
            assert copy.path.read_bytes() == CONTENT


def test_what_is_no_file_is_not_waited_for(landing: Path) -> None:
    os.mkfifo(landing / "pipe")
    (landing / "folder").mkdir()
    for name in ("pipe", "folder", "none", "a.parquet/b", "a" * 300, "\udcff", "\ud800"):
        assert answer(landing, f"{landing}/{name}").startswith("Unusable: uri: there is no file ")


def test_name_forges_no_line(landing: Path) -> None:
    for uri in (f"{landing}/a\nERROR", f"{landing.parent}/a\nERROR", "s3://bucket/landing/a\r\nERROR"):
        with pytest.raises((Unusable, AeroCastError)) as refusal, prefixes(landing).copy(uri):
            pass
        assert "\n" not in str(refusal.value)


def test_object_that_grows_beyond_limit_is_refused(landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_objects, "LARGEST", len(CONTENT) - 1)
    assert "at most 7 bytes" in answer(landing, f"{landing}/a.parquet")


def test_home_has_prefix_of_its_own_and_no_other(tmp_path: Path) -> None:
    for name in ("claims", "lake"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(CONTENT)
    allowed = ClaimPrefixes.of(tmp_path)
    with allowed.copy(f"{tmp_path}/claims/a") as copy:
        assert copy.path.read_bytes() == CONTENT
    with pytest.raises(Unusable, match="names no object"), allowed.copy(f"{tmp_path}/lake/a"):
        pass


@pytest.mark.parametrize("declared", ["http://bucket/a", "s3://bucket/a b", "s3://"])
def test_prefix_of_another_kind_is_refused(declared: str, tmp_path: Path) -> None:
    with pytest.raises(AeroCastError, match="AEROCAST_CLAIM_PREFIXES"):
        ClaimPrefixes.of(tmp_path, declared)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectHome]:
    with object_store(monkeypatch):
        yield new_home(tmp_path / "work", "landing")


def test_object_of_declared_bucket_alone_is_copied(bucket: ObjectHome, tmp_path: Path) -> None:
    for name in ("a.parquet", "%2e%2e", "deep/%41"):
        store_of(bucket).replace(name, CONTENT)
    store_of(f"{bucket}-2").replace("a.parquet", b"secret")
    allowed = ClaimPrefixes.of(tmp_path, str(bucket))
    for name in ("a.parquet", "deep/%41"):
        with allowed.copy(f"{bucket}/{name}") as copy:
            assert copy.path.read_bytes() == CONTENT
    for uri, reason in {
        f"{bucket}-2/a.parquet": "names no object",
        f"{bucket}/%2e%2e": "names no object",
        f"{bucket}/deep/A": "there is no object",
        f"{bucket}/A.parquet": "there is no object",
    }.items():
        with pytest.raises(Unusable, match=reason), allowed.copy(uri):
            pass
