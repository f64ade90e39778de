"""The platform's judge on a real instance: what feeds, checks and the server's heartbeat make of alarms."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from aerocast.contracts import alarms, drift_state, loop_notes, tail
from aerocast.contracts.alarms import Heartbeat
from aerocast.contracts.loop_notes import DecisionNotes, PastDecision
from aerocast.feed.declaration import Feed
from aerocast_assets.automation.alarming import alarming
from aerocast_assets.resources import Platform
from tests.factories.drift import cool, hot, set_clock, write_heat
from tests.factories.feeds import small_feed
from tests.factories.tails import grid
from tests.harness.sinks import Posts, http_sink

NOW = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Watch:
    """The sensor over one feed, ticked without a daemon."""

    def __init__(self, home: Path, feed: Feed, instance: dg.DagsterInstance, posts: Posts) -> None:
        self.home, self.feed, self.instance, self.posts = home, feed, instance, posts
        self.passes, self.severity = True, dg.AssetCheckSeverity.ERROR
        key = dg.AssetKey([feed.name, "raw"])

        @dg.asset(key=key)
        def raw() -> None:
            pass

        @dg.asset_check(asset=key, name="whole")
        def whole() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=self.passes, severity=self.severity, description="a reading is lost")

        self.defs = dg.Definitions.merge(alarming([feed]), dg.Definitions(assets=[raw], asset_checks=[whole]))

    def newest(self, **stations: datetime) -> None:
        grids = {
            station: grid(station, newest=np.datetime64(time.replace(tzinfo=None), "s"))
            for station, time in stations.items()
        }
        tail.write_grids(self.home, self.feed.name, grids)

    def run(self, passes: bool, severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR) -> None:
        self.passes, self.severity = passes, severity
        job = self.defs.resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=self.instance).success

    def look(self) -> str:
        platform = {"platform": Platform(home=str(self.home))}
        repository = self.defs.get_repository_def()
        with dg.build_sensor_context(
            instance=self.instance, resources=platform, repository_def=repository, sensor_name="alarms"
        ) as context:
            data: Any = self.defs.resolve_sensor_def("alarms").evaluate_tick(context)
        return str(data.skip_message)

    def told(self) -> list[tuple[str, str]]:
        """What the webhook was sent by one more look."""
        before = len(self.posts.alerts)
        self.look()
        return [(alert["kind"], alert["state"]) for alert in self.posts.alerts[before:]]


@pytest.fixture
def watch(home: Path, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    feed = small_feed(tmp_path / "readings.csv")
    set_clock(home, feed, NOW)
    with http_sink() as posts:
        monkeypatch.setenv("AEROCAST_ALERT_WEBHOOK", posts.url)
        yield Watch(home, feed, instance, posts)


def test_feed_without_readings_is_not_silent(watch: Watch) -> None:
    assert watch.look() == "no alarm is open"
    assert alarms.heartbeat(watch.home, "platform").read() is not None


def test_silence_begins_and_ends_once(watch: Watch) -> None:
    stations = watch.feed.station_ids
    watch.newest(**dict.fromkeys(stations, NOW - HOUR))
    assert watch.told() == []
    set_clock(watch.home, watch.feed, NOW + watch.feed.freshness)
    assert watch.told() == [("feed_silent", "began")]
    assert watch.told() == []
    assert "1 alarm open: small: every station silent" in watch.look()
    watch.newest(**dict.fromkeys(stations, NOW + watch.feed.freshness))
    assert watch.told() == [("feed_silent", "over")]
    assert watch.told() == []


def test_damaged_tail_ends_no_alarm(watch: Watch) -> None:
    watch.newest(**dict.fromkeys(watch.feed.station_ids, NOW - watch.feed.freshness - HOUR))
    assert watch.told() == [("feed_silent", "began")]
    (watch.home / tail.document_name(watch.feed.name)).write_bytes(b"no zip")
    assert watch.told() == []


def test_drift_that_lasts_and_a_retrain_that_did_not_help(watch: Watch) -> None:
    write_heat(watch.home, watch.feed, hot(NOW - 2 * HOUR))
    assert watch.told() == [("drift_hot", "began")]
    state = drift_state.document(watch.home, watch.feed.name).read()
    assert state
    decided = state.judged_at - watch.feed.retraining.settle - HOUR
    write_heat(watch.home, watch.feed, hot(decided - HOUR))
    decide(watch, PastDecision(decided, "promoted", "better", promoted=True, test_rows=9, feed_time=decided))
    assert watch.told() == [("retrain_useless", "began")]
    write_heat(watch.home, watch.feed, cool(NOW))
    assert sorted(watch.told()) == [("drift_hot", "over"), ("retrain_useless", "over")]


def decide(watch: Watch, *decisions: PastDecision) -> None:
    notes = DecisionNotes(watch.feed.name, "temperature", decisions)
    loop_notes.decisions(watch.home, watch.feed.name, "temperature").write(notes)


def test_refusals_in_a_row_are_one_alert_until_a_trial_promotes(watch: Watch) -> None:
    decide(watch, PastDecision(NOW, "refused", "not better", test_rows=9))
    assert watch.told() == [("release_refused", "began")]
    decide(watch, PastDecision(NOW + HOUR, "refused", "not better", test_rows=9))
    assert watch.told() == []
    decide(watch, PastDecision(NOW + 2 * HOUR, "promoted", "better", test_rows=9, promoted=True, version="2"))
    assert watch.told() == [("release_refused", "over")]


def test_check_that_failed_as_error_is_told_and_a_warning_is_not(watch: Watch) -> None:
    watch.run(passes=False, severity=dg.AssetCheckSeverity.WARN)
    assert watch.told() == []
    watch.run(passes=False)
    assert watch.told() == [("check_failed", "began")]
    assert watch.posts.alerts[-1]["sentence"] == "small/raw:whole failed: a reading is lost"
    watch.run(passes=False)
    assert watch.told() == []
    watch.run(passes=True)
    assert watch.told() == [("check_failed", "over")]


def test_dead_server_is_told_by_the_platform(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    beat = alarms.heartbeat(watch.home, "server")
    real = datetime.now(UTC)
    beat.write(Heartbeat(real - HOUR))
    assert watch.told() == [], "it has itself just begun to look"
    shift_clock(monkeypatch, 2 * HOUR)
    assert watch.told() == [("server_silent", "began")]
    beat.write(Heartbeat(real + 2 * HOUR))
    assert watch.told() == [("server_silent", "over")]


def shift_clock(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + by

    monkeypatch.setattr("aerocast_assets.automation.alarming.datetime", Later)


def test_odd_setting_is_said_by_the_tick(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEROCAST_ALERT_WEBHOOK", "ftp://x")
    assert watch.look().startswith("AEROCAST_ALERT_WEBHOOK='ftp://x' cannot be used; allowed:")


def test_opt_in_feed_that_is_off_is_not_missed(watch: Watch) -> None:
    watch.feed = watch.feed.model_copy(update={"opt_in": True})
    own = Watch(watch.home, watch.feed, watch.instance, watch.posts)
    own.newest(**dict.fromkeys(watch.feed.station_ids, NOW - 900 * HOUR))
    assert own.told() == []
