"""The server's judge: a dead platform, a disk that fills, a release that does not load; the server's own heartbeat."""

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aerocast.alerts.settings import read_settings
from aerocast.contracts import alarms
from aerocast.contracts.alarms import Heartbeat
from serving.__main__ import main
from serving.hot_swap import ServingStore
from serving.judge import ServerJudge, judge_of
from tests.factories.releases import damage, publish
from tests.harness.server import Server
from tests.harness.sinks import http_sink
from tests.harness.waits import until

HOUR = timedelta(hours=1)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk of the machine that runs the tests is nobody's business."""
    disk(monkeypatch, 50)


def disk(monkeypatch: pytest.MonkeyPatch, percent: float) -> None:
    monkeypatch.setattr("serving.judge.shutil.disk_usage", lambda _: Usage(10000, 0, int(100 * percent)))


def kinds(judge: ServerJudge, store: ServingStore) -> set[str]:
    """What is open after a look."""
    judge.look(store)
    state = alarms.document(judge.home, "server").read()
    return {alarm.condition.kind for alarm in state.alarms if alarm.is_open} if state else set()


def judge_and_store(home: Path) -> tuple[ServerJudge, ServingStore]:
    store = ServingStore(home)
    store.poll()
    return judge_of(home, read_settings(), "http://127.0.0.1:8000"), store


def test_disk_that_fills_is_told_once_and_over_with_a_margin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, store = judge_and_store(tmp_path)
    assert kinds(judge, store) == set()
    for percent, expected in [(4, {"disk_full"}), (6, {"disk_full"}), (8, set()), (6, set())]:
        disk(monkeypatch, percent)
        assert kinds(judge, store) == expected


def test_release_that_does_not_load_is_told_until_one_does(tmp_path: Path) -> None:
    publish(tmp_path)
    judge, store = judge_and_store(tmp_path)
    assert kinds(judge, store) == set()
    version = publish(tmp_path, 2)
    damage(tmp_path / "releases" / "noaa" / "temperature" / version / "manifest.json")
    store.poll()
    assert kinds(judge, store) == {"release_unusable"}
    publish(tmp_path, 3)
    store.poll()
    assert kinds(judge, store) == set()


def test_dead_platform_is_missed_after_patience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, store = judge_and_store(tmp_path)
    beat = alarms.heartbeat(tmp_path, "platform")
    beat.write(Heartbeat(datetime.now(UTC) - HOUR))
    assert kinds(judge, store) == set(), "the server has itself just begun"

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + HOUR

    monkeypatch.setattr("serving.judge.datetime", Later)
    assert kinds(judge, store) == {"platform_silent"}
    again, _ = judge_and_store(tmp_path)
    monkeypatch.undo()
    disk(monkeypatch, 50)
    assert kinds(again, store) == {"platform_silent"}, "a start of the server ends nothing"
    beat.write(Heartbeat(datetime.now(UTC)))
    assert kinds(again, store) == set()


def test_odd_setting_is_refused_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AEROCAST_HOME", str(tmp_path))
    monkeypatch.setenv("AEROCAST_ALERT_EMAIL", "nobody")
    assert main(["--port", "0"]) == 1
    assert capsys.readouterr().err.startswith("serving: AEROCAST_ALERT_EMAIL='nobody' cannot be used; allowed:")


@pytest.mark.e2e
def test_server_tells_of_a_platform_that_died_and_beats_itself(tmp_path: Path) -> None:
    publish(tmp_path)
    alarms.heartbeat(tmp_path, "platform").write(Heartbeat(datetime.now(UTC)))
    with http_sink() as posts:
        settings = {"AEROCAST_ALERT_WEBHOOK": posts.url, "AEROCAST_ALERT_PATIENCE": "PT1M", "AEROCAST_ALERT_DISK": "0"}
        with Server(tmp_path, settings=settings) as server:
            until(lambda: posts.alerts, 240, "an alert of the silent platform")
            beat = alarms.heartbeat(tmp_path, "server").read()
            assert beat
            assert not beat.ended
            alarms.heartbeat(tmp_path, "platform").write(Heartbeat(datetime.now(UTC)))
            until(lambda: len(posts.alerts) == 2, 120, "that it is over")
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(60)
    assert [(alert["kind"], alert["state"]) for alert in posts.alerts] == [
        ("platform_silent", "began"),
        ("platform_silent", "over"),
    ]
    ended = alarms.heartbeat(tmp_path, "server").read()
    assert ended
    assert ended.ended
