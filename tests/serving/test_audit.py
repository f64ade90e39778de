"""The audit log: a line for every write, whatever became of it, and no write that waits for it."""

import json
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.contracts import declared, tokens
from serving import audit
from serving.audit import AuditLog, Line
from tests.factories.feeds import small_feed
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.server import Server, metric
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
READING = {"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": 1.0}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LINE = Line(NOW, "0" * 32, "roof", "127.0.0.1", "POST", "/v1/eval", "noaa", 1, 200)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish(tmp_path)
    write_tail(tmp_path)
    declared.publish(tmp_path, small_feed(tmp_path))
    return tmp_path


def lines(home: Path, name: str) -> list[dict[str, Any]]:
    file = home / audit.FOLDER / name
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def test_every_write_has_a_line(home: Path, serve: Start) -> None:
    _, secret = tokens.create(home, "write", NOW, "roof")
    _, http = serve()
    sent: dict[str, str] = {"authorization": f"Bearer {secret}"}
    asked: list[tuple[str, Any, dict[str, str]]] = [
        ("/v1/observations/small", [READING, READING], sent),
        ("/v1/observations/nowhere", READING, sent),
        ("/observations/small", {"station": "AAA"}, sent),
        ("/v1/eval", {"predicted": 40.0, "actual": 41.0}, sent),
        ("/v1/eval", READING, {}),
        ("/v1/routine-retrain-check", {}, sent),
        ("/v1/eval", {}, sent | {"origin": "http://evil.example"}),
    ]
    answers = [http.post(path, json=body, headers=headers) for path, body, headers in asked]
    assert [each.status_code for each in answers] == [202, 404, 400, 200, 401, 403, 403]
    http.post("/v1/predict", json={"station": "JFK"})
    until(lambda: len(lines(home, audit.WRITES)) == 4 and len(lines(home, audit.REFUSALS)) == 3)
    by_id = {each["request"]: each for name in (audit.WRITES, audit.REFUSALS) for each in lines(home, name)}
    found = [by_id[answer.headers["x-request-id"]] for answer in answers]
    assert [each["status"] for each in found] == [answer.status_code for answer in answers]
    assert [each["token"] for each in found] == ["roof", "roof", "roof", "roof", None, "roof", None]
    assert [each["feed"] for each in found] == ["small", "nowhere", "small", "noaa", None, None, None]
    assert [each["rows"] for each in found] == [2, None, None, 1, None, None, None]
    assert found[0]["endpoint"] == "/v1/observations/{feed}"
    assert {each["address"] for each in found} == {"127.0.0.1"}
    text = "".join(file.read_text("utf-8") for file in (home / audit.FOLDER).iterdir())
    assert secret not in text
    assert tokens.digest(secret.encode()) not in text
    assert {stat.S_IMODE(file.stat().st_mode) for file in (home / audit.FOLDER).iterdir()} == {0o600}


def test_log_that_cannot_be_written_refuses_nothing(home: Path, serve: Start) -> None:
    _, http = serve()
    (home / audit.FOLDER).write_text("no folder")
    assert http.post("/v1/observations/small", json=READING).status_code == 202
    until(lambda: any("audit log" in each for each in http.get("/health").json()["errors"]))
    assert metric(http, "aerocast_audit_failures_total") == 1
    (home / audit.FOLDER).unlink()
    assert http.post("/v1/observations/small", json=READING).status_code == 202
    until(lambda: http.get("/health").json()["errors"] == [])
    assert len(lines(home, audit.WRITES)) == 1


@given(st.text(max_size=60), st.text(max_size=60))
def test_line_is_one_line_whatever_is_in_it(tmp_path_factory: pytest.TempPathFactory, feed: str, token: str) -> None:
    home = tmp_path_factory.mktemp("home")
    log = AuditLog(home)
    odd = Line(NOW, "0" * 32, token, "127.0.0.1\r\n", "POST", "/v1/eval", feed, 1, 200)
    log.note(odd)
    log.note(LINE)
    log.close()
    data = (home / audit.FOLDER / audit.WRITES).read_bytes()
    assert data.count(b"\n") == 2
    assert b"\r" not in data
    first = json.loads(data.splitlines()[0])
    assert (first["feed"], first["token"]) == (feed, token)


def test_size_is_bounded_and_newest_lines_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LARGEST", 2000)
    log = AuditLog(tmp_path)
    for number in range(200):
        log.note(msgspec.structs.replace(LINE, request=str(number)))
    log.close()
    files = sorted((tmp_path / audit.FOLDER).iterdir())
    assert [file.name for file in files][:2] == ["audit.jsonl", "audit.jsonl.1"]
    assert len(files) == 1 + audit.OLDER
    assert sum(file.stat().st_size for file in files) < (1 + audit.OLDER) * 2500
    newest = [int(each["request"]) for name in ("audit.jsonl.1", "audit.jsonl") for each in lines(tmp_path, name)]
    assert newest == list(range(200 - len(newest), 200))


def test_refusals_do_not_push_out_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LARGEST", 2000)
    log = AuditLog(tmp_path)
    log.note(LINE)
    for number in range(300):
        log.note(msgspec.structs.replace(LINE, request=str(number), token=None, status=401))
    log.close()
    assert [each["token"] for each in lines(tmp_path, audit.WRITES)] == ["roof"]


def test_lines_that_wait_are_bounded_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a disk that does not answer."""
    monkeypatch.setattr(audit, "MOST_WAITING", 3)
    answers = threading.Event()
    monkeypatch.setattr(audit, "_append", lambda *_: answers.wait(60))
    log = AuditLog(tmp_path)
    for _ in range(9):
        log.note(LINE)
    assert "more than 3 lines" in str(log.error)
    answers.set()
    log.close()


def test_link_in_place_of_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / audit.FOLDER).mkdir()
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / audit.FOLDER / audit.WRITES).symlink_to(tmp_path / "elsewhere")
    log = AuditLog(tmp_path)
    log.note(LINE)
    log.close()
    assert "cannot be written" in str(log.error)
    assert (tmp_path / "elsewhere").read_text() == ""
