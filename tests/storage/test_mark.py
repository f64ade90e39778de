"""Marks of homes, and what `aerocast clean` removes by them: what is ours, and nothing of anybody else."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from aerocast.common.errors import AeroCastError
from aerocast.storage import mark, rooms, writer
from aerocast.storage.home import Home, ObjectHome, store_of
from cli.__main__ import main
from serving.__main__ import main as serve
from tests import PROJECT

OURS = (
    "lake/noaa/raw/_delta_log/00000000000000000000.json", "lake/noaa/raw/month=2024-01/part-1.parquet",
    "releases/noaa/temperature/0001-0a1b2c3d/model.onnx", "releases/noaa/temperature/current.json",
    "releases/noaa/temperature/.lock", "candidates/noaa/temperature/linear.msgpack", "tail/noaa.npz",
    "tail/.noaa.npz.from", "log/noaa/1.jsonl", "observations/noaa.sqlite", "observations/noaa.sqlite-wal", "mlflow.db",
    "mlflow/models/m-1/artifacts/model.onnx", "history/runs.db", "demo-drift/lake/heatwave/raw/part-1.parquet",
    "0a1b2c3d-0000-4000-8000-000000000000/compute_logs/a.out", ".lock",
)  # fmt: skip
THEIRS = (
    "notes.txt", "lake/notes.txt", "lake/noaa/photo.jpg", "releases/mine.zip", "inbox/noaa/waiting.csv", "mlflow/notes",
    "work/bucket/prefix/home.json", "-rf", "a b/c", "history/essay.md",
)  # fmt: skip


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def contents(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


@pytest.fixture(params=["folder", "objects"])
def either(request: pytest.FixtureRequest, home: Path) -> Home:
    return home if request.param == "folder" else request.getfixturevalue("bucket")


def test_home_is_marked_once_and_copy_keeps_mark(either: Home) -> None:
    assert mark.read_mark(either) is None
    first = mark.ensure_mark(either)
    assert (first.format, first.version) == (mark.FORMAT, "0.1.0")
    assert mark.ensure_mark(either) == mark.read_mark(either) == mark.read_mark(Path(either)) == first


@pytest.mark.parametrize("command", [["sql"], ["rows"], ["run"], ["up"], ["clean", "--yes"], ["simulate", "--at=x"]])
def test_commands_refuse_newer_home_by_name(home: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    newer = {"format": 99, "id": "a", "created": "2024-01-01T00:00:00Z", "version": "9.0", "more": [1]}
    (home / mark.NAME).write_text(json.dumps(newer))
    fill(home, *OURS)
    before = contents(home)
    assert main(command) == 1
    assert "is a home of format 99, written by a newer AeroCast" in capsys.readouterr().err
    assert contents(home) == before


def test_server_refuses_newer_home_by_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark.ensure_mark(home)
    (home / mark.NAME).write_text((home / mark.NAME).read_text().replace('"format":1', '"format":2'))
    assert serve(["--port", "0"]) == 1
    assert "is a home of format 2" in capsys.readouterr().err


def test_older_home_is_migrated_by_writer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = mark.ensure_mark(home)
    monkeypatch.setattr(mark, "FORMAT", 3)
    steps = {number: lambda home, number=number: store_of(home).replace(f"step{number}", b"") for number in (1, 2)}
    monkeypatch.setattr(mark, "MIGRATIONS", steps)
    with pytest.raises(AeroCastError, match="`aerocast run` or `aerocast up` brings it up to date"):
        mark.check_format(home)
    assert mark.ensure_mark(home).id == first.id
    mark.check_format(home)
    assert {"step1", "step2"} <= contents(home)


def test_damaged_mark_raises_one_sentence(home: Path) -> None:
    (home / mark.NAME).write_text('{"name": "another program"}')
    with pytest.raises(AeroCastError, match=r"the mark of the home's format .*/home\.json cannot be read"):
        mark.ensure_mark(home)


def test_unmarked_home_and_folder_with_other_files_are_adopted(home: Path) -> None:
    fill(home, *OURS, *THEIRS)
    mark.ensure_mark(home)
    fill(home / "other", "photo.jpg", "inbox/noaa/waiting.csv")
    mark.ensure_mark(home / "other")


@pytest.mark.parametrize("name", ["history/holiday.jpg", "lake/como.txt", "log"])
def test_foreign_folder_that_resembles_home_is_refused(tmp_path: Path, name: str) -> None:
    fill(tmp_path, name)
    with pytest.raises(AeroCastError, match="which AeroCast uses and did not create: choose an empty folder"):
        mark.ensure_mark(tmp_path)
    assert contents(tmp_path) == {name}


def test_home_inside_another_home_is_refused(home: Path) -> None:
    mark.ensure_mark(home)
    inner = home / "lake" / "inner"
    inner.mkdir(parents=True)
    with pytest.raises(AeroCastError, match="is in `lake` of the home"):
        mark.ensure_mark(inner)
    beside = home / "mine"
    beside.mkdir()
    mark.ensure_mark(beside)


def test_work_folder_belongs_to_one_home(bucket: ObjectHome) -> None:
    mark.ensure_mark(bucket)
    with pytest.raises(AeroCastError, match="belongs to another home than"):
        mark.ensure_mark(ObjectHome(f"{bucket.url}/other", bucket.work))


def test_clean_removes_own_files_and_keeps_others(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home, *OURS)
    mark.ensure_mark(home)
    fill(home, *THEIRS)
    outside = home.parent / "outside"
    fill(outside, "raw/part-1.parquet")
    (home / "lake" / "linked").symlink_to(outside)
    assert main(["clean", "--yes"]) == 0
    assert contents(home) == {*THEIRS, "lake/linked"}
    assert contents(outside) == {"raw/part-1.parquet"}
    said = capsys.readouterr().out
    assert f"to remove: {len(OURS) + 3} files" in said, "the mark and the locks, too"
    assert "inbox (1)" in said
    assert main(["clean", "--yes"]) == 1, "its mark went with it"


def test_clean_removes_folder_without_other_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark.ensure_mark(home)
    fill(home, *OURS)
    assert main(["clean", "--yes"]) == 0
    assert not home.exists()
    assert main(["clean", "--yes"]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_clean_leaves_unmarked_folder_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home, *OURS, *THEIRS)
    before = contents(home)
    assert main(["clean", "--yes"]) == 1
    assert "has no mark of a home" in capsys.readouterr().err
    assert contents(home) == before


def test_clean_without_terminal_does_not_wait_for_answer(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark.ensure_mark(home)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["clean"]) == 1
    assert "with --yes it is removed without a question" in capsys.readouterr().err
    assert mark.read_mark(home)


@pytest.mark.parametrize(("answer", "there"), [(b"n\n", True), (b"\n", True), (b"y\n", False)])
@pytest.mark.e2e
def test_clean_asks_on_terminal(home: Path, answer: bytes, there: bool) -> None:
    mark.ensure_mark(home)
    person, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "cli", "clean"], cwd=PROJECT, stdin=terminal, stdout=subprocess.PIPE
    )
    os.write(person, answer)
    said, _ = child.communicate(timeout=240)
    os.close(person)
    os.close(terminal)
    assert b"Remove it?" in said
    assert (child.returncode, home.exists()) == (int(there), there)


def test_clean_refuses_home_in_use(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mark.ensure_mark(home)
    with writer.hold(home, "aerocast run"):
        assert main(["clean", "--yes"]) == 1
    assert "is in use by `aerocast run` (process" in capsys.readouterr().err
    assert mark.read_mark(home)


def test_home_of_another_user_raises_one_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As another user if this one may become one; else the files are merely read-only."""
    mark.ensure_mark(home)
    fill(home, "history/runs.db")
    root = os.geteuid() == 0
    for path in (home, home / "history"):
        path.chmod(0o777)
    for path in (home.parent, *(each for each in home.parents if "pytest" in each.name or "popen" in each.name)):
        path.chmod(0o755)
    (home / "history" / "runs.db").chmod(0o644 if root else 0o444)
    if root:
        os.seteuid(65534)
    try:
        status = main(["run", "--feed", "nooa"])
    finally:
        if root:
            os.seteuid(0)
    says = "it belongs to root, and this process runs as" if root else "it is read-only"
    assert status == 1
    assert f"error: AEROCAST_HOME: {home}/history/runs.db cannot be written: {says}" in capsys.readouterr().err


def test_reader_creates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEROCAST_HOME", str(tmp_path / "typo"))
    assert main(["sql"]) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        *("put_off/noaa-inbox.json", "processes/up.log.1", "tail/noaa.npz", "lake/a/b/x.parquet"),
        *("tokens.json", "logs/audit.jsonl", "logs/audit.jsonl.4", "logs/refusals.jsonl"),
    ],
)
def test_platform_writes_only_known_folders(name: str) -> None:
    assert rooms.is_own(name)
    assert not rooms.is_own(f"somebody/{name}")
