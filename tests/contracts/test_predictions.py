"""The prediction log: on disk at once, closed in time, whole after a kill, and quiet about a full disk."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts import predictions
from aerocast.contracts.predictions import Logged, LoggedForecast, PostedOutcome, PredictionLog
from tests.harness.waits import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def logged(name: str, feed: str = "noaa") -> Logged:
    forecast = LoggedForecast(1, NOW, 1.5, 1.0, 2.0)
    return Logged(
        id=name,
        feed=feed,
        target="temperature",
        station="JFK",
        issued_at=NOW,
        origin=NOW,
        version="0001-00000001",
        kind="linear",
        graph="station",
        shadow=False,
        degraded=True,
        reasons=("gap_filled",),
        level=0.9,
        forecasts=(forecast,),
    )


def ids(home: Path, feed: str = "noaa") -> list[str]:
    return [
        one.id for path in predictions.closed_segments(home, feed) for one in predictions.read_segment(path).predictions
    ]


def test_records_round_trip(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    posted = PostedOutcome(NOW, "noaa", "temperature", 12.5, id="one", horizon=6)
    assert log.append(logged("one"))
    assert log.append(posted)
    assert log.append(logged("two"))
    log.close()
    (segment,) = predictions.closed_segments(tmp_path, "noaa")
    found = predictions.read_segment(segment)
    assert found.predictions == (logged("one"), logged("two"))
    assert found.outcomes == (posted,)
    assert found.damaged == 0
    predictions.remove_segment(segment)
    predictions.remove_segment(segment)
    assert predictions.closed_segments(tmp_path, "noaa") == []


def test_feeds_have_separate_segments(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append(logged("one"))
    log.append(logged("two", "midwest"))
    log.close()
    assert ids(tmp_path) == ["one"]
    assert ids(tmp_path, "midwest") == ["two"]
    assert predictions.closed_segments(tmp_path, "none") == []


def test_open_segment_is_on_disk_but_not_listed(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append(logged("one"))
    (path,) = (tmp_path / "log/noaa").iterdir()
    assert msgspec.json.decode(path.read_bytes(), type=Logged) == logged("one")
    assert predictions.closed_segments(tmp_path, "noaa") == []
    log.close()
    assert ids(tmp_path) == ["one"]


def test_old_segment_is_closed_and_new_one_opened(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, seconds=0.05)
    log.append(logged("one"))
    until(lambda: len(predictions.closed_segments(tmp_path, "noaa")) == 1)
    log.append(logged("two"))
    until(lambda: len(predictions.closed_segments(tmp_path, "noaa")) == 2)
    log.close()
    assert ids(tmp_path) == ["one", "two"], "oldest first"


def test_long_segment_is_closed(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, seconds=60, rows=10)
    for number in range(10):
        log.append(logged(str(number)))
    until(lambda: len(predictions.closed_segments(tmp_path, "noaa")) == 1)
    assert len(ids(tmp_path)) == 10
    log.close()


def test_concurrent_writers_and_reader_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """A reader that looks all the time never takes a living writer's segment, nor one that is just being made."""
    log = PredictionLog(tmp_path, seconds=0.005)
    taken: list[str] = []

    def write(name: str) -> None:
        for number in range(300):
            log.append(logged(f"{name}{number}"))

    def take() -> None:
        for path in predictions.closed_segments(tmp_path, "noaa"):
            taken.extend(one.id for one in predictions.read_segment(path).predictions)
            predictions.remove_segment(path)

    writers = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in writers:
        thread.start()
    while any(thread.is_alive() for thread in writers):
        take()
    log.close()
    take()
    assert log.failures == 0
    assert sorted(taken) == sorted(f"{name}{number}" for name in "abc" for number in range(300))
    assert list((tmp_path / "log/noaa").iterdir()) == []


WRITER = """
import sys
from pathlib import Path
from aerocast.contracts.predictions import PredictionLog
from tests.contracts.test_predictions import logged
log = PredictionLog(Path(sys.argv[1]), seconds=0.2)
for number in range(10**9):
    log.append(logged(str(number)))
    print(number, flush=True)
"""


