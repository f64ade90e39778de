"""The accuracy benchmark's parts on tiny made series: what peers receive, how all are scored, what is summed up."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

RNG = np.random.default_rng


def _job(days: int = 60, horizons: tuple[int, ...] = (1, 24), noise: float = 0.1):
    """An hourly day and week with a little noise, a second column, and the newest fifth to judge."""
    from measuring.peer_job import Job

    count, rng = 24 * days, RNG(0)
    hour = np.arange(count)
    target = (
        10 + 3 * np.sin(2 * np.pi * hour / 24) + 2 * np.sin(2 * np.pi * hour / 168) + noise * rng.normal(size=count)
    )
    cut, steps = int(0.8 * count), np.array(horizons)
    local = (np.arange(count + horizons[-1]) * 3600).astype(np.int64)
    return Job(
        values=np.stack([target, rng.normal(size=count)], axis=1),
        measured=target,
        local=local,
        holiday=local // 86_400 % 10 == 3,
        learned=np.arange(168, cut - horizons[-1]),
        test=np.arange(cut, count - horizons[-1]),
        rolling=np.arange(0, count - horizons[-1] - cut, 50),
        horizons=steps,
        cadence=3600,
    )


def _answer(error: float, actual: np.ndarray, half: float = 1.0):
    from measuring.peer_job import Answer

    levels = actual + error
    return Answer(levels, levels - half, levels + half, 1.0, 0.5)


@given(steps=st.integers(-12, 12), size=st.integers(1, 10))
def test_lag_takes_value_of_earlier_step(steps: int, size: int) -> None:
    from measuring.peer_job import lagged

    values = np.arange(size, dtype=float)
    moved = lagged(values, steps)
    for at in range(size):
        inside = 0 <= at - steps < size
        assert np.isnan(moved[at]) if not inside else moved[at] == values[at - steps]


def test_job_survives_its_file_and_knows_clock_of_target(tmp_path: Path) -> None:
    from measuring.peer_job import load

    job = _job()
    job.save(tmp_path / "job.npz")
    again = load(tmp_path / "job.npz")
    np.testing.assert_array_equal(again.values, job.values)
    assert (again.cadence, again.seasons) == (3600, (24,))  # nine weeks are too few for a season of weeks
    assert _job(days=80).seasons == (24, 168)
    calendar = again.calendar(24)
    assert calendar[0, 4:].tolist() == [0.0, 4.0, 0.0]  # the second of January 1970 was a Friday
    assert calendar[49, 4:].tolist() == [1.0, 6.0, 1.0]  # the fourth day is a holiday
    assert again.outcome(24)[0] == job.measured[24]


def test_gap_is_filled_by_newest_value_before_it() -> None:
    from dataclasses import replace

    job = _job()
    measured = job.measured.copy()
    measured[[0, 5, 6]] = np.nan
    filled = replace(job, measured=measured).filled
    assert filled[[0, 1, 5, 6, 7]].tolist() == measured[[1, 1, 4, 4, 7]].tolist()


@pytest.fixture
def quick_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    from measuring import peers

    monkeypatch.setitem(peers.TREES, "n_estimators", 60)


@pytest.mark.usefixtures("quick_trees")
def test_peers_never_see_test_rows() -> None:
    """Whatever happens after the newest outcome that may be learned changes no forecast of an origin before it."""
    from dataclasses import replace

    from measuring.peers import trees

    job = _job(days=40)
    first = int(job.test[0])
    values, measured = job.values.copy(), job.measured.copy()
    values[first + 1 :] += 100
    measured[first + 1 :] += 100
    mine, other = trees(job), trees(replace(job, values=values, measured=measured))
    np.testing.assert_allclose(mine.levels[0], other.levels[0], rtol=1e-6)
    assert np.abs(mine.levels[-1] - other.levels[-1]).max() > 1


def test_longest_season_repeats_value_or_last_one() -> None:
    from dataclasses import replace

    from measuring.peers import seasonal

    job = _job()
    values = job.values.copy()
    values[job.test[1] + 24 - 168, 0] = np.nan
    answer, at = seasonal(replace(job, values=values), 168), job.test
    assert answer.levels[0].tolist() == [values[at[0] + 1 - 168, 0], values[at[0] + 24 - 168, 0]]
    assert answer.levels[1, 1] == values[at[1], 0]
    inside = np.mean(np.abs(answer.levels[:, 0] - job.outcome(1)[at]) <= (answer.high - answer.levels)[:, 0])
    assert inside == pytest.approx(0.9, abs=0.1)


@pytest.mark.usefixtures("quick_trees")
def test_plain_trees_learn_made_season() -> None:
    from measuring.peers import trees

    job = _job()
    answer = trees(job)
    for at, horizon in enumerate(job.horizons.tolist()):
        actual = job.outcome(horizon)[job.test]
        naive = np.abs(job.values[job.test, 0] - actual).mean()
        assert np.abs(answer.levels[:, at] - actual).mean() < 0.8 * naive
        inside = np.mean((answer.low[:, at] <= actual) & (actual <= answer.high[:, at]))
        assert 0.7 < inside <= 1


def test_better_of_level_and_change_is_chosen_before_test() -> None:
    """A random walk is no level that was seen before; noise around a level is no change."""
    from measuring.peer_job import direct

    rng = RNG(1)
    walk, noise = np.cumsum(rng.normal(size=2000)), rng.normal(size=2000)
    rows, learned = np.arange(1600, 1999), np.arange(1600)

    def mean(x: Any, y: Any):
        level = y.mean()
        return lambda asked: np.full(len(asked), level)

    for series, best in ((walk, 1.0), (noise, 1.0)):
        y = np.append(series[1:], np.nan)
        made = direct([mean], np.zeros((2000, 1)), y, series, learned, rows, 1)
        assert np.sqrt(np.mean((made.levels - y[rows]) ** 2)) == pytest.approx(best, rel=0.1)
        assert made.half == pytest.approx(1.645, rel=0.15)


def test_everyone_is_scored_on_same_rows() -> None:
    from measuring.marks import marks

    actual = np.arange(20.0).reshape(10, 2)
    actual[3, 0] = np.nan
    one, two = _answer(0.5, actual), _answer(2.0, actual)
    two.levels[5] = np.nan
    table = {
        (each.model, each.horizon): each
        for each in marks({"one": [one], "two": [two]}, actual, (1, 6), actual[:, 1] > 2)
    }
    assert {key: each.rows for key, each in table.items()} == {
        ("one", 1): 7, ("two", 1): 7, ("one", 6): 8, ("two", 6): 8
    }  # fmt: skip
    assert table["one", 1].mae == pytest.approx([0.5])
    assert table["two", 6].rmse == pytest.approx([2.0])
    assert (table["one", 6].coverage, table["two", 6].coverage) == ([1.0], [0.0])
    assert (table["one", 1].fit, table["one", 1].predict) == (1.0, 0.5)


def test_horizon_without_row_is_named() -> None:
    from measuring.marks import marks

    actual = np.array([[1.0, np.nan]])
    with pytest.raises(ValueError, match="horizon 6: no row"):
        marks({"one": [_answer(0.0, actual)]}, actual, (1, 6), np.array([True]))


def test_interval_score_adds_twenty_times_what_lies_beyond() -> None:
    from measuring.marks import winkler

    low, high = np.zeros(3), np.full(3, 2.0)
    assert winkler(low, high, np.ones(3)) == pytest.approx(2)
    assert winkler(low, high, np.array([1.0, -0.5, 2.1])) == pytest.approx(2 + 20 * (0.5 + 0.1) / 3)


def _result(champion: list[float], peer: float, rolling: bool = False, series: str = "UCI bike"):
    from measuring.contenders import CHAMPION, RIDGE, SEASON, TREES, Result
    from measuring.marks import Mark

    def mark(name: str, *maes: float) -> Mark:
        same = list(maes)
        return Mark(name, 24, 100, same, same, [0.9] * len(same), same, 1.0, 0.1)

    own = [mark("persistence", 79.9), mark(SEASON, 68.3), mark(RIDGE, 78.0), mark(TREES, peer)]
    own += [mark(CHAMPION, *champion)] if champion else []
    all_marks = [*own, mark("AutoETS", 40.0), mark("MSTL", 70.0)] if rolling else []
    return Result(series, own, all_marks, {24: "xgboost"}, {} if champion else {CHAMPION: "refused"}, own)


def test_champion_is_held_against_best_peer_and_every_floor() -> None:
    from measuring.contenders import TREES
    from measuring.summary import cells

    (good,) = cells(_result([50.0, 51.0, 52.0], 56.0))
    assert (good.peer, good.beats_floors, good.beats_peer, good.is_behind) == (TREES, True, True, False)
    assert good.ratio is not None
    assert (good.ratio.low, good.ratio.median, good.ratio.high) == pytest.approx((56 / 52, 56 / 51, 56 / 50))
    (close,) = cells(_result([57.0], 56.0))
    assert (close.beats_peer, close.is_behind) == (False, False)
    (behind,) = cells(_result([77.5], 56.0))  # below the ridge, above the season
    assert (behind.beats_floors, behind.is_behind) == (False, True)
    (known,) = cells(_result([50.0], 56.0, series="MY1 o3"))  # the reference's ridge errs 10.374 there
    assert not known.beats_floors
    (none,) = cells(_result([], 56.0))
    assert (none.beats_floors, none.beats_peer, none.is_behind) == (False, False, True)


def test_slow_peers_count_on_rows_that_all_forecast() -> None:
    from measuring.contenders import PEERS
    from measuring.summary import cells

    assert cells(_result([50.0], 56.0), PEERS) == []
    (cell,) = cells(_result([50.0], 56.0, rolling=True), PEERS)
    assert (cell.peer, cell.is_behind) == ("AutoETS", True)


def test_summary_prints_counts_goals_and_odd_floors(capsys: pytest.CaptureFixture[str]) -> None:
    from measuring.summary import show_goals, show_reproduction, show_series, show_standing, show_table

    results = [_result([50.0, 51.0], 56.0, rolling=True), _result([], 56.0, series="PJM AEP")]
    for show in (show_table, show_standing, show_goals, show_reproduction):
        show(results)
    show_series(results[1])
    printed = capsys.readouterr().out
    assert "of 2 cells the champion beats every floor in 1; of 2 with a peer it beats the best in 1" in printed
    assert "UCI bike, 24 steps  50.50 (50.00..51.00)   <= 54  reached" in printed
    assert "PJM AEP, 24 steps                   none  <= 683   MISSED" in printed
    assert (
        "naive floors within 1% of the reference on its rows, those without a gap: MISSED" in printed
    )  # those of AEP are not 79.9 MW
    assert "UCI bike, 24 steps, persistence" not in printed
    assert "no champion: refused" in printed


def test_every_series_is_declared_as_it_is_read() -> None:
    from measuring.recorded import RECORDED, Absent
    from measuring.reference import GOALS, REFERENCES

    assert set(REFERENCES) == set(RECORDED)
    assert all(horizon in RECORDED[name].horizons for name, horizon in GOALS)
    for name, recorded in RECORDED.items():
        feed = recorded.feed("made")
        assert set(REFERENCES[name]) == set(recorded.horizons) == set(feed.horizons)
        assert list(feed.targets) == ["y"]
        try:
            series = recorded.series()
        except Absent:
            continue
        assert series.columns == tuple(column.name for column in feed.columns)
        assert (np.diff(series.time) == np.timedelta64(feed.cadence)).all()


def test_wind_from_north_blows_south_on_both_compasses() -> None:
    import pandas as pd
    from measuring.recorded import COMPASS, components

    assert (COMPASS[0], COMPASS[4], COMPASS[8], COMPASS[12]) == ("N", "E", "S", "W")
    wind = components(pd.Series([2.0, 2.0]), pd.Series([0.0, 90.0]))
    np.testing.assert_allclose(wind["u"], [0, -2], atol=1e-9)
    np.testing.assert_allclose(wind["v"], [-2, 0], atol=1e-9)


def test_absent_package_or_file_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from measuring import recorded

    with pytest.raises(recorded.Absent, match="nosuchpackage is not installed"):
        recorded.package_file("nosuchpackage", "x.csv")
    monkeypatch.setattr(recorded, "DATA", tmp_path)
    with pytest.raises(recorded.Absent, match="is not there"):
        recorded.RECORDED["PJM AEP"].series()


def test_peer_that_fails_or_takes_too_long_is_a_reason(tmp_path: Path) -> None:
    from measuring.peer_environment import Missing, interpreter, run

    python, script = Path(sys.executable), tmp_path / "script.py"
    script.write_text("import nosuchlibrary")
    with pytest.raises(Missing, match="No module named 'nosuchlibrary'"):
        run(python, str(script), tmp_path, tmp_path, 60)
    script.write_text("import time; time.sleep(60)")
    with pytest.raises(Missing, match=r"stopped after 0 s"):
        run(python, str(script), tmp_path, tmp_path, 0.2)
    (tmp_path / "env").write_text("a file where the environment should be")
    with pytest.raises(Missing):
        interpreter(tmp_path / "env", ["nosuchpackage"])


def test_scripts_of_peers_do_not_import_this_folder_as_libraries() -> None:
    """The folder of the scripts has a module `http`, as the standard library has."""
    from measuring.peer_environment import HERE

    for script in ("by_mlforecast.py", "by_statsforecast.py", "by_prophet.py"):
        code = f"""
