"""The retrain sensor, its schedule and its check on a real instance; drift is written by hand, runs are real."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import msgspec
import pytest

from aerocast.contracts import loop_notes, requests
from aerocast.contracts.drift_state import Shadow
from aerocast.contracts.pointer import Hold
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.models import candidates
from aerocast.promotion import table
from aerocast.releases import release
from aerocast.retraining.memory import RetrainMemory
from aerocast_assets.assets import training_set
from aerocast_assets.automation.runs import retrains
from aerocast_assets.keys import job_name, key
from tests import PROJECT
from tests.factories.drift import DAY, HOUR, cool, hot, set_clock
from tests.factories.feeds import small_feed, write_readings
from tests.harness.graph import champion_version, check, definitions, first_run, metadata
from tests.harness.loop import Loop
from tests.harness.server import Server

pytestmark = pytest.mark.e2e  # whole loops of the asset graph

MADE = datetime(2024, 5, 1, tzinfo=UTC)  # when the champion was made
T = MADE + timedelta(days=1)
MONTHS = ("2024-01", "2024-05")
LIMITS = {"max_age": "P30D", "cool_down": "PT6H", "daily_budget": 2, "min_span": "P3D", "settle": "P1D"}
TARGET = "temperature"


def looped(path: Path, name: str = "small", **changes: Any) -> Feed:
    """A feed whose recording goes on after the tests' present."""
    return small_feed(path, name=name, end="2024-12-01T00:00:00Z", retraining={**LIMITS, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Feed, Path]:
    """A feed and a home with a champion; tests work on copies."""
    place = tmp_path_factory.mktemp("trained")
    feed = looped(write_readings(place / "readings.csv"))
    set_clock(place / "home", feed, MADE)
    first_run(place / "home", feed, MONTHS)
    return feed, place / "home"


@pytest.fixture
def loop(trained: tuple[Feed, Path], home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """The loop over a copy of the trained home, at T."""
    shutil.copytree(trained[1], home, dirs_exist_ok=True)
    monkeypatch.setenv("DAGSTER_HOME", str(PROJECT))
    with dg.DagsterInstance.get() as instance:
        yield Loop(trained[0], home, instance).at(T)


@contextmanager
def broken(loop: Loop) -> Iterator[None]:
    """The training rows cannot be read."""
    windows = loop.home / "lake" / loop.feed.name / TARGET / "windows"
    windows.rename(windows.with_name("gone"))
    try:
        yield
    finally:
        windows.with_name("gone").rename(windows)


def challenger_of(loop: Loop) -> str:
    """A release that answers beside the one that serves."""
    made = release.load(loop.home, "small", TARGET, champion_version(loop.home))
    lineage = msgspec.structs.replace(made.manifest.lineage, config_hash="c" * 64)
    rival = release.write(loop.home, msgspec.structs.replace(made.manifest, lineage=lineage), made.files)
    release.challenge(loop.home, "small", TARGET, rival)
    return rival


def memory(loop: Loop) -> RetrainMemory:
    assert loop.cursor
    return msgspec.json.decode(loop.cursor, type=dict[str, RetrainMemory])[TARGET]


def test_every_tick_gives_its_reason(loop: Loop) -> None:
    (loop.home / "drift" / "small.json").unlink(missing_ok=True)
    assert loop.said() == "at 2024-05-02 00:00: temperature: cool: nothing to do (nothing was examined yet)"
    loop.heat(cool(warm=1))
    assert "1 examinations in a row showed drift" in loop.said()
    notes = loop_notes.retraining(loop.home, "small").read()
    assert notes
    assert notes.at == T
    assert "1 examinations in a row showed drift" in notes.reasons[TARGET], "the server says the same"


def test_edge_starts_one_run_with_reason(loop: Loop) -> None:
    loop.heat(hot(T, onset=T - 10 * DAY))
    (run,) = loop.tick()
    assert run.success
    tags = run.dagster_run.tags
    assert tags["retrain_reason"].startswith("drift temperature: AAA: RMSE 5.2, 2.1 expected; standardised errors")
    assert tags["aerocast/retrain"] == "small/temperature"
    began = (T - 10 * DAY).isoformat()
    for name in ("candidates", "champion"):
        assert run.dagster_run.run_config["ops"][f"small__temperature__{name}"]["config"]["since"] == began
    made = {event.asset_key for event in run.get_asset_materialization_events()}
    names = ("training_set", "linear", "persistence", "seasonal_naive", "sequence", "champion", "forecasts")
    assert made == {key(loop.feed, TARGET, name) for name in names}
    for hours in (1, 5, 7, 11):
        assert "nothing to do" not in loop.at(T + hours * HOUR).heat(hot(T, onset=T - 10 * DAY)).said()
    notes = loop_notes.retraining(loop.home, "small").read()
    assert notes is not None
    newest = notes.runs[TARGET]
    assert (newest.run_id, newest.reason) == (run.run_id, tags["retrain_reason"])
    assert newest.outcome in ("promoted", "refused")
    assert "waiting until" in newest.obstacle
    assert len(loop.runs) == 1


def test_warm_target_and_short_regime_wait(loop: Loop) -> None:
    loop.heat(cool(warm=1))
    assert loop.tick() == []
    loop.heat(hot(T, onset=T - 17 * HOUR))
    assert "waiting until 2024-05-04 07:00: 3 days of the new regime" in loop.said()
    assert len(loop.at(T + 3 * DAY).tick()) == 1


def test_short_regime_gets_first_aid_in_a_run_that_trains_nothing(loop: Loop) -> None:
    before = champion_version(loop.home)
    loop.heat(hot(T, onset=T - DAY))
    (aid,) = loop.tick()
    assert aid.success
    assert aid.dagster_run.tags["retrain_reason"].startswith("first aid temperature: AAA: RMSE 5.2, 2.1 expected")
    made = {event.asset_key for event in aid.get_asset_materialization_events()}
    assert made == {key(loop.feed, TARGET, name) for name in ("champion", "forecasts")}
    # No reading of the regime is in the tables yet: nothing is judged, what serves goes on, and the asset says why.
    assert "too short to judge" in metadata(aid, key(loop.feed, TARGET, "champion"))["not_judged"]
    assert champion_version(loop.home) == before
    assert len(loop.at(T + 2 * DAY).heat(hot(T, onset=T - DAY)).tick()) == 1, "a retrain follows"


def test_first_aid_is_judged_as_any_candidate(loop: Loop) -> None:
    version = champion_version(loop.home)
    manifest = release.load(loop.home, "small", TARGET, version).manifest
    since = manifest.lineage.end_before_trial + 8 * HOUR
    run = definitions(loop.home, loop.feed).resolve_job_def(job_name(loop.feed)).execute_in_process(
        instance=loop.instance,
        asset_selection=[key(loop.feed, TARGET, "champion")],
        run_config={"ops": {"small__temperature__champion": {"config": {"first_aid": since.isoformat()}}}},
    )  # fmt: skip
    assert run.success
    decision = table.newest(Lake(loop.home), "small", TARGET)
    assert decision is not None
    assert "first_aid" in decision["reason"]
    assert "the incumbent has" in decision["reason"]
    assert bool(decision["promoted"]) is (champion_version(loop.home) != version)
    assert not candidates.candidate_path(loop.home, "small", TARGET, "first_aid").exists()


def test_cooling_retrain_ends_edge_and_new_edge_waits_for_cool_down(loop: Loop) -> None:
    loop.heat(hot(T, onset=T - 10 * DAY))
    assert len(loop.tick()) == 1
    loop.at(T + 2 * HOUR).heat(cool(T + 2 * HOUR, edge=1, onset=T - 10 * DAY))
    assert "cool since 2024-05-02 02:00: nothing to do" in loop.said()
    back = T + 4 * HOUR
    loop.at(back).heat(hot(back, edge=2, onset=T - 9 * DAY))
    assert "waiting until" in loop.said()
    promoted = memory(loop).attempts[-1].outcome == "helped"
    wait = 6 * HOUR if promoted else 12 * HOUR  # a refused challenger that cools by itself has not helped
    loop.at(T + wait - timedelta(minutes=1))
    assert "waiting until" in loop.said()
    assert len(loop.at(T + wait).tick()) == 1


def test_budget_is_enforced_and_renewed_by_day_of_feed(loop: Loop) -> None:
    loop.heat(hot(T, onset=T - 10 * DAY))
    with broken(loop):
        assert [run.success for run in loop.tick()] == [False]
        assert [run.success for run in loop.at(T + 12 * HOUR).tick()] == [False]
        assert "daily budget of 2 is spent (2 on 2024-05-02)" in loop.at(T + 23 * HOUR).said()
        assert len(loop.at(T + DAY).tick()) == 1


def test_failed_training_is_retried_with_back_off_while_champion_serves(loop: Loop) -> None:
    before = champion_version(loop.home)
    loop.heat(hot(T, onset=T - 10 * DAY))
    with Server(loop.home) as server:
        with broken(loop):
            assert [run.success for run in loop.tick()] == [False]
            assert loop.runs[0].dagster_run.tags["dagster/max_retries"] == "0", "the policy itself tries again"
            assert "failed (1 in a row), back-off" in loop.said()
            assert [run.success for run in loop.at(T + 1.5 * HOUR).tick()] == [False]
            answer = httpx.post(f"{server.url}/predict", json={"station": "AAA"})
            assert answer.status_code == 200 or answer.status_code == 201
            assert answer.json()["model"]["version"] == before == champion_version(loop.home)
        assert "failed (2 in a row), back-off" in loop.at(T + 4 * HOUR).said()
        # The budget of the day is spent: the third one comes with the next day.
        (run,) = loop.at(T + DAY).tick()
        assert run.success
    assert memory(loop).attempts[-1].number == 3
    assert next(retrains(loop.instance, loop.home, loop.feed, TARGET)).outcome in ("promoted", "refused")


def test_lost_cursor_repeats_no_run(loop: Loop) -> None:
    loop.heat(hot(T, onset=T - 10 * DAY))
    assert len(loop.tick()) == 1
    kept = loop.cursor
    for cursor in (kept, None, '{"temperature": [17]}', "not JSON"):
        again = Loop(loop.feed, loop.home, loop.instance, cursor).at(T + HOUR)
        assert again.tick() == [], cursor
        again.at(T + 5 * HOUR)
        assert again.tick() == [], cursor
        assert again.cursor is not None
        assert TARGET in again.cursor


def test_tick_killed_before_cursor_starts_no_second_run(loop: Loop) -> None:
    loop.heat(hot(T, onset=T - 10 * DAY))
    before = loop.cursor
    assert len(loop.tick()) == 1
    loop.cursor = before  # as if the daemon had been killed between the launch and the end of the tick
    assert loop.at(T + HOUR).tick() == []
    assert len(loop.instance.get_runs(dg.RunsFilter(tags={"aerocast/retrain": "small/temperature"}))) == 1


def test_feeds_are_independent(loop: Loop, tmp_path: Path) -> None:
    other = Loop(looped(tmp_path / "unread.csv", name="other"), loop.home, loop.instance).at(T)
    loop.heat(hot(T, onset=T - 10 * DAY))
    other.heat(cool())
    assert len(loop.tick()) == 1
    assert other.tick() == []
    other.heat(hot(T, onset=T - 11 * DAY))
    (run,) = other.tick()  # there is nothing to train from: it fails, and that is its own affair
    assert not run.success
    assert run.dagster_run.job_name == "other_temperature_retrain"
    assert "failed (1 in a row)" in other.said()
    assert "failed" not in loop.said()
    assert loop.tick() == []
    assert {run.dagster_run.tags["aerocast/retrain"] for run in loop.runs} == {"small/temperature"}


def test_running_retrain_is_awaited(loop: Loop) -> None:
    queued = loop.instance.create_run_for_job(
        loop.defs.resolve_job_def("small_temperature_retrain"), tags={"aerocast/retrain": "small/temperature"}
    )
    loop.heat(hot(T, onset=T - 10 * DAY))
    requests.request_retrain(loop.home, "small", TARGET, "a person asked")
    said = loop.said()
    assert "a retrain is under way since 2024-05-02 00:00" in said
    assert "waits for it" in said
    assert "under way" in str(loop.due().skip_message)
    loop.instance.report_run_failed(queued)
    assert len(loop.tick()) == 1


def test_request_is_taken_exactly_once(loop: Loop) -> None:
    asked = requests.request_retrain(loop.home, "small", TARGET, "/routine-retrain-check")
    (wanted,) = loop.look().run_requests
    assert wanted.tags["retrain_reason"] == f"request {asked.id} /routine-retrain-check"
    assert [request.id for request in requests.open_requests(loop.home, "small").values()] == [asked.id], (
        "open until a run is there"
    )
    (run,) = loop.tick()
    assert run.success
    assert loop.tick() == []
    assert requests.open_requests(loop.home, "small") == {}
    requests.request_retrain(loop.home, "small", TARGET, "again")
    assert len(loop.tick()) == 1
    assert len(loop.runs) == 2


def test_damaged_request_blocks_nothing(loop: Loop) -> None:
    path = loop.home / "requests" / "small" / f"{TARGET}.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    loop.heat(hot(T, onset=T - 10 * DAY))
    assert len(loop.look().run_requests) == 1


def test_live_evidence_requests_challenger_once(loop: Loop) -> None:
    loop.heat(hot(T, onset=T - 10 * DAY))
    first, rival = champion_version(loop.home), challenger_of(loop)
    weak = Shadow(TARGET, rival, first, 500, 0.02, 0.2)
    loop.heat(cool(), shadows=(weak,))
    assert loop.tick() == []
    stale = Shadow(TARGET, rival, "0009-00000000", 500, 0.2, 0.001)
    loop.heat(cool(), shadows=(stale,))
    assert loop.tick() == []
    loop.heat(cool(), shadows=(Shadow(TARGET, rival, first, 500, 0.2, 0.001),))
    (run,) = loop.tick()
    assert run.success
    reason = f"shadow temperature: {rival} beats {first} by 20.0% on 500 live requests, p = 0.001"
    assert run.dagster_run.tags["retrain_reason"] == reason
    assert champion_version(loop.home) == rival
    made_now = {event.asset_key for event in run.get_asset_materialization_events()}
    assert made_now == {key(loop.feed, TARGET, name) for name in ("champion", "forecasts")}, "nothing is trained"
    assert loop.tick() == []


def test_fit_that_live_outcomes_refute_is_withdrawn(loop: Loop) -> None:
    first = champion_version(loop.home)
    own = release.load(loop.home, "small", TARGET, first)
    assert own.files["model.onnx"] != own.files["trial.onnx"], "what serves has learned the newest rows as well"
    loop.heat(cool(), shadows=(Shadow(TARGET, first, first, 500, 0.2, 0.02, as_judged=True),))
    assert loop.tick() == [], "a chance a day is no proof"
    loop.heat(cool(), shadows=(Shadow(TARGET, first, first, 500, 0.02, 0.001, as_judged=True),))
    assert loop.tick() == [], "too little to give up what was learned last"
    loop.heat(cool(warm=1), shadows=(Shadow(TARGET, first, first, 500, 0.2, 0.001, as_judged=True),))
    assert loop.tick() == [], "in a world that changes neither is right"
    loop.heat(cool(), shadows=(Shadow(TARGET, first, first, 500, 0.2, 0.001, as_judged=True),))
    (run,) = loop.tick()
    assert run.success
    reason = f"shadow temperature: {first} as judged beats {first} by 20.0% on 500 live forecasts, p = 0.001"
    assert run.dagster_run.tags["retrain_reason"] == reason
    serves = release.load(loop.home, "small", TARGET, champion_version(loop.home))
    assert serves.version != first
    assert serves.files["model.onnx"] == own.files["trial.onnx"]
    assert serves.files["sequence.onnx"] == own.files["sequence.onnx"]
    graphs, lineage = serves.manifest.graphs, serves.manifest.lineage
    assert graphs.trial is None
    assert graphs.station.intervals == own.manifest.graphs.for_trial.intervals
    assert (lineage.training_end, lineage.trial_end) == (own.manifest.lineage.trial_end, None)
    assert serves.manifest.metrics == own.manifest.metrics
    assert loop.tick() == []


def test_routine_retrains_old_champion_or_gives_reason(loop: Loop) -> None:
    loop.at(MADE + 20 * DAY)
    assert loop.due().skip_message == "temperature: the champion is 20 days old, limit 30 days"
    loop.at(MADE + 31 * DAY)
    (wanted,) = loop.due().run_requests
    assert wanted.tags["retrain_reason"] == "schedule: the champion is 31 days old, limit 30 days"
    assert wanted.run_config == {"ops": {}}, "no drift began the present regime"
    run = loop.execute(dg.RunRequest(job_name="small_temperature_retrain", tags=wanted.tags))
    assert run is not None
    assert run.success
    said = str(loop.due().skip_message)
    assert "nothing better was found" in said, "nothing new to learn from: not asked again each hour"


def test_unserved_target_is_retried_with_newer_rows(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "current", lambda *_: None)
    assert loop.due().skip_message == (
        "temperature: nothing serves yet: no model was good enough at 2024-05-01 00:00, and there are no newer rows"
    )
    monkeypatch.setattr(training_set, "content", lambda *_: "other rows")
    (wanted,) = loop.due().run_requests
    assert wanted.tags["retrain_reason"].endswith("and there are newer rows")


def test_held_target_is_skipped_with_reason(loop: Loop) -> None:
    """Drift, age, live evidence: nothing is started. What a person asks for is trained, and replaces nothing."""
    serves = champion_version(loop.home)
    release.promote(loop.home, "small", TARGET, serves, Hold(datetime.now(UTC), reason="the newer one is worse"))
    loop.heat(hot(T, onset=T - 10 * DAY))
    assert f"but {serves} stays: a person has held it since" in loop.said()
    assert "until it is lifted" in str(loop.at(MADE + 69 * DAY).due().skip_message)
    loop.at(T)
    requests.request_retrain(loop.home, "small", TARGET, "a person asked", force=True)
    rival = challenger_of(loop)
    loop.heat(hot(T, onset=T - 10 * DAY), shadows=(Shadow(TARGET, rival, serves, 500, 0.2, 0.001),))
    (run,) = loop.tick()
    assert run.success
    assert metadata(run, key(loop.feed, TARGET, "champion"))["verdict"] == "held"
    assert metadata(run, key(loop.feed, TARGET, "linear"))["status"] == "computed", "forced: trained, though unchanged"
    assert champion_version(loop.home) == serves
    assert loop.tick() == []
    release.lift(loop.home, "small", TARGET)
    assert len(loop.at(T + DAY).heat(hot(T, onset=T - 10 * DAY)).tick()) == 1


def test_unusable_champion_is_due(loop: Loop) -> None:
    """A release that is damaged, or of another unit, waits for no age: nothing else would replace it."""
    served = champion_version(loop.home)
    manifest = release.folder(loop.home, "small", TARGET) / served / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:100])
    due = loop.at(MADE).due()
    assert "what serves cannot be used: " in due.run_requests[0].tags["retrain_reason"]
    requests.request_retrain(loop.home, "small", TARGET, "a person asked")
    assert loop.heat(cool()).look().run_requests, "nor does it stop the sensor"
    manifest.write_bytes(whole)
    assert "the champion is" in loop.due().skip_message


