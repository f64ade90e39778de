"""The inbox: whole files are taken, once; what is damaged is put aside with its reason; kills change nothing."""

import gzip
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aerocast.doors import inbox as inbox_module
from aerocast.doors.base import Batch
from aerocast.doors.inbox import Inbox
from aerocast.feed import Feed

HEADER = "station,time,t,w,p\n"
LINES = [f"AAA,2024-01-0{day}T00:00:00Z,{day}.5,3,1012.25\n" for day in range(1, 5)]


@pytest.fixture
def folder(tmp_path: Path, feed: Feed) -> Path:
    place = tmp_path / "inbox" / feed.name
    place.mkdir(parents=True)
    return place


@pytest.fixture
def door(tmp_path: Path, folder: Path, feed: Feed) -> Callable[..., Inbox]:
    return lambda grace=120.0: Inbox(str(folder.parent), tmp_path, feed.name, grace)


def taken(door: Inbox, feed: Feed) -> list[Batch]:
    """What an intake appends; it tells the door after each."""
    batches = []
    for batch in door.take(feed):
        batches.append(batch)
        door.done(batch)
    return batches


def listing(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name != ".lock" and path.is_file()
    )


def reason(folder: Path, name: str) -> dict[str, str]:
    return dict(json.loads((folder / "rejected" / f"{name}.reason.json").read_text()))


def manifest(folder: Path, name: str, data: bytes, **more: object) -> None:
    said = {"sha256": hashlib.sha256(data).hexdigest()} | more
    (folder / f"{name}.manifest.json").write_text(json.dumps(said))


def json_lines() -> bytes:
    names = HEADER.strip().split(",")
    rows = [dict(zip(names, line.strip().split(","), strict=True)) for line in LINES]
    return b"".join(json.dumps({**row, "t": float(row["t"])}).encode() + b"\n" for row in rows)


