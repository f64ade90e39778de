"""The dispatcher: one alert when a condition begins and one when it is over, whatever fails or dies in between."""

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aerocast.alerts import dispatcher as module
from aerocast.alerts.alert import Alert
from aerocast.alerts.dispatcher import Dispatcher
from aerocast.alerts.program import Program
from aerocast.alerts.webhook import Webhook
from aerocast.common.errors import AeroCastError
from aerocast.contracts import alarms
from aerocast.contracts.alarms import Condition, Judgement
from aerocast.storage.documents import Document
from tests.harness.sinks import Posts, http_sink
from tests.harness.waits import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SILENT = Judgement((Condition("feed_silent", "noaa is silent", "noaa"),))


class Room:
    """A channel in memory."""

    def __init__(self, name: str = "hook") -> None:
        self.name = name
        self.alerts: list[Alert] = []
        self.error: Exception | None = None

    def send(self, alert: Alert) -> None:
        if self.error:
            raise self.error
        self.alerts.append(alert)

    @property
    def states(self) -> list[str]:
        return [alert.state for alert in self.alerts]


def dispatcher(home: Path, *rooms: Room) -> Dispatcher:
    return Dispatcher(home, "platform", rooms, url="http://127.0.0.1:8000")


def test_each_look_sends_only_what_is_new_also_after_a_restart(tmp_path: Path) -> None:
    room = Room()
    for judgement, states in [
        (Judgement(), []),
        (SILENT, ["began"]),
        (SILENT, ["began"]),
        (Judgement(), ["began", "over"]),
        (Judgement(), ["began", "over"]),
    ]:
        own = dispatcher(tmp_path, room)  # another process knows nothing but the home
        own.look(judgement, datetime.now(UTC))
        own.send_due()
        assert room.states == states
    began, over = room.alerts
    assert began.alarm == over.alarm
    assert began.id != over.id


def test_channel_that_fails_is_noted_and_others_get_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = Room("email"), Room("webhook")
    bad.error = AeroCastError("the relay is away")
    own = dispatcher(tmp_path, bad, good)
    own.look(SILENT, NOW)
    own.send_due()
    assert (bad.states, good.states) == ([], ["began"])
    trouble = own.state().troubles["email"]
    assert (trouble.failures, trouble.reason) == (1, "the relay is away")
    own.send_due()
    assert own.state().troubles["email"] == trouble, "it waits for its pause"
    bad.error = None
    own.look(Judgement(), NOW + timedelta(hours=1))
    monkeypatch.setattr(module, "datetime", later(trouble.due))
    own.send_due()
    assert bad.states == ["began", "over"], "what it missed, in order"
    assert good.states == ["began", "over"]
    assert own.state().troubles == {}


def later(instant: datetime) -> type[datetime]:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return instant + timedelta(seconds=1)

    return Clock


def test_fault_of_ours_in_a_channel_keeps_no_other_from_its_alert(tmp_path: Path) -> None:
    bad, good = Room("email"), Room("webhook")
    bad.error = RuntimeError("a bug")
    own = dispatcher(tmp_path, bad, good)
    own.look(SILENT, NOW)
    own.send_due()
    assert good.states == ["began"]


def test_disk_that_refuses_costs_no_alert_and_no_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room()
    own = dispatcher(tmp_path, room)

    def refuse(*_: object) -> bool:
        raise AeroCastError("no space left")

    with monkeypatch.context() as full:
        full.setattr(Document, "swap", refuse)
        for _ in range(3):
            own.look(SILENT, NOW)
            own.send_due()
        assert room.states == ["began"]
    own.look(SILENT, NOW)
    assert own.state().alarms == alarms.document(tmp_path, "platform").read().alarms  # type: ignore[union-attr]
    dispatcher(tmp_path, room).send_due()
    assert room.states == ["began"], "another process knows of it, too"


def test_damaged_state_begins_again(tmp_path: Path) -> None:
    room = Room()
    own = dispatcher(tmp_path, room)
    own.look(SILENT, NOW)
    own.send_due()
    (tmp_path / "alarms" / "platform.json").write_text("{")
    own.look(SILENT, NOW + timedelta(hours=1))
    own.send_due()
    assert room.states == ["began", "began"]


def test_two_processes_of_one_judge_send_once(tmp_path: Path) -> None:
    entered, go = threading.Event(), threading.Event()

    class Slow(Room):
        def send(self, alert: Alert) -> None:
            entered.set()
            go.wait(30)
            super().send(alert)

    slow, other = Slow(), Room()
    first = dispatcher(tmp_path, slow)
    first.look(SILENT, NOW)
    assert not first.send(0.0), "a tick does not wait for what hangs"
    assert entered.wait(30)
    second = dispatcher(tmp_path, other)
    second.look(SILENT, NOW + timedelta(minutes=1))
    second.send_due()
    go.set()
    until(lambda: slow.states == ["began"] and bool(second.state().alarms[0].began))
    second.send_due()
    assert other.states == []


def test_beat_says_when_and_whether_it_ended(tmp_path: Path) -> None:
    own = dispatcher(tmp_path)
    own.beat(NOW)
    assert alarms.heartbeat(tmp_path, "platform").read() == alarms.Heartbeat(NOW)
    own.beat(NOW, ended=True)
    assert alarms.heartbeat(tmp_path, "platform").read() == alarms.Heartbeat(NOW, ended=True)


CHILD = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from aerocast.alerts.dispatcher import Dispatcher
from aerocast.alerts.webhook import Webhook
from aerocast.contracts.alarms import Condition, Judgement

class Deadly(Webhook):
    name = "webhook"
    def send(self, alert):
        super().send(alert)
        os.kill(os.getpid(), signal.SIGKILL)

own = Dispatcher(Path(sys.argv[1]), "platform", [Deadly(sys.argv[2])])
own.look(Judgement((Condition("feed_silent", "noaa is silent", "noaa"),)), datetime.now(UTC))
own.send_due()
"""


@pytest.mark.e2e
def test_kill_between_send_and_note_repeats_under_the_same_id_once(tmp_path: Path) -> None:
    with http_sink() as posts:
        child = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), posts.url], check=False, timeout=60)
        assert child.returncode == -signal.SIGKILL
        assert len(posts.ids) == 1
        for _ in range(3):
            again(tmp_path, posts, SILENT)
        assert len(posts.ids) == 2
        assert len(set(posts.ids)) == 1
        for _ in range(3):
            again(tmp_path, posts, Judgement())
        assert [alert["state"] for alert in posts.alerts] == ["began", "began", "over"]


def again(home: Path, posts: Posts, judgement: Judgement) -> None:
    own = Dispatcher(home, "platform", [Webhook(posts.url)])
    own.look(judgement, datetime.now(UTC))
    own.send_due()


def test_dispatcher_sends_by_program_and_webhook_alike(tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = Program(("/bin/sh", "-c", f"cat >> {out}"))
    with http_sink() as posts:
        own = Dispatcher(tmp_path, "server", [Webhook(posts.url), program])
        own.look(Judgement((Condition("disk_full", "nearly full"),)), NOW)
        own.send_due()
    assert out.read_bytes() == posts.bodies[0]
    assert os.listdir(tmp_path / "alarms")
