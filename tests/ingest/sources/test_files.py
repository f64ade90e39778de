"""Sources of files: whatever a path names is read, whole, and again only where it has changed."""

import gzip
import http.server
import io
import json
import os
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.channels.slots import fingerprints_of_slots
from tests.factories.cases import CASES, case
from tests.harness.deliveries import LATER, Deliveries
from tests.harness.object_store import new_home, object_store
from tests.tables.test_layouts import WIDE_COLUMNS, declared

FIRST, SECOND = (f"station,time,temp\nAAA,2024-0{month}-01T00:00Z,{month}\n".encode() for month in (1, 2))


def of_path(path: object, kind: str = "csv", **source: Any) -> Feed:
    return declared({"kind": kind, "path": str(path), "station_field": "station"} | source)


def temperatures(home: Path, feed: Feed) -> list[float]:
    made = Deliveries(home, feed)
    made()
    assert not made.taken.failures, made.taken.failures
    return list(made.values("temperature").values())


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/") + ".csv", data)
    return path


def tarred(path: Path, **members: bytes) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("__", "/") + ".csv")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


# Paths ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declaration", ["glob.yaml", "folder.yaml"])
def test_case_47_many_files_are_read_as_one(home: Path, declaration: str) -> None:
    made = Deliveries(home, case("47-many-files-and-addresses", declaration))
    made()
    lines = [(CASES / f"47-many-files-and-addresses/month_{n}.csv").read_text().splitlines()[1:] for n in (1, 2)]
    assert made.count("bronze") == sum(map(len, lines))
    assert made.count("quarantine") == 0


def test_case_47_inbox_takes_the_same_files(home: Path) -> None:
    made = Deliveries(home, case("47-many-files-and-addresses", "push.yaml"))
    for path in sorted((CASES / "47-many-files-and-addresses").glob("*.csv")):
        made.drop(path.name, path)
    made()
    assert not made.taken.rejections
    assert made.count("bronze") == 24


@pytest.mark.parametrize("place", ["folder", "pattern", "deep", "zip", "tar", "compressed"])
def test_path_may_name_many_files(home: Path, tmp_path: Path, place: str) -> None:
    folder = tmp_path / "data"
    (folder / "below").mkdir(parents=True)
    (folder / "a.csv").write_bytes(FIRST)
    (folder / "below/b.csv").write_bytes(SECOND)
    (folder / ".hidden.csv").write_bytes(b"no readings")
    (folder / "notes.md").write_bytes(b"no readings")
    if place == "compressed":
        (folder / "a.csv").unlink()
        (folder / "a.csv.gz").write_bytes(gzip.compress(FIRST))
    paths = {
        "folder": folder,
        "compressed": folder,
        "pattern": folder / "*.csv",
        "deep": folder / "**/*.csv",
        "zip": zipped(tmp_path / "a.zip", a=FIRST, below__b=SECOND, above__=b"x"),
        "tar": tarred(tmp_path / "a.tar.gz", a=FIRST, below__b=SECOND),
    }
    assert temperatures(home, of_path(paths[place])) == ([1.0] if place == "pattern" else [1.0, 2.0])


