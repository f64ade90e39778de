"""The inbox: whole files are taken, once; what is damaged is put aside with its reason; kills change nothing."""

import errno
import gzip
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import inbox as inbox_module
from aerocast.ingest.channels.base import Batch
from aerocast.ingest.channels.inbox import Inbox
from aerocast.ingest.channels.patience import Delay
from aerocast.storage.folder import FolderStore
from aerocast.storage.store import Entry
from tests import SHARED
from tests.factories.feeds import small_feed

HEADER = "station,time,t,w,p\n"
LINES = [f"AAA,2024-01-0{day}T00:00:00Z,{day}.5,3,1012.25\n" for day in range(1, 5)]


@pytest.fixture
def folder(tmp_path: Path, feed: Feed) -> Path:
    place = tmp_path / "inbox" / feed.name
    place.mkdir(parents=True)
    return place


@pytest.fixture
def channel(tmp_path: Path, folder: Path, feed: Feed) -> Callable[..., Inbox]:
    return lambda grace=120.0: Inbox(str(folder.parent), tmp_path, feed.name, grace)


def taken(channel: Inbox, feed: Feed) -> list[Batch]:
    """What an intake appends; it tells the channel after each."""
    batches = []
    for batch in channel.take(feed):
        batches.append(batch)
        channel.confirm(batch)
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


