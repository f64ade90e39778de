"""Alerts as events of the stream, and channels that fail in /health."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from aerocast.alerts.dispatcher import Dispatcher
from aerocast.contracts import alarms
from aerocast.contracts.alarms import AlarmState, ChannelTrouble, Condition, Judgement, observe
from serving.alert_notices import alert_notices
from serving.changes import Changes
from serving.hot_swap import ServingStore
from serving.loop import Loop
from serving.observations import Observations
from serving.views import health
from tests.factories.releases import publish

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SILENT = Judgement((Condition("station_silent", "noaa: JFK is silent", "noaa", station="JFK"),))


def test_beginning_and_end_are_told_once() -> None:
    began = observe(AlarmState(), "platform", SILENT, NOW)
    over = observe(began, "platform", Judgement(), NOW + timedelta(hours=1))
    steps = [(None, began), (began, began), (began, over), (over, over)]
    changes = [[each.change for each in alert_notices(NOW, "platform", *step)] for step in steps]
    assert changes == [["began"], [], ["over"], []]
    assert [each.change for each in alert_notices(NOW, "platform", AlarmState(), over)] == ["began", "over"]


def test_what_was_open_at_the_first_look_is_no_news_and_what_follows_is(tmp_path: Path) -> None:
    publish(tmp_path)
    judge, store = Dispatcher(tmp_path, "platform"), ServingStore(tmp_path)
    judge.look(SILENT, NOW)
    changes = Changes(store, Observations(tmp_path))
    store.poll()
    assert changes.look([]) == []
    judge.look(Judgement((*SILENT.conditions, Condition("server_silent", "the server is silent"))), NOW)
    store.poll()
    assert [(each.kind, each.condition, each.feed) for each in changes.look([])] == [  # type: ignore[union-attr]
        ("alert", "server_silent", None)
    ]
    judge.look(Judgement(), NOW + timedelta(hours=1))
    store.poll()
    assert {(each.change, each.station) for each in changes.look([])} == {  # type: ignore[union-attr]
        ("over", "JFK"),
        ("over", None),
    }


def test_channel_that_fails_is_an_error_of_health(tmp_path: Path) -> None:
    publish(tmp_path)
    trouble = ChannelTrouble(NOW, 3, datetime.now(UTC) + timedelta(minutes=1), "the relay is away")
    alarms.document(tmp_path, "platform").write(AlarmState((), {"email": trouble}))
    store = ServingStore(tmp_path)
    store.poll()
    loop = Loop(tmp_path, store, None)
    (error,) = health(store, loop.log, 1.0).errors
    assert error.startswith("alerts by email do not arrive: the relay is away (3 times; next in ")
    loop.close()
