"""One delivery, whatever it is, is set aside with a reason, stops none behind it, and takes little memory."""

import gzip
import io
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.inbox import Inbox
from aerocast.ingest.channels.intake import IntakeReport, take_all
from aerocast.ingest.channels.observations import HttpChannel
from aerocast.ingest.channels.posted import Limits, PostRefusal, PostStore
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.channels.readings import definition_of
from aerocast.lake import Lake
from tests.factories.feeds import small_feed
from tests.factories.lies import NAMED
from tests.harness.memory import memory_bounded

GOOD = b"station,time,t,w,p\nAAA,2024-01-01T00:00:00Z,1.5,3,1012.25\n"
TIME = "2024-01-01T00:00:00Z"
MOST = 300  # megabytes


def parquet(**columns: object) -> bytes:
    stream = io.BytesIO()
    table = pa.table(columns)
    pq.write_table(table, stream, compression="zstd", row_group_size=max(1, len(table)))
    return stream.getvalue()


def latin() -> pa.Array:
    """A text that is no UTF-8, as a careless writer leaves it."""
    return pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\6\0\0\0"), pa.py_buffer(b"Z\xfcrich")])


def repeated(text: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([text]))


def zipped(start: bytes, line: bytes, times: int) -> bytes:
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(times):
            file.write(line)
    return stream.getvalue()


def long_text(times: int) -> bytes:
    return parquet(station=repeated("x" * (1 << 20), times), time=[TIME] * times, t=[1.0] * times)


LINE = b'{"station": "AAA", "time": "2024-01-01T00:00:00Z", "t": "%s"}\n' % (b"1" * 1_000_000)
FILES: dict[str, tuple[bytes, Callable[[], bytes]]] = {
    "a text of another encoding": (b"a.parquet", lambda: parquet(station=latin(), time=[TIME], t=[1.5])),
    "a name of another encoding": (b"a\xff.csv", lambda: GOOD),
    "a name of two lines": (b"a\n2024-01-01 ERROR forged.csv", lambda: b"PAR1"),
    "a long name": (b"a" * 240 + b".csv", lambda: b"PAR1"),
    "a long text for many rows": (b"a.parquet", lambda: long_text(6000)),
    "rows of nothing": (b"a.parquet", lambda: parquet(**{name: pa.nulls(9**8) for name in ("station", "time", "t")})),
    "a line without an end": (b"a.jsonl.gz", lambda: zipped(b'{"station": "', b"1" * 1_000_000, 400)),
    "long lines": (b"a.jsonl.gz", lambda: zipped(b"", LINE, 400)),
    "types too deep": (b"a.parquet", NAMED["groups 10,000 deep"]),
    "pages too large": (b"a.parquet", NAMED["pages of 2 GB"]),
    "more rows than there are": (b"a.parquet", NAMED["more rows than there are"]),
}  # fmt: skip
MANIFESTS = {"no UTF-8": b'{"sha256": "\xff"}', "deep": b'{"x": ' + b"[" * 200_000, "huge": b" " * (100 << 20)}