def test_killed_writer_leaves_every_written_line(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout
    said = [writer.stdout.readline() for _ in range(2000)]
    assert predictions.closed_segments(tmp_path, "noaa") == predictions.closed_segments(tmp_path, "noaa"), (
        "it lives: only closed ones"
    )
    writer.send_signal(signal.SIGKILL)
    said += writer.stdout.readlines()
    writer.wait()
    found = [int(name) for name in ids(tmp_path)]
    assert found == list(range(len(found))), "each once, in order"
    assert len(found) >= len([line for line in said if line.endswith("\n")])
    assert not list((tmp_path / "log/noaa").glob("*.open"))


def test_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append(logged("one"))
    (living,) = (tmp_path / "log/noaa").iterdir()
    whole = living.read_bytes()
    log.close()
    dead = living.with_name("0000000000000000000-00000000.open")
    dead.write_bytes(whole + whole + whole[:40])
    dead.with_name("0000000000000000001-00000000.open").write_bytes(whole[:40])
    first, _ = predictions.closed_segments(tmp_path, "noaa")
    assert first.read_bytes() == whole + whole
    assert not list(living.parent.glob("*.open")), "and one that holds no whole line is no segment"


def test_damaged_line_does_not_hide_others(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append(logged("one"))
    log.append(logged("two"))
    log.close()
    (segment,) = predictions.closed_segments(tmp_path, "noaa")
    first, second = segment.read_bytes().splitlines()
    segment.write_bytes(b"\n".join([first, b"\0" * 20, b'{"record": "other"}', second, b""]))
    found = predictions.read_segment(segment)
    assert [one.id for one in found.predictions] == ["one", "two"]
    assert found.damaged == 2


def test_unwritable_folder_is_counted_and_never_raised(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("no folder")
    log = PredictionLog(tmp_path, seconds=0.05)
    assert not log.append(logged("one"))
    assert not log.append(logged("two"))
    assert log.failures == 2
    assert log.error
    assert "could not be written" in log.error
    (tmp_path / "log").unlink()
    assert log.append(logged("three"))
    assert (log.failures, log.error) == (2, None)
    log.close()
    assert ids(tmp_path) == ["three"]


def test_log_that_nobody_evaluates_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "MOST_BYTES", 1000)
    log = PredictionLog(tmp_path, seconds=0.05, rows=2)
    until(lambda: not log.append(logged("more")), 60)
    assert log.error
    assert "wait for evaluation" in log.error
    assert log.append(logged("one", "other")), "each feed has its own"
    for path in predictions.closed_segments(tmp_path, "noaa"):
        path.unlink()
    until(lambda: log.append(logged("again")), 60)
    log.close()


def test_thread_survives_any_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = PredictionLog(tmp_path, seconds=0.05)
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise RuntimeError("nobody thought of this")

        patch.setattr(predictions, "_close", fail)
        log.append(logged("one"))
        until(lambda: "nobody thought of this" in (log.error or ""))
    log.append(logged("two"))
    until(lambda: ids(tmp_path)[-1:] == ["two"])
    log.close()


FULL = """
import sys, resource
from pathlib import Path
from aerocast.contracts.predictions import PredictionLog
from tests.contracts.test_predictions import logged
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = PredictionLog(Path(sys.argv[1]), seconds=60)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
kept = [number for number in range(100) if log.append(logged(str(number)))]
log.close()
print(len(kept), log.failures, bool(log.error))
"""


def test_full_disk_leaves_whole_lines_only(tmp_path: Path) -> None:
    """A limit on the file's size stops a write in the middle of a line, as a full disk does."""
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    kept, failures, error = done.stdout.split()
    assert int(kept) > 3
    assert (int(kept) + int(failures), error) == (100, "True")
    (segment,) = predictions.closed_segments(tmp_path, "noaa")
    assert predictions.read_segment(segment).damaged == 0
    assert len(predictions.read_segment(segment).predictions) == int(kept)


def test_vanished_folder_is_counted(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, seconds=0.05)
    log.append(logged("one"))
    shutil.rmtree(tmp_path / "log")
    until(lambda: log.failures == 1)
    assert log.append(logged("two"))
    log.close()
    assert ids(tmp_path) == ["two"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may remove everything")
def test_unremovable_segment_is_reported(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.append(logged("one"))
    log.close()
    (segment,) = predictions.closed_segments(tmp_path, "noaa")
    segment.parent.chmod(0o500)
    with pytest.raises(AeroCastError, match="cannot be removed"):
        predictions.remove_segment(segment)
    segment.parent.chmod(0o700)


def test_append_does_not_wait_for_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, ended, sync = threading.Event(), threading.Event(), threading.Event(), predictions._sync

    def slow(segment: object) -> None:
        begun.set()
        go_on.wait(60)
        sync(segment)
        ended.set()

    monkeypatch.setattr(predictions, "_sync", slow)
    log = PredictionLog(tmp_path)
    assert log.append(logged("0"))
    assert begun.wait(60)
    assert all(log.append(logged(str(number))) for number in range(1, 100))
    assert not ended.is_set()
    go_on.set()
    log.close()
    assert sorted(ids(tmp_path), key=int) == [str(number) for number in range(100)]
