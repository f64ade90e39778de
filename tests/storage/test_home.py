"""Homes: what the settings name, and what a home in an object store is as a path and as text."""

import os
import re
from pathlib import Path

import pytest

from aerocast.common.errors import AeroCastError
from aerocast.storage.home import Home, ObjectHome, home_of
from aerocast.storage.settings import Settings
from cli.__main__ import main


def named(home: str, **more: str) -> Home:
    return home_of(Settings.model_validate({"home": home, **more}))


def test_folder_home_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert named("here/there") == tmp_path / "here" / "there"


def test_object_home_url_survives_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEROCAST_HOME", "s3://bucket/some/prefix/")
    monkeypatch.setenv("AEROCAST_WORK", str(tmp_path))
    home = home_of(Settings())
    assert home == ObjectHome("s3://bucket/some/prefix", tmp_path)
    assert str(home) == "s3://bucket/some/prefix"
    assert (Path(home), home / "clock", os.fspath(home)) == (tmp_path, tmp_path / "clock", str(tmp_path))


def test_object_stores_have_separate_work_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AEROCAST_WORK", raising=False)
    assert Path(named("s3://bucket/one")) == tmp_path / ".aerocast/work/bucket/one"
    assert Path(named("s3://bucket/two")) == tmp_path / ".aerocast/work/bucket/two"


@pytest.mark.parametrize(
    "url",
    [
        "gs://bucket/home", "https://host/home", "file:///tmp/home", "s3://", "s3://b", "s3://Bucket/home",
        "s3://bucket//home", "s3://bucket/../home", "s3://bucket/a b", "s3://bucket/*", "s3://bucket/home?x=1",
    ],
)  # fmt: skip
def test_invalid_home_raises_one_sentence(url: str) -> None:
    with pytest.raises(AeroCastError, match=r"AEROCAST_HOME=.* cannot be used; allowed: a folder, or s3") as caught:
        named(url)
    assert url in str(caught.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("gs://bucket/home", "AEROCAST_HOME='gs://bucket/home' cannot be used; allowed: a folder, or s3://"),
        (
            "s3://nobody-has-this/home",
            "AEROCAST_HOME: s3://nobody-has-this/home/.* could not be read: .*NoSuchBucket",
        ),
    ],
)
def test_command_refuses_invalid_home_at_once(
    objects: None,
    tmp_path: Path,
    url: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AEROCAST_HOME", url)
    monkeypatch.setenv("AEROCAST_WORK", str(tmp_path))
    assert main(["sql"]) == 1
    assert re.fullmatch(f"error: {says}.*\n", capsys.readouterr().err)