def test_recording_never_ages(loop: Loop) -> None:
    at_its_end = looped(loop.home / "unread.csv", max_age="P1D")
    recorded = Loop(at_its_end.model_copy(update={"end": MADE}), loop.home, loop.instance)
    said = recorded.due().skip_message
    assert said == (
        "temperature: the champion is 0 seconds old, limit 1 day; the feed's clock stands at its end, 2024-05-01"
    )


def test_run_metadata_gives_decision(loop: Loop) -> None:
    loop.heat(hot(T, onset=T - 10 * DAY))
    (run,) = loop.tick()
    promoted = metadata(run, key(loop.feed, TARGET, "champion"))["promoted"]
    (told, *_) = retrains(loop.instance, loop.home, loop.feed, TARGET)
    assert told.outcome == ("promoted" if promoted else "refused")
    assert told.start == told.end == T
    decisions = loop_notes.decisions(loop.home, "small", TARGET).read()
    assert decisions
    assert [each.verdict for each in decisions.decisions] == [told.outcome, "promoted"], "newest first"
    assert decisions.decisions[0].retrain_reason == run.dagster_run.tags["retrain_reason"]
    assert memory(loop.at(T)).attempts[-1].outcome == "running"
    loop.tick()
    assert memory(loop).attempts[-1].outcome == told.outcome


