"""One home, one writer: the second is told who the first is, the dead hold nothing, and readers ask nobody."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import msgspec
import pytest

from aerocast.storage import atomic, mark, writer
from aerocast.storage.home import Home, ObjectHome, home_of, store_of
from aerocast.storage.settings import Settings
from aerocast_assets.resources import Platform
from cli.__main__ import main
from tests import PROJECT

HOLD = """
import sys
from aerocast.storage import writer
from aerocast.storage.home import home_of
from aerocast.storage.settings import Settings
with writer.hold(home_of(Settings()), "aerocast up"):
    print("held", flush=True)
    sys.stdin.read()
"""
NOW = timedelta(0)


@pytest.fixture(params=["folder", "objects"])
def either(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A marked home that the environment names."""
    found: Home = home if request.param == "folder" else request.getfixturevalue("bucket")
    monkeypatch.setenv("AEROCAST_HOME", str(found))
    monkeypatch.setenv("AEROCAST_WORK", str(Path(found)))
    mark.ensure_mark(found)
    return found


@contextmanager
def other() -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the home which the environment names."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD], cwd=PROJECT, text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_second_writer_is_refused_by_name_and_dead_writer_holds_nothing(either: Home) -> None:
    with other() as process:
        for attempt in (writer.hold(either, "aerocast run"), writer.join(either, "Dagster run", NOW)):
            with pytest.raises(writer.Busy) as caught, attempt:
                pass
            said = str(caught.value)
            assert said.startswith(f"{either} is in use by `aerocast up` (process {process.pid} of ")
            assert len(said.splitlines()) == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        if isinstance(either, ObjectHome):  # nobody tells another machine that a process died: its lease ends
            expire(either)
        with writer.hold(either, "aerocast run"):
            assert str(writer.holder(either)).startswith(f"`aerocast run` (process {os.getpid()} of ")
    with writer.hold(either, "aerocast run"):
        pass


def expire(home: ObjectHome) -> None:
    found = store_of(home).read_stamped(writer.LEASE)
    assert found is not None
    lease = msgspec.json.decode(found[0], type=writer.Holder)
    assert lease.until is not None
    assert lease.until > datetime.now(UTC)
    past = msgspec.structs.replace(lease, until=datetime.now(UTC) - timedelta(seconds=1))
    assert store_of(home).swap(writer.LEASE, msgspec.json.encode(past), found[1])


def test_two_machines_on_one_object_store_are_told_apart(bucket: ObjectHome, tmp_path: Path) -> None:
    there = ObjectHome(bucket.url, tmp_path / "another machine")
    there.work.mkdir()
    bucket.work.mkdir()
    with (
        writer.hold(bucket, "aerocast up"),
        pytest.raises(writer.Busy, match="in use by `aerocast up`"),
        writer.hold(there, "aerocast run"),
    ):
        pass
    with writer.hold(there, "aerocast run"):
        pass


def test_lease_is_renewed_and_its_loss_ends_process(
    bucket: ObjectHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.work.mkdir()
    monkeypatch.setattr(writer, "TERM", timedelta(seconds=1.2))
    ended: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    try:
        with writer.hold(bucket, "aerocast up"):
            seen = {store_of(bucket).stamp(writer.LEASE)}
            while len(seen) < 3:
                seen.add(store_of(bucket).stamp(writer.LEASE))
            store_of(bucket).replace(writer.LEASE, b"{}")  # as another machine does after a long pause of this one
            while not ended:
                signal.sigtimedwait([], 0.05)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "is no longer held by this process: stopped" in capsys.readouterr().err
    assert store_of(bucket).read(writer.LEASE) == b"{}", "the other's lease is left alone"


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("command", "status"),
    # The latter two cannot do what they are asked, and say so once it is their turn.
    [(["clean", "--yes", "--wait"], 0), (["run", "--wait", "--feed", "none"], 1), (["up", "--wait", "--port", "0"], 1)],
)
def test_waiting_writer_gets_home_when_first_ends(home: Path, command: list[str], status: int) -> None:
    with other() as process:
        assert process.stdin is not None
        waiter = subprocess.Popen(
            [sys.executable, "-m", "cli", *command],
            cwd=PROJECT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        mark.ensure_mark(home)
        assert waiter.stderr is not None
        line = waiter.stderr.readline()
        process.stdin.close()
        assert waiter.wait(240) == status
    assert line.startswith(f"waiting: {home} is in use by `aerocast up` (process {process.pid}")


@pytest.mark.parametrize("command", [["run"], ["up"], ["clean", "--yes"]])
def test_writing_commands_name_the_holder(home: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    mark.ensure_mark(home)
    with writer.hold(home, "aerocast up"):
        assert main(command) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: {home} is in use by `aerocast up` (process {os.getpid()} of ")


def test_readers_need_no_lock(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark.ensure_mark(home)
    with writer.hold(home, "aerocast up"):
        assert main(["sql"]) == 1
    assert "no tables under" in capsys.readouterr().err


@dg.asset
def number(platform: dg.ResourceParam[Platform]) -> int:
    return len(list(Path(platform.root).iterdir()))


@pytest.mark.e2e
def test_dagster_run_joins_its_holder_and_waits_for_others(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def materialised() -> bool:
        found = dg.materialize([number], resources={"platform": Platform()}, raise_on_error=False)
        return found.success

    with writer.hold(home, "aerocast run"):
        assert materialised(), "what a holder starts is its own"
    with writer.join(home, "Dagster run 1", NOW), writer.join(home, "Dagster run 2", NOW):
        assert materialised(), "runs of one instance go on beside each other"
        assert main(["clean", "--yes"]) == 1
        assert "is in use by `Dagster run " in capsys.readouterr().err
    monkeypatch.setattr("aerocast_assets.resources.PATIENCE", timedelta(seconds=0.1))
    with other(), pytest.raises(dg.DagsterResourceFunctionError) as caught:
        dg.materialize([number], resources={"platform": Platform()})
    assert "is in use by" in str(caught.value.__cause__)


def test_lock_of_removed_home_blocks_nobody(home: Path) -> None:
    with writer.hold(home, "aerocast clean"):
        (home / writer.LOCK).unlink()
        with writer.hold(home, "aerocast run"):
            assert atomic.stamp(home / writer.LOCK)


def test_foreign_dagster_home_is_not_used(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign, chosen = tmp_path / "foreign", tmp_path / "chosen"
    monkeypatch.setenv("DAGSTER_HOME", str(foreign))
    assert main(["run", "--feed", "nooa"]) == 1
    said = capsys.readouterr().err
    assert f"DAGSTER_HOME={foreign} of the environment is not used" in said
    assert os.environ["DAGSTER_HOME"] == str(PROJECT)
    assert not foreign.exists()
    monkeypatch.setenv("AEROCAST_DAGSTER_HOME", str(chosen))
    assert main(["run", "--feed", "nooa"]) == 1
    assert "AEROCAST_DAGSTER_HOME=" in capsys.readouterr().err
    chosen.mkdir()
    (chosen / "dagster.yaml").write_text("")
    assert main(["run", "--feed", "nooa"]) == 1
    assert "no feed 'nooa'" in capsys.readouterr().err
    assert os.environ["DAGSTER_HOME"] == str(chosen)
    assert home_of(Settings()) == home