import runpy, sys
sys.argv, sys.path[0] = ["{script}", "nosuchfile.npz", "."], "{HERE}"
try:
    runpy.run_path("{HERE / script}", run_name="__main__")
except FileNotFoundError:
    import http.client
    print("imported")
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stdout == "imported\n", done.stderr


@pytest.mark.e2e
def test_whole_contest_on_made_series() -> None:
    """Floors, candidates, champion and the peer that needs no environment, on 200 days of a made climate."""
    from measuring.contenders import CHAMPION, FLOORS, PEERS, TREES, Environment, measure
    from measuring.recorded import Recorded
    from measuring.series import Series, climate

    made = climate(RNG(3), 200)
    recorded = Recorded(lambda: Series(made.time, ("y",), made.values), {"y": ("degF", -60, 130)}, (1, 24))
    result = measure("made climate", recorded, Environment(None, "no network"), 2, 20)
    marks = {(each.model, each.horizon): each for each in result.whole}
    assert {name for name, _ in marks} == {*FLOORS, "linear", "xgboost", CHAMPION, TREES}
    assert len({each.rows for each in result.whole if each.horizon == 1}) == 1
    assert {each.model for each in result.gapless} == set(FLOORS)
    assert set(result.kinds) == {1, 24}
    assert result.absent == dict.fromkeys((name for name in PEERS if name != TREES), "no network")
    assert len(marks[CHAMPION, 1].mae) == len(marks["xgboost", 1].mae) == 2
    for horizon, kind in result.kinds.items():
        assert marks[CHAMPION, horizon].mae[0] == pytest.approx(marks[kind, horizon].mae[0], rel=1e-4)
    assert marks[CHAMPION, 1].mae[1] < marks["persistence", 1].mae[0]
