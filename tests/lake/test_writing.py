"""The lake: exactly-once appends, atomic months, and one sentence for everything a disk can do."""

import contextlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.common.months import month_of, month_span, months_around
from aerocast.common.sql import scan
from aerocast.lake import PARTITION, Lake, Slot, Stream
from aerocast.lake import writing as lake_module
from aerocast.storage.folder import FolderStore
from tests.harness.disks import small_disk

RAW, BRONZE = "feed/raw", "feed/bronze"


def rows(month: str, mark: str, count: int = 3) -> pa.Table:
    start = month_span(month)[0]
    times = [start + timedelta(hours=i) for i in range(count)]
    return pa.table(
        {
            "station": ["A"] * count,
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "mark": pa.array([mark] * count, pa.string()),
            "month": pa.array([month] * count, pa.string()),
        }
    )


def marks(con: duckdb.DuckDBPyConnection, lake: Lake, name: str) -> Counter[tuple[str, str]]:
    return Counter(lake.relation(con, name).select("month, mark").fetchall())


def test_append_same_segment_is_noop(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    assert lake.version(RAW) is None
    assert not lake.exists(RAW)
    assert lake.append(RAW, rows("2013-01", "a"), "a")
    assert not lake.append(RAW, rows("2013-01", "a"), "a")
    assert lake.append(RAW, rows("2013-02", "b"), "b")
    assert marks(con, lake, RAW) == {("2013-01", "a"): 3, ("2013-02", "b"): 3}
    assert lake.months(RAW) == ["2013-01", "2013-02"]
    assert lake.version(RAW) == 1


def test_delivery_numbers_follow_commits(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    for segment in "cab":
        lake.append(RAW, rows("2013-01", segment), segment)
    found = lake.relation(con, RAW).select("delivery, mark").distinct().order("delivery").fetchall()
    assert [mark for _, mark in found] == ["c", "a", "b"]


def test_append_returning_content_of_slot_counts_again(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    """A file is repaired, broken and repaired: the third delivery must win over the second."""
    taken = [lake.append(RAW, rows("2013-01", mark), Slot("file 2013-01", mark)) for mark in ("a", "a", "b", "a", "a")]
    assert taken == [True, False, True, True, False]
    newest = lake.relation(con, RAW).order("delivery DESC").limit(1).select("mark").fetchall()
    assert newest == [("a",)]
    assert lake.append(RAW, rows("2013-02", "a"), Slot("file 2013-02", "a")), "another slot, another segment"


def test_append_stream_continues_from_last_position(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    taken = [
        lake.append(RAW, rows("2013-01", str(position)), Stream("channel", position)) for position in (3, 3, 2, 7, 5)
    ]
    assert taken == [True, False, False, True, False]
    assert set(marks(con, lake, RAW)) == {("2013-01", "3"), ("2013-01", "7")}
    assert lake.append(RAW, rows("2013-01", "x"), Stream("another channel", 1))


def test_replace_several_months_is_one_commit(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    months = ["2013-01", "2013-02", "2013-03"]
    lake.replace(BRONZE, pa.concat_tables([rows(month, "old") for month in months]), months)
    version = lake.replace(BRONZE, pa.concat_tables([rows("2013-01", "new"), rows("2013-02", "new", 1)]), months[:2])
    assert version == lake.version(BRONZE) == 1
    assert marks(con, lake, BRONZE) == {("2013-01", "new"): 3, ("2013-02", "new"): 1, ("2013-03", "old"): 3}


def test_replace_with_no_rows_empties_month(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    lake.replace(BRONZE, rows("2013-01", "old"), ["2013-01"])
    lake.replace(BRONZE, rows("2013-01", "none", 0), ["2013-01"])
    assert lake.relation(con, BRONZE).fetchall() == []
    assert lake.relation(con, BRONZE).columns == ["station", "time", "mark", "month"]
    assert lake.months(BRONZE) == []


def test_first_write_may_be_empty(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    lake.replace("feed/quarantine", rows("2013-01", "none", 0), ["2013-01"])
    assert lake.relation(con, "feed/quarantine").fetchall() == []
    assert lake.span("feed/quarantine") is None


@pytest.mark.parametrize("exists", [True, False])
def test_replace_refuses_rows_of_other_months(lake: Lake, exists: bool) -> None:
    if exists:
        lake.replace(BRONZE, rows("2013-01", "old"), ["2013-01"])
    with pytest.raises(ValueError, match="none of the months 2013-01"):
        lake.replace(BRONZE, rows("2013-02", "new"), ["2013-01"])
    assert lake.rows(BRONZE) == ({"2013-01": 3} if exists else {})


def test_replace_streams_relation(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    start = "TIMESTAMPTZ '2013-01-01 00:00:00+00' + to_seconds(range)"
    many = con.sql(f"SELECT 'A' AS station, {start} AS time, 'x' AS mark, '2013-01' AS month FROM range(300000)")
    lake.replace(BRONZE, many, ["2013-01"])
    assert lake.rows(BRONZE) == {"2013-01": 300_000}
    assert len(lake.files(BRONZE, ["2013-01"])) == 1


def test_new_column_is_null_in_older_months(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    lake.replace(BRONZE, rows("2013-01", "old"), ["2013-01"])
    lake.replace(BRONZE, rows("2013-02", "new").append_column("wind", pa.array([1.5] * 3)), ["2013-02"])
    for months in (["2013-01"], ["2013-01", "2013-02"], None):
        relation = lake.relation(con, BRONZE, months)
        assert relation.columns == ["station", "time", "mark", "month", "wind"]
        winds = relation.filter("month = '2013-01'").select("wind").distinct().fetchall()
        assert winds == [(None,)]


def test_column_of_nulls_accepts_any_later_type(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    for segment, values in enumerate(({"b": [None]}, {"b": ["x"]}, {"b": [None], "c": [None]})):
        lake.append("feed/scores", pa.table({"a": [segment]} | values), str(segment))
    found = lake.relation(con, "feed/scores").order("a").select("a, b, c").fetchall()
    assert found == [(0, None, None), (1, "x", None), (2, None, None)]


def test_overwrite_replaces_rows_and_columns(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    lake.overwrite("feed/forecasts", pa.table({"a": [1, 2]}))
    lake.overwrite("feed/forecasts", pa.table({"b": ["x"]}))
    relation = lake.relation(con, "feed/forecasts")
    assert (relation.columns, relation.fetchall()) == (["b"], [("x",)])


def test_relation_reads_selected_months_only(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    months = [f"2013-{i:02d}" for i in range(1, 13)]
    lake.replace(BRONZE, pa.concat_tables([rows(month, month) for month in months]), months)
    files = lake.files(BRONZE, ["2013-05"])
    assert len(files) == 1
    assert "month=2013-05" in files[0]
    assert con.sql(f"SELECT DISTINCT month, mark FROM ({scan(files, PARTITION)})").fetchall() == [
        ("2013-05", "2013-05")
    ]
    assert lake.files(BRONZE, []) == []
    assert len(lake.files(BRONZE)) == 12


def test_span_and_chunks_come_from_log(lake: Lake) -> None:
    for month, count in {"2013-01": 10, "2013-02": 10, "2013-03": 30, "2013-04": 5}.items():
        lake.append(RAW, rows(month, month, count), month)
    assert lake.span(RAW) == (datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 4, 1, 4, tzinfo=UTC))
    months = ["2013-04", "2013-03", "2013-02", "2013-01", "2013-05"]
    assert lake.chunks(RAW, months, 25) == [["2013-01", "2013-02"], ["2013-03"], ["2013-04", "2013-05"]]
    assert lake.chunks(RAW, []) == []
    centuries = [f"{year}-{month:02d}" for year in range(1800, 2000) for month in range(1, 13)]
    assert [len(piece) for piece in lake.chunks(RAW, centuries)] == [120] * 20


def test_relation_reads_one_version(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    """What was opened before a commit still reads what it saw."""
    lake.replace(BRONZE, rows("2013-01", "old"), ["2013-01"])
    before = lake.relation(con, BRONZE)
    lake.replace(BRONZE, rows("2013-01", "new"), ["2013-01"])
    assert {mark for (mark,) in before.select("mark").fetchall()} == {"old"}


def test_relation_reads_old_version(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    for mark in ("old", "new"):
        lake.replace(BRONZE, rows("2013-01", mark), ["2013-01"])
    assert lake.relation(con, BRONZE, version=0).select("mark").distinct().fetchall() == [("old",)]
    with pytest.raises(AeroCastError, match=r"table feed/bronze in .* could not be read"):
        lake.relation(con, BRONZE, version=9)


def test_files_have_delta_types_and_log_has_their_span(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    start = "TIMESTAMPTZ '2013-01-31 22:00:00.123456+00' + INTERVAL 1 HOUR * i"
    con.execute("SET TimeZone = 'America/New_York'")
    made = con.sql(f"SELECT {start} AS time, sum(i) AS total, i::SMALLINT AS small, '2013-01' AS month"
                   " FROM range(2) r(i) GROUP BY ALL")  # fmt: skip
    lake.replace(BRONZE, made, ["2013-01"])
    file = lake.files(BRONZE)[0]
    kinds = dict(con.sql(f"SELECT name, duckdb_type FROM parquet_schema('{file}') WHERE type IS NOT NULL").fetchall())
    assert kinds == {"time": "TIMESTAMP WITH TIME ZONE", "total": "DECIMAL(38,0)", "small": "SMALLINT"}
    times = [datetime(2013, 1, 31, 22 + i, microsecond=123_000, tzinfo=UTC) for i in range(2)]
    assert lake.span(BRONZE) == tuple(times)
    assert list(map(str, lake.relation(con, BRONZE).types))[1:3] == ["DECIMAL(38,0)", "SMALLINT"]
    lake.replace(BRONZE, con.sql("SELECT now() AS time, 7 AS total, 1 AS small, '2013-02' AS month"), ["2013-02"])
    assert list(map(str, lake.relation(con, BRONZE).types))[1:3] == ["DECIMAL(38,0)", "SMALLINT"]


def test_failed_write_leaves_no_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is misplaced, and a commit that another writer was faster with."""
    lake.replace(BRONZE, rows("2013-01", "old"), ["2013-01"])
    with pytest.raises(ValueError, match="none of the months"):
        lake.replace(BRONZE, pa.concat_tables([rows("2013-01", "x"), rows("2013-02", "x")]), ["2013-01"])
    settle = FolderStore.sync

    def overtaken(*arguments: Any) -> None:
        monkeypatch.setattr(FolderStore, "sync", settle)
        Lake(Path(lake.root).parent).replace(BRONZE, rows("2013-01", "faster"), ["2013-01"])
        settle(*arguments)

    monkeypatch.setattr(FolderStore, "sync", overtaken)
    assert lake.replace(BRONZE, rows("2013-01", "new"), ["2013-01"]) == 2
    files = [path for path in Path(lake.uri(BRONZE)).glob("*/*.parquet") if "_delta_log" not in path.parts]
    assert len(files) == 3, "those of the three versions"


def test_files_are_synced_before_commit(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after the commit must find what it names, and the commit itself once the caller was told."""
    synced: list[str] = []
    sync, commit = os.fsync, Lake._commit

    def noted(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def committed(self: Lake, *arguments: Any) -> int:
        before.extend(synced)
        return commit(self, *arguments)

    before: list[str] = []
    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Lake, "_commit", committed)
    lake.append(RAW, pa.concat_tables([rows("2013-01", "a"), rows("2013-02", "a")]), "a")
    files = lake.files(RAW)
    folders = {str(Path(file).parent) for file in files} | {lake.uri(RAW)}
    assert len(files) == 2
    assert {*files, *folders} <= set(before)
    assert f"{lake.uri(RAW)}/_delta_log/{0:020}.json" in synced


def test_checkpoints_are_written(lake: Lake) -> None:
    for number in range(11):
        lake.append(RAW, rows("2013-01", "a"), str(number))
    assert (Path(lake.uri(RAW)) / "_delta_log" / "_last_checkpoint").exists()


def test_times_are_utc_in_any_session(lake: Lake) -> None:
    lake.append(RAW, rows("2013-07", "a", 1), "a")
    with duckdb.connect() as elsewhere:
        elsewhere.execute("SET TimeZone = 'America/New_York'")
        found = lake.relation(elsewhere, RAW).select("CAST(time AS VARCHAR)").fetchall()
    assert found == [("2013-07-01 00:00:00+00",)]


def test_month_helpers_agree() -> None:
    assert month_of(datetime(2013, 1, 1, 3, tzinfo=UTC)) == "2013-01"
    assert month_of(datetime.fromisoformat("2013-01-01T00:30+01:00")) == "2012-12"
    assert month_span("2012-12") == (datetime(2012, 12, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC))
    hour = timedelta(hours=1)
    assert months_around(["2013-01"], hour, hour) == ["2012-12", "2013-01", "2013-02"]
    assert months_around(["2013-01"], hour, timedelta(0)) == ["2012-12", "2013-01"]
    assert months_around(["2013-03"], timedelta(days=40), timedelta(0)) == ["2013-01", "2013-02", "2013-03"]
    assert months_around(["2013-03"], timedelta(0), timedelta(0)) == ["2013-03"]


# Many writers, with real processes ------------------------------------------------------------------------------------


def write_all(home: str, segments: list[str], taken: "multiprocessing.Queue[str]") -> None:
    lake = Lake(home)
    for segment in segments:
        if lake.append(RAW, rows("2013-01", segment), segment):
            taken.put(segment)


def test_concurrent_appends_of_same_segments_have_one_winner_each(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    """Four processes create the table and deliver the same eight segments at once, and two of their own each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["aerocast.lake"])
    taken = context.Queue()
    shared = [f"shared{i}" for i in range(8)]
    processes = [
        context.Process(target=write_all, args=(str(tmp_path), [*shared, f"own{k}a", f"own{k}b"], taken))
        for k in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    expected = {*shared, *(f"own{k}{letter}" for k in range(4) for letter in "ab")}
    assert Counter(taken.get(timeout=60) for _ in expected) == dict.fromkeys(expected, 1)
    assert taken.empty()
    lake = Lake(tmp_path)
    assert marks(con, lake, RAW) == {("2013-01", segment): 3 for segment in expected}
    per_delivery = lake.relation(con, RAW).aggregate("delivery, count(DISTINCT mark) AS n", "delivery").fetchall()
    assert len(per_delivery) == len(expected)
    assert {n for _, n in per_delivery} == {1}, "no two segments share a place in the order"


def create_all(home: str, names: list[str], together: Barrier, taken: "multiprocessing.Queue[bool]") -> None:
    lake = Lake(home)
    lake.append("feed/warm", rows("2013-01", "x"), str(os.getpid()))
    for name in names:
        together.wait(60)
        taken.put(lake.append(name, rows("2013-01", "a"), "a"))


def test_concurrent_creation_of_table_has_one_winner(tmp_path: Path) -> None:
    """A table that appears between the look and the write must not be appended to unseen."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["aerocast.lake"])
    names, together, taken = [f"feed/table{i}" for i in range(20)], context.Barrier(3), context.Queue()
    arguments = (str(tmp_path), names, together, taken)
    processes = [context.Process(target=create_all, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    wins = sum(taken.get(timeout=60) for _ in names for _ in processes)
    for process in processes:
        process.join(60)
    assert wins == len(names)
    assert all(Lake(tmp_path).rows(name) == {"2013-01": 3} for name in names)


# What a disk can do ---------------------------------------------------------------------------------------------------


def sentence(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    assert "Traceback" not in text
    return text


def test_unknown_table_is_named(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(AeroCastError, match="table feed/raw does not exist yet"):
        lake.relation(con, RAW)
    assert (lake.files(RAW), lake.months(RAW), lake.span(RAW)) == ([], [], None)


@pytest.mark.parametrize("beneath", ["", "x/y"])
def test_home_below_file_raises_one_sentence(tmp_path: Path, beneath: str) -> None:
    (tmp_path / "file").write_text("I am no folder")
    lake = Lake(tmp_path / "file" / beneath)
    with pytest.raises(AeroCastError, match="a part of the path is a file") as caught:
        lake.append(RAW, rows("2013-01", "a"), "a")
    sentence(caught.value)


def test_home_that_cannot_be_created_raises_one_sentence() -> None:
    with pytest.raises(
        AeroCastError, match=r"could not be written: .*(cannot be created|not permitted|read-only)"
    ) as caught:
        Lake("/proc/aerocast").append(RAW, rows("2013-01", "a"), "a")
    sentence(caught.value)


def test_damaged_log_is_named(lake: Lake) -> None:
    lake.append(RAW, rows("2013-01", "a"), "a")
    log = Path(lake.uri(RAW)) / "_delta_log" / "00000000000000000000.json"
    log.write_bytes(b"\x00\x01 no json")
    with pytest.raises(AeroCastError, match=r"table feed/raw in .* could not be read: ") as caught:
        lake.version(RAW)
    sentence(caught.value)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "8m") as disk:
        yield disk


def noise(count: int) -> pa.Table:
    return rows("2013-01", "x", count).set_column(2, "mark", pa.array([os.urandom(16).hex() for _ in range(count)]))


def test_full_disk_leaves_table_unchanged(tiny: Path, con: duckdb.DuckDBPyConnection) -> None:
    lake = Lake(tiny)
    assert lake.append(RAW, rows("2013-01", "a"), "a")
    for write in (
        lambda: lake.append(RAW, noise(500_000), "big"),
        lambda: lake.replace(RAW, noise(500_000), ["2013-01"]),
    ):
        with pytest.raises(AeroCastError, match="could not be written: the disk is full") as caught:
            write()
        sentence(caught.value)
        assert lake.rows(RAW) == {"2013-01": 3}
    assert lake.append(RAW, rows("2013-01", "b"), "b"), "with room again, work goes on"
    assert not lake.append(RAW, rows("2013-01", "a"), "a")


@pytest.mark.parametrize("least_free", [lake_module._LEAST_FREE, 0])
def test_disk_below_free_limit_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch, least_free: int) -> None:
    """Seen before a write begins; and if not seen, then by the commit, which is not tried forever."""
    monkeypatch.setattr(lake_module, "_LEAST_FREE", least_free)
    lake = Lake(tiny)
    assert lake.append(RAW, rows("2013-01", "a"), "a")
    with contextlib.suppress(OSError), (tiny / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    with pytest.raises(AeroCastError, match="could not be written: the disk is full") as caught:
        lake.append(RAW, rows("2013-01", "b"), "b")
    sentence(caught.value)
    (tiny / "filler").unlink()
    assert lake.append(RAW, rows("2013-01", "b"), "b")
    assert lake.rows(RAW) == {"2013-01": 6}


def test_read_only_disk_raises_one_sentence(tiny: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny)], check=True)
    with pytest.raises(AeroCastError, match="could not be written: the location is read-only"):
        Lake(tiny).append(RAW, rows("2013-01", "a"), "a")


def limited(home: str) -> None:
    """In a process of its own: no file may grow beyond 200 kB, which fails a write as a quota would."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    lake = Lake(home)
    lake.append(RAW, rows("2013-01", "a"), "a")
    try:
        lake.append(RAW, noise(100_000), "big")
    except AeroCastError as error:
        sys.exit(0 if "the file would exceed the largest size allowed" in sentence(error) else 3)
    sys.exit(4)


def test_file_size_limit_raises_one_sentence(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=limited, args=(str(tmp_path),))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert Lake(tmp_path).rows(RAW) == {"2013-01": 3}


def test_dropped_column_disappears_and_returns(tmp_path: Path) -> None:
    lake, months = Lake(tmp_path), ["2024-01", "2024-02"]
    both = pa.table({"a": [1.0, 2.0], "b": [3.0, 4.0], "month": months})
    old = lake.replace("f/bronze", both, months)
    lake.replace("f/bronze", pa.table({"a": [5.0], "month": ["2024-01"]}), ["2024-01"])
    with duckdb.connect() as con:

        def stored(version: int | None = None) -> list[tuple[object, ...]]:
            rows = lake.relation(con, "f/bronze", version=version).order("month")
            return [tuple(rows.columns), *rows.fetchall()]

        without = [("a", "month"), (5.0, "2024-01"), (2.0, "2024-02")]
        assert stored() == without
        assert con.sql(lake.select("f/bronze")).order("month").fetchall() == without[1:]
        assert stored(old) == [("a", "b", "month"), (1.0, 3.0, "2024-01"), (2.0, 4.0, "2024-02")], "old versions stay"
        lake.compact("f/bronze", "2024-02")
        assert stored() == without
        lake.replace("f/bronze", pa.table({"a": [6.0], "b": [7.0], "month": ["2024-01"]}), ["2024-01"])
        assert stored() == [("a", "month", "b"), (6.0, "2024-01", 7.0), (2.0, "2024-02", None)]


def test_emptied_commit_is_named(lake: Lake) -> None:
    """Delta reads it as a commit of nothing: what it appended would vanish without a word."""
    for segment in "ab":
        lake.append(RAW, rows("2013-01", segment), segment)
    newest = max(Path(lake.root, RAW, "_delta_log").glob("*.json"))
    newest.write_bytes(b"")
    with pytest.raises(AeroCastError, match=f"{RAW}.*{newest.name}, is empty"):
        lake.rows(RAW)
