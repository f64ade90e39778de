"""Homes under paths that other programs read as something else: a query, a wildcard, a partition, a user's folder."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.ingest.channels.inbox import inbox_of
from aerocast.lake import Lake
from aerocast.lake.fingerprints import NO_EDGES
from aerocast.storage.home import home_of
from aerocast.storage.settings import Settings
from cli.sql import views
from serving.hot_swap import ServingStore
from tests.factories.releases import publish
from tests.factories.tails import write_tail

ODD = (
    "month=1999-01/temperature=1/env=prod",
    "a b/h#x/p%x/100%/ ends ",
    "b[x]/b[0-9]/s*x/c{a,b}",
    'it\'s/say"so"/$HOME/~x/-x/(x)!',
    "é日本/x;y/a&b/x:y/a+b,c@d",
)
REFUSED = ("what?", "back\\slash", "two\nlines", "tab\tx", "%20x", "bell\x07", "sep\u2028x", "x" * 256, "d/" * 200)
ROWS = [("2024-01", 1.5), ("2024-02", 2.5)]


def readings() -> pa.Table:
    times = [datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2)]
    return pa.table({"time": times, "temperature": [value for _, value in ROWS], "month": [month for month, _ in ROWS]})


def seen(con: duckdb.DuckDBPyConnection, statement: str) -> Sequence[tuple[object, ...]]:
    return con.sql(f"SELECT month, temperature FROM ({statement}) ORDER BY month").fetchall()


@pytest.mark.parametrize("name", ODD)
def test_home_works_under_odd_path(tmp_path: Path, name: str) -> None:
    home = home_of(Settings(home=str(tmp_path / name)))
    lake = Lake(home)
    lake.append("f/raw", readings(), "segment")
    lake.replace("f/bronze", readings(), ["2024-01", "2024-02"], {"2024-01": "ab" * 32}, edges=NO_EDGES)
    lake.overwrite("f/plain", readings().drop(["month"]))
    with duckdb.connect() as con:
        assert lake.relation(con, "f/bronze").columns == ["time", "temperature", "month"]
        assert lake.relation(con, "f/plain").columns == ["time", "temperature"]
        assert lake.relation(con, "f/bronze", ["2024-02"]).select("month, temperature").fetchall() == ROWS[1:]
        for view in views(home):
            con.execute(view)
        for statement in (lake.select("f/raw"), "FROM f_raw", "FROM f_bronze"):
            assert seen(con, statement) == ROWS
    version = publish(home)
    write_tail(home)
    store = ServingStore(home)
    store.poll()
    assert [served.manifest.version for served in store.serving()] == [version], store.releases
    assert store.tail("noaa") is not None
    assert [place for place in tmp_path.rglob("*") if place.is_dir() and place.name == "lake"] == [Path(home) / "lake"]


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_path_is_refused_before_any_write(tmp_path: Path, name: str) -> None:
    with pytest.raises(AeroCastError) as caught:
        home_of(Settings(home=str(tmp_path / name)))
    assert str(caught.value).startswith("AEROCAST_HOME")
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_parent_folder_and_link_target_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "what?").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "what?")
    monkeypatch.chdir(tmp_path / "what?")
    for home in ("inner", str(tmp_path / "link"), str(tmp_path / "link" / "inner")):
        with pytest.raises(AeroCastError, match=r"AEROCAST_HOME=.*'\?'"):
            home_of(Settings(home=home))


def test_work_folder_of_object_store_is_checked(tmp_path: Path) -> None:
    with pytest.raises(AeroCastError, match=r"AEROCAST_WORK=.*'\?'"):
        home_of(Settings(home="s3://bucket/home", work=tmp_path / "what?"))


@pytest.mark.parametrize("url", ["file:///tmp/x", "file:/tmp/x", "s3:/bucket/x", "S3://bucket/x", "http://host/x"])
def test_url_like_text_is_not_folder(url: str) -> None:
    with pytest.raises(AeroCastError, match="allowed: a folder, or s3://bucket/prefix"):
        home_of(Settings(home=url))


def test_path_settings_expand_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in {"AEROCAST_HOME": "~/home", "AEROCAST_WORK": "~/work", "AEROCAST_INBOX": "~/inbox"}.items():
        monkeypatch.setenv(name, value)
    assert home_of(Settings()) == tmp_path / "home"
    assert inbox_of(home_of(Settings()), Settings()) == str(tmp_path / "inbox")
    assert Path(home_of(Settings(home="s3://bucket/home"))) == tmp_path / "work"
    user = os.path.expanduser("~root")
    assert home_of(Settings(home="~root/home")) == Path(user) / "home"
    with pytest.raises(AeroCastError, match="AEROCAST_HOME='~nobody-of-this-name/home' cannot be used"):
        home_of(Settings(home="~nobody-of-this-name/home"))


def test_circular_links_raise_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(AeroCastError, match=r"AEROCAST_HOME=.* cannot be used"):
        home_of(Settings(home=str(tmp_path / "a" / "home")))