def test_members_of_an_archive_are_chosen_by_pattern(home: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", good_1=FIRST, bad_2=b"what,ever\n", good_2=SECOND)
    assert temperatures(home, of_path(path, member="good*")) == [1.0, 2.0]
    feed = of_path(path, member="none")
    with pytest.raises(AeroCastError, match=r"a\.zip has no member none"):
        list(feed.source.read(feed, ReadRequest()))


def test_station_is_found_in_the_names_of_files_and_members(home: Path, tmp_path: Path) -> None:
    plain = b"time,temp\n2024-01-01T00:00Z,1\n"
    stations = [{"id": "AAA"}, {"id": "BBB"}]
    source = {"kind": "csv", "station_field": None, "station_pattern": r"(?P<station>[A-Z]+)\.csv$"}
    path = zipped(tmp_path / "a.zip", AAA=plain, BBB=plain)
    made = Deliveries(home, declared(source | {"path": str(path)}, stations=stations))
    made()
    assert set(made.values("temperature")) == {("AAA", "01-01T00:00"), ("BBB", "01-01T00:00")}


def test_files_may_lack_fields_that_others_have(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(FIRST)
    (tmp_path / "b.csv").write_bytes(b"station,rh,time\nAAA,40,2024-01-01T00:00Z\n")
    source = {"kind": "csv", "station_field": "station", "path": str(tmp_path)}
    made = Deliveries(home, declared(source, columns=WIDE_COLUMNS))
    made()
    assert list(made.values("temperature", "humidity").values()) == [(1, 40)]
    (tmp_path / "b.csv").unlink()
    (tmp_path / "c.csv").write_bytes(SECOND)
    made()
    assert "no file has a field 'rh'" in made.taken.failures["source"]


def test_file_that_is_added_changed_or_removed_changes_its_readings(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(FIRST)
    (tmp_path / "b.csv").write_bytes(SECOND)
    made = Deliveries(home, of_path(tmp_path / "*.csv"))
    made()
    marks = [made.feed.source.fingerprint(made.feed)]
    (tmp_path / "b.csv").write_bytes(SECOND.replace(b",2\n", b",22\n"))
    (tmp_path / "c.csv").write_bytes(b"station,time,temp\nAAA,2024-02-02T00:00Z,3\n")
    made()
    assert list(made.values("temperature").values()) == [1, 22, 3]
    marks.append(made.feed.source.fingerprint(made.feed))
    (tmp_path / "a.csv").unlink()
    made()
    assert list(made.values("temperature").values()) == [22, 3]
    assert len({*marks, made.feed.source.fingerprint(made.feed)}) == 3


def test_fault_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(FIRST)
    (tmp_path / "b.csv").write_bytes(b"\0\0\n")
    feed = of_path(tmp_path / "*.csv")
    with pytest.raises(AeroCastError, match=r"b\.csv is binary"):
        list(feed.source.read(feed, ReadRequest()))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("none_*.csv", "matches no file"),
        ("none", "does not exist"),
        ("broken.zip", r"broken\.zip is damaged, encrypted or no archive"),
        ("broken.tar", r"broken\.tar is damaged, encrypted or no archive"),
        ("empty.zip", r"empty\.zip holds no file that ends with \.csv"),
        ("", "holds no file that ends with"),
    ],
)
def test_path_without_files_is_one_sentence(tmp_path: Path, path: str, text: str) -> None:
    for name in ("broken.zip", "broken.tar"):
        (tmp_path / name).write_bytes(b"no archive")
    zipped(tmp_path / "empty.zip")
    feed = of_path(tmp_path / path)
    with pytest.raises(AeroCastError, match=text) as error:
        list(feed.source.read(feed, ReadRequest()))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"path": "ftp://x/a.csv"}, "source.path: 'ftp://x/a.csv' must be a local path or begin with s3://, https://"),
        ({"path": "https://x/a.csv", "package": "x"}, "source.package: 'x' has no files at 'https://x/a.csv'"),
    ],
)
def test_impossible_address_is_refused(source: dict[str, Any], text: str) -> None:
    with pytest.raises(AeroCastError) as error:
        declared({"kind": "csv"} | source)
    assert text in str(error.value)


# Kinds ---------------------------------------------------------------------------------------------------------------


def test_parquet_files_are_read_with_their_types(home: Path, tmp_path: Path) -> None:
    times = pa.array([1704067200, 1704070800], pa.timestamp("s", "UTC"))
    table = pa.table({"station": ["AAA"] * 2, "time": times, "temp": [1.5, float("nan")], "more": [1, 2]})
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(table.set_column(1, "time", pa.array(["2024-01-02T00:00Z", "soon"])), tmp_path / "b.pq")
    made = Deliveries(home, of_path(tmp_path, "parquet"))
    made()
    assert list(made.values("temperature").values()) == [1.5, None, 1.5]
    assert made.rules() == {"unparseable": 1}


