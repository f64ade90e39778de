"""The score of the Numenta Anomaly Benchmark: perfect is 100, silence is 0, and examples by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

ROWS, WINDOWS = 1000, ((300, 399), (700, 799))


def _alarms(*rows: int) -> np.ndarray:
    alarms = np.zeros(ROWS, dtype=bool)
    alarms[list(rows)] = True
    return alarms


def _sigmoid(x: float) -> float:
    return 2 / (1 + math.exp(-x)) - 1


def test_alarm_at_each_left_edge_is_perfect_and_silence_is_nothing() -> None:
    from measuring.nab import score

    perfect, silent = score(_alarms(300, 700), WINDOWS), score(_alarms(), WINDOWS)
    assert perfect.normal == pytest.approx(100)
    assert silent.normal == pytest.approx(0)
    assert (perfect.hits, perfect.false, silent.hits) == (2, 0, 0)


def test_score_by_hand() -> None:
    from measuring.nab import score

    # Row 350 of the window 300..399 is 50 rows before the end of 100: half of it is left.
    middle = _sigmoid(5 * 0.5) / _sigmoid(5)
    assert score(_alarms(350), WINDOWS).points == pytest.approx(middle - 1)
    # Only the earliest alarm in a window counts.
    assert score(_alarms(350, 351, 380), WINDOWS).points == pytest.approx(middle - 1)
    # Before any window an alarm costs all, just behind one less: 10 rows after 99 steps of width.
    assert score(_alarms(200, 350), WINDOWS).points == pytest.approx(middle - 1 - 0.11)
    assert score(_alarms(350, 409), WINDOWS).points == pytest.approx(middle - 1 - 0.11 * _sigmoid(5 * 10 / 99))
    assert score(_alarms(350, 699), WINDOWS).points == pytest.approx(middle - 1 - 0.11)


def test_rows_for_learning_do_not_count() -> None:
    from measuring.nab import probation, score

    assert probation(ROWS) == 150
    assert probation(18_050) == 750
    assert score(_alarms(0, 149), WINDOWS).false == 0
    assert score(_alarms(150), WINDOWS).false == 1


@given(st.integers(0, 2**32 - 1))
def test_best_threshold_is_as_good_as_any(seed: int) -> None:
    from measuring.nab import Series, best_threshold, score, total

    rng = np.random.default_rng(seed)
    time = np.datetime64("2020-01-01", "s") + np.arange(ROWS) * np.timedelta64(300, "s")
    files = [
        Series("one", time, np.zeros(ROWS), WINDOWS),
        Series("two", time, np.zeros(ROWS), ((500, 599),)),
        Series("quiet", time, np.zeros(ROWS), ()),
    ]
    values = {file.name: rng.integers(0, 30, ROWS).astype(float) for file in files}

    def points(threshold: float) -> float:
        return total([score(values[file.name] >= threshold, file.windows) for file in files]).points

    best = points(best_threshold(files, values))
    assert all(best >= points(threshold) - 1e-9 for threshold in (*range(31), math.inf))


def test_read_finds_windows_as_rows(tmp_path: Path) -> None:
    from measuring.nab import read

    (tmp_path / "a.csv").write_text(
        "timestamp,value\n2020-01-01 00:00:00,1\n2020-01-01 00:05:00,2\n2020-01-01 00:10:00,3\n"
    )
    labels = {"a.csv": [["2020-01-01 00:05:00.000000", "2020-01-01 00:10:00.000000"]]}
    (tmp_path / "windows.json").write_text(json.dumps(labels))
    (series,) = read(tmp_path)
    assert (series.name, series.windows, series.value.tolist()) == ("a", ((1, 2),), [1, 2, 3])
