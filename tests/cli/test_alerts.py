"""`aerocast alerts`: what is open, and a test by every channel."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from aerocast.alerts.dispatcher import Dispatcher
from aerocast.contracts.alarms import Condition, Judgement
from cli.__main__ import main
from tests.harness.sinks import http_sink


def test_test_goes_by_every_channel_and_says_what_became_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with http_sink() as posts:
        monkeypatch.setenv("AEROCAST_ALERT_WEBHOOK", posts.url)
        assert main(["alerts", "--test"]) == 0
        monkeypatch.setenv("AEROCAST_ALERT_COMMAND", "false")
        assert main(["alerts", "--test"]) == 1
    assert [alert["state"] for alert in posts.alerts] == ["test", "test"]
    out = capsys.readouterr().out
    assert out.count("webhook: taken, id test-") == 2
    assert "command: failed: false ended with status 1" in out


def test_test_without_a_channel_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "--test"]) == 1
    assert "none; set AEROCAST_ALERT_WEBHOOK" in capsys.readouterr().out


def test_odd_setting_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AEROCAST_ALERT_KINDS", "fire")
    assert main(["alerts"]) == 1
    assert capsys.readouterr().err.startswith("error: AEROCAST_ALERT_KINDS='fire' cannot be used; allowed: some of")


def test_list_shows_what_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AEROCAST_HOME", str(tmp_path))
    assert main(["alerts"]) == 0
    assert "No alarm is open." in capsys.readouterr().out
    Dispatcher(tmp_path, "server").look(
        Judgement((Condition("disk_full", "the disk is nearly full"),)), datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert main(["alerts"]) == 0
    assert "2026-01-01 00:00 UTC  the disk is nearly full (told to nobody yet)" in capsys.readouterr().out