def test_numbers_in_parquet_are_times_only_in_a_format_that_says_so(home: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"time": [1704067200], "temp": [1.5]}), tmp_path / "a.parquet")
    source = {"station_field": None, "time_format": "epoch"}
    assert temperatures(home, of_path(tmp_path / "a.parquet", "parquet", **source)) == [1.5]
    feed = of_path(tmp_path / "a.parquet", "parquet", station_field=None)
    with pytest.raises(AeroCastError, match="time is 'int64'; allowed: a column of timestamps"):
        list(feed.source.read(feed, ReadRequest()))


def test_files_of_json_lines_are_read(home: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"station": "AAA", "time": f"2024-01-01T{hour:02d}:00Z", "temp": hour}) for hour in range(24)]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines[:12], "{broken", *lines[12:]]) + "\n")
    made = Deliveries(home, of_path(tmp_path / "a.jsonl", "jsonl"))
    made()
    assert list(made.values("temperature").values()) == [*range(24)]
    assert made.rules() == {"malformed": 1}


# Remote places -------------------------------------------------------------------------------------------------------


class Files(http.server.BaseHTTPRequestHandler):
    """Serves `content` by path, with ETags, and counts what it was asked for; some requests fail at first."""

    content: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []
    faults: ClassVar[list[int]] = []
    knows_head = True

    def do_HEAD(self) -> None:
        self._answer(send=False) if self.knows_head else self.send_error(405)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, *, send: bool) -> None:
        data = self.content.get(self.path)
        if self.faults:
            self.send_error(self.faults.pop())
        elif data is None:
            self.send_error(404)
        elif self.headers["If-None-Match"] == f'"{hash(data)}"':
            self.asked.append(f"{self.command} 304")
            self.send_response(304)
            self.end_headers()
        else:
            self.asked.append(f"{self.command} 200")
            self.send_response(200)
            self.send_header("ETag", f'"{hash(data)}"')
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data if send else b"")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(**content: bytes) -> Iterator[str]:
    Files.content, Files.asked, Files.faults = {f"/{name}.csv": data for name, data in content.items()}, [], []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_file_at_a_url_is_downloaded_only_when_it_has_changed(tmp_path: Path) -> None:
    with served(a=FIRST) as url:
        feed = of_path(f"{url}/a.csv")
        request = ReadRequest(work=tmp_path)
        mark = feed.source.fingerprint(feed)
        first = list(feed.source.read(feed, request))
        again = list(feed.source.read(feed, request))
        assert [each.segment for each in first] == [each.segment for each in again]
        assert Files.asked == ["HEAD 200", "GET 200", "GET 304"]
        Files.content["/a.csv"] = FIRST + b"AAA,2024-01-01T01:00Z,2\n"
        assert feed.source.fingerprint(feed) != mark
        assert [len(each.table) for each in feed.source.read(feed, request)] == [2]
        assert Files.asked[-1] == "GET 200"


def test_archive_at_a_url_is_read(home: Path, tmp_path: Path) -> None:
    with served(a=b"") as url:
        Files.content["/a.zip"] = zipped(tmp_path / "a.zip", a=FIRST, b=SECOND).read_bytes()
        assert temperatures(home, of_path(f"{url}/a.zip?version=1".removesuffix("?version=1"))) == [1.0, 2.0]


def test_server_that_fails_at_first_is_asked_again(tmp_path: Path) -> None:
    with served(a=FIRST) as url:
        Files.faults.append(503)
        feed = of_path(f"{url}/a.csv")
        assert len(list(feed.source.read(feed, ReadRequest()))) == 1
        feed = of_path(f"{url}/none.csv")
        with pytest.raises(AeroCastError, match=r"none\.csv was answered 404"):
            list(feed.source.read(feed, ReadRequest()))


def test_server_without_head_is_asked_for_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Files, "knows_head", False)
    with served(a=FIRST) as url:
        feed = of_path(f"{url}/a.csv")
        mark = feed.source.fingerprint(feed)
        assert mark == feed.source.fingerprint(feed)
        Files.content["/a.csv"] = SECOND
        assert mark != feed.source.fingerprint(feed)