def test_file_formats_give_same_readings(channel: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    text = (HEADER + "".join(LINES)).encode()
    (folder / "a.csv").write_bytes(text)
    (folder / "b.csv.gz").write_bytes(gzip.compress(text))
    (folder / "c.jsonl").write_bytes(json_lines())
    (folder / "d.jsonl.gz").write_bytes(gzip.compress(json_lines()))
    columns = list(zip(*(line.strip().split(",") for line in LINES), strict=True))
    table = pa.table(dict(zip(HEADER.strip().split(","), columns, strict=True)))
    table = table.set_column(2, "t", table["t"].cast(pa.float64()))
    pq.write_table(table, folder / "e.parquet")
    assert channel().backlog() == 5
    batches = taken(channel(), feed)
    assert len(batches) == 5
    assert len({batch.segment for batch in batches}) == 5
    told = [batch.table.drop_columns(["source", "segment"]).to_pylist() for batch in batches]
    assert all(each == told[0] for each in told)
    assert [row["t"] for row in told[0]] == ["1.5", "2.5", "3.5", "4.5"]
    assert [row["line"] for row in told[0]] == [0, 1, 2, 3]
    assert listing(folder) == [f"done/{name}" for name in ("a.csv", "b.csv.gz", "c.jsonl", "d.jsonl.gz", "e.parquet")]
    assert channel().backlog() == 0


def test_incomplete_file_name_is_ignored(channel: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    names = ("a.csv.part", ".a.csv", "b.jsonl.tmp", ".hidden", "c.csv.manifest.json")
    for name in names:
        (folder / name).write_text(HEADER + LINES[0])
    (folder / "older").mkdir()
    one = channel()
    assert one.backlog() == 0
    assert taken(one, feed) == []
    assert one.notes == [f"{folder}/older is not a file: its content is ignored"]
    for name in names:
        os.utime(folder / name, (time.time() - 7300,) * 2)
    assert taken(one, feed) == []
    assert [note.removeprefix(f"{folder}/") for note in one.notes] == [
        "older is not a file: its content is ignored",
        ".a.csv is unfinished, according to its name; it was last changed 2 hours ago",
        "a.csv.part is unfinished, according to its name; it was last changed 2 hours ago",
        "b.jsonl.tmp is unfinished, according to its name; it was last changed 2 hours ago",
        "c.csv.manifest.json announces a file that does not exist; it was last changed 2 hours ago",
    ]
    assert len(listing(folder)) == 5


def test_unknown_extension_is_rejected_once(channel: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    for name in ("notes.txt", "c.parquet.gz", "plain"):
        (folder / name).write_text(HEADER + LINES[0])
    one = channel()
    assert (one.backlog(), taken(one, feed), one.rejections) == (0, [], []), "they may be renamed yet"
    for name in ("notes.txt", "c.parquet.gz", "plain"):
        os.utime(folder / name, (1, 1))
    assert one.backlog() == 3
    assert taken(one, feed) == []
    assert one.backlog() == 0
    assert len(one.rejections) == 3
    assert {why.file for why in one.rejection_reasons()} == {"notes.txt", "c.parquet.gz", "plain"}
    assert {why.rule for why in one.rejection_reasons()} == {".csv, .csv.gz, .parquet, .jsonl, .jsonl.gz"}
    (folder / "rejected" / "plain").unlink()
    (folder / "rejected" / "notes.txt.reason.json").write_text("{")
    assert [why.file for why in channel().rejection_reasons()] == ["c.parquet.gz"]


@pytest.mark.parametrize(
    ("name", "content", "field", "rule"),
    [
        ("cut.csv", (HEADER + LINES[0] + LINES[1][:9]).encode(), "last line", "line break"),
        ("cut.csv.gz", gzip.compress((HEADER + "".join(LINES)).encode(), mtime=0)[:-9], "file", "readable"),
        (
            "short.csv",
            (HEADER + LINES[0] + "AAA,2024-01-02T00:00:00Z\n").encode(),
            "broken lines",
            "line 3: 2 fields instead of 5",
        ),
        ("binary.csv", b"PAR1\0\0\0\n", "file", "CSV text"),
        ("latin.csv", "station,time,t\nZ\xfcrich,2024-01-01T00:00:00Z,1\n".encode("latin-1"), "broken lines", "UTF-8"),
        ("empty.csv", b"", "file", "a file with readings"),
        ("twice.csv", b"station,time,t,t\nA,2024-01-01T00:00:00Z,1,1\n", "column", "each column once"),
        ("nowhere.csv", b"time,t\n2024-01-01T00:00:00Z,1\n", "columns", "place or station"),
        ("never.csv", b"station,t\nAAA,1\n", "columns", "at or time"),
        ("half.jsonl", json_lines()[:-20], "line 4", "JSON object a line"),
        ("list.jsonl", b"[1, 2]\n", "broken lines", "an object"),
        (
            "deep.jsonl",
            b'{"station": "AAA", "time": "2024-01-01T00:00:00Z", "t": [1]}\n',
            "broken lines",
            "a number, a text",
        ),
        (
            "true.jsonl",
            b'{"station": "AAA", "time": "2024-01-01T00:00:00Z", "t": true}\n',
            "broken lines",
            "a number, a text",
        ),
        (
            "whenever.jsonl",
            b'{"station": "AAA", "time": "2024-01-01T00:00:00Z"}\n{"station": "AAA"}\n',
            "broken lines",
            "time must be given",
        ),
        ("no.parquet", b"PAR1" + b"x" * 100, "file", "readable"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_damaged_file_is_set_aside_with_reason(
    name: str, content: bytes, field: str, rule: str, channel: Callable[..., Inbox], folder: Path, feed: Feed
) -> None:
    (folder / name).write_bytes(content)
    good = HEADER + LINES[0]
    (folder / "good.csv").write_text(good)
    assert [len(batch.table) for batch in taken(channel(), feed)] == [1]
    assert listing(folder) == ["done/good.csv", f"rejected/{name}", f"rejected/{name}.reason.json"]
    said = reason(folder, name)
    assert said["field"] == field
    assert rule in said["rule"]
    assert set(said) == {"file", "detail", "field", "value", "rule", "rejected_at"}


def test_column_type_without_readings_is_named(channel: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    table = pa.table({"station": ["AAA"], "time": ["2024-01-01T00:00:00Z"]})
    pq.write_table(table.append_column("t", pa.array([True])), folder / "bool.parquet")
    epoch = table.set_column(1, "time", pa.array([1_704_067_200])).append_column("t", pa.array([1.5]))
    pq.write_table(epoch, folder / "epoch.parquet")
    assert taken(channel(), feed) == []
    assert reason(folder, "bool.parquet")["field"] == "t"
    assert reason(folder, "epoch.parquet")["rule"] == "a column of timestamps, or of texts in ISO 8601"


def test_manifest_marks_file_as_complete(channel: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    whole = (HEADER + "".join(LINES)).encode().rstrip()  # without the last line break
    manifest(folder, "a.csv", whole, rows=4, bytes=len(whole))
    (folder / "a.csv").write_bytes(whole[:-40])
    assert channel().backlog() == 0  # its size says that it grows
    assert taken(channel(), feed) == []
    assert "a.csv" in listing(folder)
    (folder / "a.csv").write_bytes(whole)
    assert channel().backlog() == 1
    assert [len(batch.table) for batch in taken(channel(), feed)] == [4]
    assert listing(folder) == ["done/a.csv", "done/a.csv.manifest.json"]


def test_file_that_never_completes_is_rejected_after_deadline(
    channel: Callable[..., Inbox], folder: Path, feed: Feed
) -> None:
    whole = (HEADER + "".join(LINES)).encode()
    (folder / "a.csv").write_bytes(whole[:-40])
    manifest(folder, "a.csv", whole)
    (folder / "b.csv").write_bytes(whole)
    (folder / "b.csv.manifest.json").write_text("{")
    assert taken(channel(), feed) == []
    assert len(listing(folder)) == 4
    for path in folder.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert taken(channel(), feed) == []
    assert reason(folder, "a.csv")["field"] == "sha256"
    assert reason(folder, "b.csv")["field"] == "manifest"
    assert len(listing(folder)) == 6
    assert channel().backlog() == 0


def test_manifest_with_wrong_row_count_is_refused(channel: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    whole = (HEADER + "".join(LINES)).encode()
    (folder / "a.csv").write_bytes(whole)
    manifest(folder, "a.csv", whole, rows=5)
    assert taken(channel(), feed) == []
    assert reason(folder, "a.csv")["field"] == "rows"


CASES = SHARED.parent / "cases"


def case(name: str, columns: Sequence[str] = ("temp", "rh")) -> tuple[Feed, Path]:
    """A feed of a case's columns, and its folder."""
    if not (CASES / name).exists():
        pytest.skip(f"no case at {CASES / name}")
    declared = [
        {"name": column, "field": column, "source_unit": "degC", "unit": "degC", "range": [-90, 99]}
        for column in columns
    ]
    window = {"steps": 2, "columns": [columns[0]], "look_back": 24}
    return small_feed(Path("x"), columns=declared, targets=[columns[0]], window=window, vectors=[]), CASES / name


def test_broken_csv_line_is_set_aside(channel: Callable[..., Inbox], folder: Path) -> None:
    feed, files = case("17-one-broken-line")
    shutil.copy(files / "readings.csv", folder)
    one = channel()
    (batch,) = taken(one, feed)
    rows = batch.table.to_pylist()
    assert len(rows) == 47
    broken = rows.pop(19)
    assert all(row["station"] == "AAA" and row["time"] and row["flags"] is None for row in rows)
    assert broken["time_text"] == "AAA,2024-03-01T19:0AAA,2024-03-01T20:00:00Z,4.5,55"
    assert broken["flags"] == "malformed=21: 5 fields instead of 4"
    assert [broken[name] for name in ("station", "time", "temp", "rh")] == [None] * 4
    assert one.notes == [
        "readings.csv: 1 of 47 lines are broken and quarantined; the first is line 21: 5 fields instead of 4: "
        "'AAA,2024-03-01T19:0AAA,2024-03-01T20:00:00Z,4.5,55'"
    ]


@pytest.mark.parametrize("bad", ["nonsense", "[1]", '{"station": "AAA", "t": 1}', '{"station": "AAA", "time": [2]}'])
def test_broken_json_line_is_set_aside(bad: str, channel: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    lines = json_lines().decode().splitlines() * 8
    lines[17:17] = ["", bad]
    (folder / "a.jsonl").write_text("\n".join(lines))
    one = channel()
    (batch,) = taken(one, feed)
    rows = batch.table.to_pylist()
    assert len(rows) == 33
    broken = rows.pop(17)
    assert [row["t"] for row in rows] == ["1.5", "2.5", "3.5", "4.5"] * 8
    assert (broken["station"], broken["time"], broken["time_text"]) == (None, None, bad)
    assert broken["flags"].startswith("malformed=19: ")
    assert one.notes[0].startswith("a.jsonl: 1 of 33 lines are broken and quarantined; the first is line 19: ")


@pytest.mark.parametrize(
    ("name", "columns", "rows", "ignored"),
    [
        ("18-one-column-more", ("temp", "rh"), {"old.csv": 6, "readings.csv": 6}, "battery_v"),
        ("47-many-files-and-addresses", ("temp",), {"month_1.csv": 12, "month_2.csv": 12}, "quality"),
    ],
)
def test_undeclared_columns_are_ignored_and_named(
    name: str, columns: tuple[str, ...], rows: dict[str, int], ignored: str, channel: Callable[..., Inbox], folder: Path
) -> None:
    feed, files = case(name, columns)
    for file in rows:
        shutil.copy(files / file, folder)
    one = channel()
    assert {each.table["source"][0].as_py(): len(each.table) for each in taken(one, feed)} == {
        f"inbox/{file}": count for file, count in rows.items()
    }
    assert one.rejections == []
    assert f"{list(rows)[-1]}: columns that are not declared are ignored: {ignored}" in one.notes


def test_ignored_columns_of_several_files_are_named(channel: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    table = pa.table({"station": ["AAA"], "time": ["2024-01-01T00:00:00Z"], "t": [1.5]})
    table = table.append_column("__index_level_0__", pa.array([7])).append_column("ok", pa.array([True]))
    pq.write_table(table, folder / "a.parquet")
    (folder / "b.jsonl").write_text(json.dumps(table.to_pylist()[0] | {"ok": "yes"}) + "\n")
    one = channel()
    assert [batch.table["t"].to_pylist() for batch in taken(one, feed)] == [["1.5"], ["1.5"]]
    said = "columns that are not declared are ignored: __index_level_0__, "
    assert one.notes == [f"a.parquet: {said}ok", f"b.jsonl: {said}ok"]


def test_repeated_content_is_new_delivery(channel: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    """Also if it was moved back: the newest delivery counts, and after a correction this is it again."""
    (folder / "a.csv").write_text(HEADER + LINES[0])
    segments = [batch.segment for batch in taken(channel(), feed)]
    os.rename(folder / "done" / "a.csv", folder / "a.csv")
    segments += [batch.segment for batch in taken(channel(), feed)]
    shutil.copy2(folder / "done" / "a.csv", folder / "b.csv")
    (folder / "a.csv").write_text(HEADER + LINES[0])
    segments += [batch.segment for batch in taken(channel(), feed)]
    assert len(set(segments)) == 4
    assert len(listing(folder)) == 3  # done/a.csv twice, under two names


def test_file_touched_while_reading_is_taken_once(channel: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    (folder / "a.csv").write_text(HEADER + LINES[0])
    one = channel()
    for batch in one.take(feed):
        os.utime(folder / "a.csv", (1, 1))
        one.confirm(batch)
    assert listing(folder) == ["done/a.csv"]


def test_kill_before_move_gives_same_batches_again(
    channel: Callable[..., Inbox], folder: Path, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "PART_ROWS", 3)
    (folder / "a.csv").write_text(HEADER + "".join(LINES * 2))
    killed = channel()
    first = [(batch.segment, batch.table) for batch in killed.take(feed)]
    assert [len(table) for _, table in first] == [3, 3, 2]
    taking = killed.take(feed)
    killed.confirm(next(taking))  # and no more: the file stays as long as a part is missing
    assert listing(folder) == ["a.csv"]
    again = taken(channel(), feed)
    assert [(batch.segment, batch.table) for batch in again] == first
    assert [row["line"] for row in again[1].table.to_pylist()] == [0, 1, 2]
    assert listing(folder) == ["done/a.csv"]


def test_file_without_readings_is_done(channel: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    (folder / "a.csv").write_text(HEADER)
    assert taken(channel(), feed) == []
    assert listing(folder) == ["done/a.csv"]


def test_file_replaced_while_reading_is_not_lost(channel: Callable[..., Inbox], folder: Path, feed: Feed) -> None:
    (folder / "a.csv").write_text(HEADER + LINES[0])
    one = channel()
    taking = one.take(feed)
    batch = next(taking)
    (folder / ".new").write_text(HEADER + LINES[1])
    os.replace(folder / ".new", folder / "a.csv")
    one.confirm(batch)
    assert listing(folder) == ["a.csv"]
    assert [each.table["t"].to_pylist() for each in taken(channel(), feed)] == [["2.5"]]


def test_unreadable_file_is_set_aside_after_patience_and_blocks_none(
    tmp_path: Path, folder: Path, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("a.csv", "b.csv", "c.csv")):
        (folder / name).write_text(HEADER + LINES[number])
    manifest(folder, "c.csv", (folder / "c.csv").read_bytes())
    bad = {"a.csv", "c.csv.manifest.json"}

    def failing(folder: FolderStore, found: Entry) -> AbstractContextManager[Path]:
        if found.name in bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return local(folder, found)

    def failing_read(folder: FolderStore, name: str) -> bytes | None:
        if name in bad:
            raise AeroCastError(f"{name} cannot be read: {os.strerror(errno.EIO)}")
        return read(folder, name)

    local, read = FolderStore.local_copy, FolderStore.read
    monkeypatch.setattr(FolderStore, "local_copy", failing)
    monkeypatch.setattr(FolderStore, "read", failing_read)
    one = Inbox(str(folder.parent), tmp_path, feed.name)
    assert [batch.table["source"][0].as_py() for batch in taken(one, feed)] == ["inbox/b.csv"]
    assert [note.split(",")[0] for note in one.notes] == ["tried 1 time"] * 2
    assert "a.csv cannot be read: Input/output error" in one.notes[0]
    assert len(one.delays()) == 2
    assert one.backlog() == 0, "not before their time"
    assert taken(one, feed) == []
    bad.remove("c.csv.manifest.json")
    monkeypatch.setattr(Delay, "is_due", lambda *_: True)
    assert one.backlog() == 2
    last = Inbox(str(folder.parent), tmp_path, feed.name, patience=timedelta(0))
    assert [batch.table["source"][0].as_py() for batch in taken(last, feed)] == ["inbox/c.csv"]
    assert {"done/b.csv", "done/c.csv", "rejected/a.csv", "rejected/a.csv.reason.json"} <= set(listing(folder))
    assert last.delays() == {}
    (refused,) = last.rejection_reasons()
    assert "Input/output error" in refused.detail
