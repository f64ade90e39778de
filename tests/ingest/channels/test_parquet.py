"""Parquet that lies is refused in bounded memory and time, and whatever it does, the next file is read."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels import parquet, parquet_worker
from aerocast.ingest.channels.parquet import read_columns, read_tables
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.channels.readings import definition_of
from tests import PROJECT
from tests.conftest import SEED
from tests.factories.lies import NAMED, honest, honest_files, lies

MOST = 400  # megabytes
ROWS = 50


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    parquet.stop_idle()
    yield
    parquet.stop_idle()


def results(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.harness.parquet_process", folder]
    return json.loads(subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, timeout=280).stdout)


def read(path: Path, feed: Feed) -> list[pa.Table]:
    columns, _ = read_columns(path, definition_of(feed))
    return list(read_tables(path, columns.names))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.e2e
def test_no_named_lie_takes_much_memory_or_ends_its_reader(tmp_path: Path) -> None:
    for number, build in enumerate(NAMED.values()):
        write(tmp_path / f"{number:03d}.parquet", build())
    write(tmp_path / "999.parquet", honest())
    found = results(tmp_path)
    *outcomes, last = found["outcomes"].values()
    assert (dict(zip(NAMED, outcomes, strict=True)), last) == (dict.fromkeys(NAMED, "refused"), f"{ROWS} rows")
    assert max(found["own"], found["others"]) <= MOST


@pytest.mark.e2e
def test_no_random_lie_takes_much_memory_or_ends_its_reader(tmp_path: Path) -> None:
    """Integers of footers and of page headers replaced, lengths of lists, and bytes flipped."""
    for number, data in enumerate(lies(int(os.environ[SEED]), 400)):
        write(tmp_path / f"{number:03d}.parquet", data)
    write(tmp_path / "999.parquet", honest())
    found = results(tmp_path)
    assert {*found["outcomes"].values()} <= {"refused", *(f"{rows} rows" for rows in range(ROWS + 1))}
    assert found["outcomes"]["999"] == f"{ROWS} rows"
    assert max(found["own"], found["others"]) <= MOST


@pytest.mark.parametrize("number", range(5))
def test_honest_file_is_read_whatever_its_encodings(number: int, tmp_path: Path, feed: Feed) -> None:
    path = write(tmp_path / "a.parquet", honest_files()[number])
    assert pa.concat_tables(read(path, feed)).equals(pq.read_table(path, columns=["place", "at", "t", "w", "p"]))


@pytest.mark.parametrize("name", ["groups 300,000 deep", "pages of 2 GB", "more rows than there are"])
def test_file_that_ends_its_reader_is_refused_and_next_one_is_read(name: str, tmp_path: Path, feed: Feed) -> None:
    lie, good = write(tmp_path / "a.parquet", NAMED[name]()), write(tmp_path / "b.parquet", honest())
    for _ in range(2):
        with pytest.raises(ReadingError, match="allowed: "):
            read(lie, feed)
        assert sum(map(len, read(good, feed))) == ROWS


def test_one_process_reads_many_files(tmp_path: Path, feed: Feed) -> None:
    path = write(tmp_path / "a.parquet", honest())
    read(path, feed)
    (first,) = parquet._idle
    assert os.getpgid(first.pid) != os.getpgid(0), "Ctrl-C does not reach it"
    for data in (honest(), b"PAR1", NAMED["fewer rows than there are"](), honest()):
        with suppress(ReadingError, pa.ArrowException):
            read(write(path, data), feed)
    assert parquet._idle == [first]


def test_file_that_is_left_halfway_leaves_nothing_for_next_one(tmp_path: Path, feed: Feed) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"place": ["AAA"] * 100_000, "t": pa.array(range(100_000))}), path)
    tables = read_tables(path, ["place", "t"])
    assert len(next(tables)) == 20_000
    other = write(tmp_path / "b.parquet", honest())
    assert sum(map(len, read(other, feed))) == ROWS, "two files at once"
    parquet.stop_idle()
    tables.close()  # type: ignore[attr-defined]
    assert sum(map(len, read(other, feed))) == ROWS


def test_time_of_processor_is_bounded(tmp_path: Path, feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    program = f"""
from {parquet_worker.__package__} import parquet_worker
def endless(request):
    while True: pass
parquet_worker.SECONDS, parquet_worker._head = 1, endless
parquet_worker.main()
"""
    monkeypatch.setattr(parquet, "COMMAND", (sys.executable, "-c", program))
    with pytest.raises(ReadingError, match="of the processor's time"):
        read(write(tmp_path / "a.parquet", honest()), feed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_process_that_is_ended_from_outside_says_nothing_about_file(
    number: signal.Signals, tmp_path: Path, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is not rejected because the machine is shut down, or is short of memory."""
    # Whoever runs the tests may ignore a signal, which children take over.
    program = f"import os, signal; {number} == 9 or signal.signal({number}, signal.SIG_DFL)"
    program += f"; os.kill(os.getpid(), {number})"
    with monkeypatch.context() as patch:
        patch.setattr(parquet, "COMMAND", (sys.executable, "-c", program))
        with pytest.raises(AeroCastError, match=f"ended with status {-number}") as refusal:
            read(write(tmp_path / "a.parquet", honest()), feed)
    assert not isinstance(refusal.value, ReadingError)
    assert sum(map(len, read(tmp_path / "a.parquet", feed))) == ROWS


def test_file_that_disk_does_not_give_is_no_fault_of_it(tmp_path: Path, feed: Feed) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "a.parquet", feed)


def test_processes_end_with_theirs(tmp_path: Path) -> None:
    """Killed, too: nobody asks any more."""
    path = write(tmp_path / "a.parquet", honest())
    program = f"""
import os, signal
from pathlib import Path
from aerocast.ingest.channels import parquet
list(parquet.read_tables(Path({str(path)!r}), ["t"]))
print(parquet._idle[0].pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, check=False, timeout=60)
    assert result.returncode == -signal.SIGKILL
    for _ in range(100):
        if not Path(f"/proc/{int(result.stdout)}/cmdline").exists() or not _cmdline(int(result.stdout)):
            return
        signal.sigtimedwait([], 0.1)
    raise AssertionError("it is still there")


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()  # nothing of a zombie
    except (FileNotFoundError, ProcessLookupError):
        return b""