def helped(loop: Loop) -> dg.AssetCheckEvaluation:
    """The check, run alone as a person would run it."""
    chosen = dg.AssetSelection.checks(dg.AssetCheckKey(key(loop.feed, "evaluation"), "temperature_retraining_helped"))
    alone = dg.Definitions.merge(loop.defs, dg.Definitions(jobs=[dg.define_asset_job("helped", chosen)]))
    result = alone.resolve_job_def("helped").execute_in_process(instance=loop.instance)
    return check(result, "temperature_retraining_helped")


def test_check_fails_until_retrain_helps(loop: Loop) -> None:
    assert helped(loop).passed, "nothing was examined"
    loop.heat(hot(T, onset=T - 10 * DAY))
    assert "no retrain was finished since" in str(helped(loop).description)
    assert len(loop.tick()) == 1
    loop.at(T + 12 * HOUR).heat(hot(T, onset=T - 10 * DAY))
    early = helped(loop)
    assert early.passed
    assert "has until" in str(early.description)
    loop.at(T + 2 * DAY).heat(hot(T, onset=T - 10 * DAY))
    late = helped(loop)
    assert not late.passed
    assert late.severity is dg.AssetCheckSeverity.WARN
    assert "has not helped in 2 days" in str(late.description)
    assert late.metadata["rmse"].value == 5.2
    loop.heat(cool(T + 2 * DAY, edge=1))
    assert helped(loop).passed
