"""What a demonstration tells: figures and picture from the tables, news once each, and a home that is its own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.contracts.drift_state import Diagnosis, DriftState, Evidence, Heat
from aerocast.lake import Lake
from aerocast_assets.feeds import find_feed
from demo import story
from demo.stage import stage
from demo.timeline import Timeline
from demo.watching import LoopFacts, Retrain

START = datetime(2024, 4, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def write(home: Path, hours: int = 48) -> None:
    """Bronze, outcomes and diagnoses of the feed heatwave: errors of 1 degC on the first day and of 3 on the second."""
    lake, times = Lake(home), [START + hour * HOUR for hour in range(hours)]
    month, number = ["2024-04"] * hours, np.arange(hours, dtype=float)
    error = np.where(number < 24, 1.0, 3.0) * np.where(number % 2, 1, -1)
    common = {"station": ["SIM1"] * hours, "time": pa.array(times, pa.timestamp("us", "UTC")), "month": month}
    lake.overwrite("heatwave/bronze", pa.table({**common, "temperature": 20 + number / 10}))
    outcomes = {
        **common,
        "target": ["temperature"] * hours,
        "horizon": [1] * (hours - 1) + [6],
        "shadow": [False] * hours,
        "repeated": [False] * hours,
        "value": 20 + number / 10 - error,
        "lower": number,
        "upper": number + 1,
        "error": [*error[:-2], None, 50.0],
        "actual": 20 + number / 10,
        "persistence": 19 + number / 10,
        "version": ["0001-a"] * 24 + ["0002-b"] * (hours - 24),
    }
    lake.overwrite("heatwave/outcomes", pa.table(outcomes))
    judged = {"target": ["temperature"] * 2, "station": ["SIM1"] * 2, "verdict": ["ok", "concept_drift"]}
    judged |= {"rmse": [1.0, 3.0], "expected_rmse": [1.0, None], "month": month[:2]}
    at = pa.array([START + 20 * HOUR, START + 40 * HOUR], pa.timestamp("us", "UTC"))
    lake.overwrite("heatwave/drift", pa.table({**judged, "judged_at": at}))


def read(home: Path, since: datetime = START) -> story.Story:
    with duckdb.connect() as con:
        return story.load_story(con, Lake(home), home, find_feed("heatwave"), "temperature", "SIM1", since)


def test_story_counts_known_outcomes_of_first_horizon(tmp_path: Path) -> None:
    write(tmp_path)
    found = read(tmp_path)
    day = START + 24 * HOUR
    assert found.rmse(START, day) == pytest.approx(1.0)
    assert found.rmse(day, day + 24 * HOUR) == pytest.approx(3.0)
    assert found.rmse(day + 24 * HOUR, day + 48 * HOUR) is None
    assert len(found.forecasts.time) == 47, "another horizon is another story"
    assert np.isnan(found.forecasts.error[-1])
    assert list(found.examinations.verdict) == ["ok", "concept_drift"]
    assert found.time[0] == np.datetime64("2024-04-01T00:00:00")
    assert len(read(tmp_path, day).time) == 24


def test_story_without_events_is_plotted(tmp_path: Path) -> None:
    empty = story.draw_story(read(tmp_path), [], "nothing happened")
    assert len(empty.axes) == 4
    write(tmp_path)
    figure = story.draw_story(read(tmp_path), [(START + 30 * HOUR, "heatwave")], "a story")
    path = tmp_path / "story.png"
    figure.savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [label.get_text() for label in figure.axes[3].get_yticklabels()] == ["0001-a", "0002-b"]
    assert "heatwave" in [text.get_text() for text in figure.axes[0].texts]


def facts(**changes: object) -> LoopFacts:
    base = {"now": START, "drift": None, "diagnosis": None, "heat": Heat("temperature"), "retrains": ()}
    return LoopFacts(**{**base, "released": "0001-a", "promotion": None, "served": "0001-a", "metrics": {}, **changes})


def test_events_are_printed_once_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    timeline = Timeline("degC", HOUR)
    fired = Evidence("error_ratio", "temperature", 9.0, 2.0, True, "errors are 9 times those of the test")
    bad = Diagnosis("temperature", "SIM1", "concept_drift", START, None, 2.0, 0.3, 0.4, 99, (fired,))
    hot = Heat("temperature", hot=True, edges=1, since=START, onset=START - 5 * HOUR)
    seen = DriftState("heatwave", START, START, (bad,), (), (hot,))
    run = Retrain("abc", "drift temperature: worse", "STARTED")
    ended = Retrain("abc", "drift temperature: worse", "SUCCESS")
    row = {"verdict": "v", "decided_at": START, "promoted": True, "reason": "Promoted: better."}
    cool = Heat("temperature", edges=1, calm=2, since=START + 9 * HOUR)
    timeline.news(facts(), silent=True)
    for _ in range(2):
        timeline.news(facts())
        timeline.news(facts(drift=seen, diagnosis=bad, heat=hot))
        timeline.news(facts(drift=seen, diagnosis=bad, heat=hot, retrains=(run,)))
        timeline.news(facts(heat=hot, retrains=(ended,), promotion=row, released="0002-b", served="0002-b"))
        timeline.news(facts(heat=cool, retrains=(ended,), promotion=row, released="0002-b", served="0002-b"))
    said = capsys.readouterr().out
    events = ["concept drift", "DRIFT DETECTED", "retrain started", "retrain ended", "promoted", "server answers"]
    places = [said.index(event) for event in [*events, "cool again"]]
    assert places == sorted(places)
    assert all(said.count(event) == 1 for event in events)
    for evidence in ("RMSE 2.00 degC", "errors are 9 times", "retrain_reason: drift temperature", "with 0002-b"):
        assert evidence in said
    assert "0001-a" not in said, "what was there before is no news"
    assert [mark for _, mark in timeline.marks] == ["drift detected", "retrain", "promoted"]


def test_stage_refuses_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(AeroCastError, match="left unchanged"), stage(tmp_path / "home", find_feed("heatwave")):
        pass
    assert (tmp_path / "home" / "thesis.txt").exists()


def test_stage_clears_its_home_and_is_single(tmp_path: Path) -> None:
    feed, home = find_feed("heatwave"), tmp_path / "home"
    with stage(home, feed):
        old, own = home / "tail" / "heatwave.npz", home / "a note of mine"
        old.parent.mkdir()
        old.touch()
        own.touch()
        with pytest.raises(AeroCastError, match="one writer at a time"), stage(home, feed):
            pass
    with stage(home, feed) as again:
        assert not old.exists()
        assert own.exists(), "what is not AeroCast's stays"
        assert (home / "home.json").exists()
        assert "dequeue_interval_seconds: 1" in (home / "dagster.yaml").read_text()
        assert again.url != again.ui_url


def test_ended_process_is_named_with_last_lines(tmp_path: Path) -> None:
    with stage(tmp_path / "home", find_feed("heatwave")) as made:
        made._open("parrot", "no_such_module")
        made._children["parrot"].wait(60)
        with pytest.raises(AeroCastError, match=r"parrot ended unexpectedly with status 1: .*No module named"):
            made.check()