def test_every_kind_of_file_gives_the_same_readings(door: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    text = (HEADER + "".join(LINES)).encode()
    (folder / "a.csv").write_bytes(text)
    (folder / "b.csv.gz").write_bytes(gzip.compress(text))
    (folder / "c.jsonl").write_bytes(json_lines())
    (folder / "d.jsonl.gz").write_bytes(gzip.compress(json_lines()))
    columns = list(zip(*(line.strip().split(",") for line in LINES), strict=True))
    table = pa.table(dict(zip(HEADER.strip().split(","), columns, strict=True)))
    table = table.set_column(2, "t", table["t"].cast(pa.float64()))
    pq.write_table(table, folder / "e.parquet")
    assert door().waiting() == 5
    batches = taken(door(), feed)
    assert len(batches) == 5
    assert len({batch.segment for batch in batches}) == 5
    told = [batch.table.drop_columns(["source", "segment"]).to_pylist() for batch in batches]
    assert all(each == told[0] for each in told)
    assert [row["t"] for row in told[0]] == ["1.5", "2.5", "3.5", "4.5"]
    assert [row["line"] for row in told[0]] == [0, 1, 2, 3]
    assert listing(folder) == [f"done/{name}" for name in ("a.csv", "b.csv.gz", "c.jsonl", "d.jsonl.gz", "e.parquet")]
    assert door().waiting() == 0


def test_what_is_not_complete_by_its_name_is_not_looked_at(
    door: Callable[..., Inbox], folder: Path, feed: Feed
) -> None:
    for name in ("a.csv.part", ".a.csv", "b.jsonl.tmp", "notes.txt", "c.parquet.gz"):
        (folder / name).write_text(HEADER + LINES[0])
    assert door().waiting() == 0
    assert taken(door(), feed) == []
    assert len(listing(folder)) == 5


@pytest.mark.parametrize(
    ("name", "content", "field", "rule"),
    [
        ("cut.csv", (HEADER + LINES[0] + LINES[1][:9]).encode(), "last line", "line break"),
        ("cut.csv.gz", gzip.compress((HEADER + "".join(LINES)).encode(), mtime=0)[:-9], "file", "readable"),
        ("short.csv", (HEADER + LINES[0] + "AAA,2024-01-02T00:00:00Z\n").encode(), "file", "Expected 5 columns"),
        ("binary.csv", b"PAR1\0\0\0\n", "file", "CSV text"),
        ("latin.csv", "station,time,t\nZ\xfcrich,2024-01-01T00:00:00Z,1\n".encode("latin-1"), "file", "UTF8"),
        ("empty.csv", b"", "file", "a file with readings"),
        ("twice.csv", b"station,time,t,t\nA,2024-01-01T00:00:00Z,1,1\n", "column", "each column once"),
        ("nowhere.csv", b"time,t\n2024-01-01T00:00:00Z,1\n", "columns", "place or station"),
        ("never.csv", b"station,t\nAAA,1\n", "columns", "at or time"),
        ("half.jsonl", json_lines()[:-20], "line 4", "JSON object a line"),
        ("list.jsonl", b"[1, 2]\n", "line 1", "an object"),
        ("deep.jsonl", b'{"station": "AAA", "time": "2024-01-01T00:00:00Z", "t": [1]}\n', "t", "a number, a text"),
        ("true.jsonl", b'{"station": "AAA", "time": "2024-01-01T00:00:00Z", "t": true}\n', "t", "a number, a text"),
        (
            "whenever.jsonl",
            b'{"station": "AAA", "time": "2024-01-01T00:00:00Z"}\n{"station": "AAA"}\n',
            "time",
            "given",
        ),
        ("no.parquet", b"PAR1" + b"x" * 100, "file", "readable"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_a_damaged_file_is_put_aside_with_its_reason(
    name: str, content: bytes, field: str, rule: str, door: Callable[..., Inbox], folder: Path, feed: Feed
) -> None:
    (folder / name).write_bytes(content)
    good = HEADER + LINES[0]
    (folder / "good.csv").write_text(good)
    assert [len(batch.table) for batch in taken(door(), feed)] == [1]
    assert listing(folder) == ["done/good.csv", f"rejected/{name}", f"rejected/{name}.reason.json"]
    said = reason(folder, name)
    assert said["field"] == field
    assert rule in said["rule"]
    assert set(said) == {"file", "detail", "field", "value", "rule", "rejected_at"}


def test_a_type_that_holds_no_reading_is_named(door: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    table = pa.table({"station": ["AAA"], "time": ["2024-01-01T00:00:00Z"]})
    pq.write_table(table.append_column("t", pa.array([True])), folder / "bool.parquet")
    pq.write_table(table.set_column(1, "time", pa.array([1_704_067_200])), folder / "epoch.parquet")
    assert taken(door(), feed) == []
    assert reason(folder, "bool.parquet")["field"] == "t"
    assert reason(folder, "epoch.parquet")["rule"] == "a column of timestamps, or of texts in ISO 8601"


def test_a_manifest_says_when_a_file_is_whole(door: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    whole = (HEADER + "".join(LINES)).encode().rstrip()  # without the last line break
    manifest(folder, "a.csv", whole, rows=4, bytes=len(whole))
    (folder / "a.csv").write_bytes(whole[:-40])
    assert door().waiting() == 0  # its size says that it grows
    assert taken(door(), feed) == []
    assert "a.csv" in listing(folder)
    (folder / "a.csv").write_bytes(whole)
    assert door().waiting() == 1
    assert [len(batch.table) for batch in taken(door(), feed)] == [4]
    assert listing(folder) == ["done/a.csv", "done/a.csv.manifest.json"]


def test_a_file_that_never_becomes_whole_is_rejected_after_a_while(
    door: Callable[..., Inbox], folder: Path, feed: Feed
) -> None:
    whole = (HEADER + "".join(LINES)).encode()
    (folder / "a.csv").write_bytes(whole[:-40])
    manifest(folder, "a.csv", whole)
    (folder / "b.csv").write_bytes(whole)
    (folder / "b.csv.manifest.json").write_text("{")
    assert taken(door(), feed) == []
    assert len(listing(folder)) == 4
    for path in folder.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert taken(door(), feed) == []
    assert reason(folder, "a.csv")["field"] == "sha256"
    assert reason(folder, "b.csv")["field"] == "manifest"
    assert len(listing(folder)) == 6
    assert door().waiting() == 0


def test_a_manifest_with_another_number_of_rows_is_refused(
    door: Callable[..., Inbox], folder: Path, feed: Feed
) -> None:
    whole = (HEADER + "".join(LINES)).encode()
    (folder / "a.csv").write_bytes(whole)
    manifest(folder, "a.csv", whole, rows=5)
    assert taken(door(), feed) == []
    assert reason(folder, "a.csv")["field"] == "rows"


def test_the_same_content_is_the_same_batch_whatever_its_name(
    door: Callable[..., Inbox], folder: Path, feed: Feed
) -> None:
    (folder / "a.csv").write_text(HEADER + LINES[0])
    (first,) = taken(door(), feed)
    (folder / "b.csv").write_text(HEADER + LINES[0])
    (folder / "a.csv").write_text(HEADER + LINES[0])
    again = taken(door(), feed)
    assert {batch.segment for batch in again} == {first.segment}
    assert len(listing(folder)) == 3  # done/a.csv twice, under two names


def test_a_kill_before_the_move_gives_the_same_batches_again(
    door: Callable[..., Inbox], folder: Path, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "PART_ROWS", 3)
    (folder / "a.csv").write_text(HEADER + "".join(LINES * 2))
    killed = door()
    first = [(batch.segment, batch.table) for batch in killed.take(feed)]
    assert [len(table) for _, table in first] == [3, 3, 2]
    taking = killed.take(feed)
    killed.done(next(taking))  # and no more: the file stays as long as a part is missing
    assert listing(folder) == ["a.csv"]
    again = taken(door(), feed)
    assert [(batch.segment, batch.table) for batch in again] == first
    assert [row["line"] for row in again[1].table.to_pylist()] == [0, 1, 2]
    assert listing(folder) == ["done/a.csv"]


def test_a_file_without_readings_is_done(door: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    (folder / "a.csv").write_text(HEADER)
    assert taken(door(), feed) == []
    assert listing(folder) == ["done/a.csv"]


def test_a_file_that_is_replaced_meanwhile_is_not_lost(door: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    (folder / "a.csv").write_text(HEADER + LINES[0])
    one = door()
    taking = one.take(feed)
    batch = next(taking)
    (folder / ".new").write_text(HEADER + LINES[1])
    os.replace(folder / ".new", folder / "a.csv")
    one.done(batch)
    assert listing(folder) == ["a.csv"]
    assert [each.table["t"].to_pylist() for each in taken(door(), feed)] == [["2.5"]]