@pytest.fixture(scope="module", autouse=True)
def _libraries(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What they take at their first use is no file's."""
    home = tmp_path_factory.mktemp("home")
    feed = small_feed(home)
    for name, data in {"a.csv": GOOD, "a.parquet": parquet(station=["AAA"], time=[TIME], t=[1.5])}.items():
        path = home / "inbox" / feed.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert taken(home, feed).rows == {"inbox": 2}


@pytest.fixture
def folder(tmp_path: Path, feed: Feed) -> Path:
    place = tmp_path / "inbox" / feed.name
    place.mkdir(parents=True)
    return place


def taken(home: Path, feed: Feed) -> IntakeReport:
    channels = [HttpChannel(home, feed.name), Inbox(str(home / "inbox"), home, feed.name, grace=0)]
    report = take_all(Lake(home), feed, channels)
    assert report.failures == {}
    return report


@pytest.mark.parametrize("name", FILES)
def test_hostile_file_is_rejected_and_blocks_none(
    name: str, tmp_path: Path, folder: Path, feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    file, content = FILES[name]
    Path(os.fsdecode(os.path.join(os.fsencode(folder), file))).write_bytes(content())
    (folder / "z.csv").write_bytes(GOOD)
    with caplog.at_level(logging.WARNING), memory_bounded(MOST):
        report = taken(tmp_path, feed)
    assert (report.rows, len(report.rejections)) == ({"inbox": 1}, 1)
    assert len(list((folder / "rejected").glob("*.reason.json"))) == 1
    assert not any("\n" in record.getMessage() for record in caplog.records)
    assert taken(tmp_path, feed).rejections == []


def test_good_file_of_odd_name_is_taken(tmp_path: Path, folder: Path, feed: Feed) -> None:
    for file in ("ü.csv", "a\nb.csv", "a" * 240 + ".csv"):
        (folder / file).write_bytes(GOOD)
    assert taken(tmp_path, feed).rows == {"inbox": 3}
    assert len(list((folder / "done").iterdir())) == 3


@pytest.mark.parametrize("name", MANIFESTS)
def test_hostile_manifest_rejects_its_file_only(name: str, tmp_path: Path, folder: Path, feed: Feed) -> None:
    (folder / "a.csv").write_bytes(GOOD)
    (folder / "a.csv.manifest.json").write_bytes(MANIFESTS[name])
    (folder / "z.csv").write_bytes(GOOD)
    with memory_bounded(MOST // 4):
        report = taken(tmp_path, feed)
    assert (report.rows, len(report.rejections)) == ({"inbox": 1}, 1)


def test_link_is_neither_read_nor_written_through(tmp_path: Path, folder: Path, feed: Feed) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret line\n")
    (folder / "a.csv").symlink_to(outside / "secret")
    (folder / "rejected").symlink_to(outside)
    (folder / "b.csv").write_bytes(b"PAR1")
    (folder / "z.csv").write_bytes(GOOD)
    report = taken(tmp_path, feed)
    assert (report.rows, len(report.rejections)) == ({"inbox": 1}, 1)
    assert "secret" not in str(report)
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert sorted(path.name for path in (folder / "rejected").glob("b.*")) == ["b.csv", "b.csv.reason.json"]


def test_unforeseen_fault_of_file_blocks_none(
    tmp_path: Path, folder: Path, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.csv").write_bytes(GOOD)
    (folder / "z.csv").write_bytes(GOOD)
    read = Inbox._raw

    def raw(self: Inbox, feed: Feed, name: str, content: object) -> object:
        if name == "a.csv":
            raise KeyError("nobody thought of this")
        return read(self, feed, name, content)  # type: ignore[arg-type]

    monkeypatch.setattr(Inbox, "_raw", raw)
    report = taken(tmp_path, feed)
    assert report.rows == {"inbox": 1}
    assert any("nobody thought of this" in note for note in report.notes)
    assert (folder / "a.csv").exists(), "it is tried again, and rejected in the end"


def test_post_that_unpacks_to_much_is_set_aside(tmp_path: Path, feed: Feed) -> None:
    stream = io.BytesIO()
    table = pa.table({"station": ["AAA"] * 1500, "time": [TIME] * 1500, "t": repeated("9" * 4_000_000, 1500)})
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    store = PostStore(tmp_path, feed.name, Limits(bytes=1000))
    store._limits = Limits()
    store.post(None, stream.getvalue(), "arrow", 1500)
    store.post(None, b'{"station": "AAA", "time": "2024-01-01T00:00:00Z", "t": 1}', "json", 1)
    with memory_bounded(MOST):
        report = taken(tmp_path, feed)
    assert (report.rows, len(report.rejections)) == ({"http": 1}, 1)
    store.close()
    with pytest.raises(PostRefusal, match="waiting"):  # what was set aside takes its room
        PostStore(tmp_path, feed.name, Limits(bytes=1000)).post(None, b" " * 100, "json", 1)


def test_older_copy_of_posts_loses_no_later_post(tmp_path: Path, feed: Feed) -> None:
    body = b'{"station": "AAA", "time": "2024-01-0%dT00:00:00Z", "t": %d}'

    def post(*days: int) -> None:
        store = PostStore(tmp_path, feed.name)
        for day in days:
            store.post(None, body % (day, day), "json", 1)
        store.close()

    post(1)
    copy = store_file(tmp_path, feed).read_bytes()
    post(2, 3)
    assert taken(tmp_path, feed).rows == {"http": 3}
    for path in store_file(tmp_path, feed).parent.glob(f"{feed.name}.sqlite*"):
        path.unlink()
    store_file(tmp_path, feed).write_bytes(copy)
    post(4, 5, 6)
    report = taken(tmp_path, feed)
    assert report.rows == {"http": 4}, "the first one once more, which says nothing new"
    assert any("older copy" in note for note in report.notes)
    post(7)
    assert (taken(tmp_path, feed).rows, taken(tmp_path, feed).rows) == ({"http": 1}, {})


def store_file(home: Path, feed: Feed) -> Path:
    return PostStore(home, feed.name).path


def test_carriage_return_ends_no_line(feed: Feed) -> None:
    """Also where a field is not declared, and each line is looked at."""
    body = b'{"station": "AAA",\r"time": "2024-01-01T00:00:00Z", "t": 1, "more": 2}\n'
    assert len(definition_of(feed).json_lines(body * 2).rows) == 2


def test_long_text_is_refused(feed: Feed) -> None:
    for length, rule in ((201, "a text of at most 200 characters"), (100_000, "a reading of at most 65536 bytes")):
        with pytest.raises(ReadingError, match=rule):
            definition_of(feed).json(b'{"station": "A", "time": "2024-01-01T00:00:00Z", "t": "%s"}' % (b"1" * length))