@pytest.mark.e2e
def test_objects_of_a_store_are_read_by_name_pattern_and_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    with object_store(monkeypatch):
        bucket = str(new_home(home)).removeprefix("s3://").partition("/")[0]
        client = boto3.client("s3")
        for key, data in {"data/a.csv": FIRST, "data/b/b.csv": SECOND, "data/notes.md": b"x"}.items():
            client.put_object(Bucket=bucket, Key=key, Body=data)
        paths = {"data/a.csv": [1.0], "data/*.csv": [1.0, 2.0], "data": [1.0, 2.0], "data/b/*": [2.0]}
        for at, (path, values) in enumerate(paths.items()):
            assert temperatures(home / str(at), of_path(f"s3://{bucket}/{path}")) == values
        feed = of_path(f"s3://{bucket}/data")
        mark = feed.source.fingerprint(feed)
        client.put_object(Bucket=bucket, Key="data/c.csv", Body=FIRST)
        assert feed.source.fingerprint(feed) != mark
        with pytest.raises(AeroCastError, match="matches no object"):
            of_path(f"s3://{bucket}/none*.csv").source.fingerprint(feed)


# Growth --------------------------------------------------------------------------------------------------------------

START = datetime(2024, 1, 30, tzinfo=UTC)


def hours(first: int, count: int, value: int = 1) -> str:
    times = (START + timedelta(hours=hour) for hour in range(first, first + count))
    return "".join(f"AAA,{time:%Y-%m-%dT%H:%MZ},{value}\n" for time in times)


def test_file_that_grows_is_read_from_its_newest_month_on(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("station,time,temp\n" + hours(0, 24 * 40))
    made = Deliveries(home, of_path(path))
    made()

    def deliveries() -> dict[str, bool]:
        slots = fingerprints_of_slots(made.lake, made.feed)
        request = ReadRequest(None, LATER, work=made.home / "sources", slots=slots)
        return {each.month: each.is_unchanged for each in made.feed.source.read(made.feed, request)}

    assert deliveries() == {"2024-01": True, "2024-02": True, "2024-03": False}
    with path.open("a") as file:
        file.write(hours(24 * 40, 24 * 40, 2))
    made()
    assert made.taken.rows.total() == 24 * 40
    assert made.count("bronze") == 24 * 80
    assert deliveries() == {"2024-01": True, "2024-02": True, "2024-03": True, "2024-04": False}
    path.write_text(path.read_text().replace(",1\n", ",9\n", 1))
    made()
    assert next(iter(made.values("temperature").values())) == 9, "a change further up is seen"
    made.feed = of_path(path, missing=[2])
    assert not any(deliveries().values()), "so is another way to read it"


additions = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 24 * 40), st.integers(1, 60), st.integers(0, 9)).map(lambda args: hours(*args)),
        st.sampled_from(
            ["AAA,2024-02-01T00:00Z\n", "AAA,soon,3\n", 'AAA,2024-03-09T00:00Z,"4"\n', "\n", "BBB,2024-02-03"]
        ),
    ),
    min_size=2,
    max_size=5,
)


@pytest.mark.e2e
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(additions, st.booleans())
def test_file_that_grows_becomes_what_it_is_at_the_end(parts: list[str], edited: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_text("station,time,temp\n" + hours(0, 24 * 3))
        feed = of_path(path, broken_lines=0.5)
        growing = Deliveries(Path(folder) / "growing", feed)
        growing()
        for part in parts:
            with path.open("a") as file:
                file.write(part)
            os.utime(path, (0, 0))
            growing()
        if edited:
            path.write_text(path.read_text().replace("2024-01-30T05:00Z,1", "2024-01-30T05:00Z,8", 1))
            os.utime(path, (0, 0))
            growing()
        whole = Deliveries(Path(folder) / "whole", feed)
        whole()
        assert growing.values("temperature") == whole.values("temperature")
        assert growing.rules() == whole.rules()
