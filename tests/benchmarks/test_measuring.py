"""The benchmarks' helpers: figures, tables and the data they are made of. What they measure is not tested here."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from aerocast.common.months import month_of
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.tables.raw import raw_schema
from tests import PROJECT

BENCHMARKS = PROJECT / "benchmarks"
SUMMARY = """
Seconds
-------
  noaa/raw                                0.7  computed
  server: start, forecast, stop           0.9  first answer after 0.4 s
  in all                                  8.5  1 computed, 0 unchanged

Plot          somewhere.png
"""


def test_benchmarks_say_what_they_measure() -> None:
    scripts = sorted(BENCHMARKS.glob("*.py"))
    assert {script.stem for script in scripts} >= {
        "main_job",
        "code_location",
        "server",
        "accuracy",
        "healing",
        "unit_jumps",
        "ingest",
    }
    for script in scripts:
        assert script.read_text().startswith('"""')


def test_rounds_are_interleaved_and_ratios_stay_within_round() -> None:
    from measuring.spread import Spread, interleave, ratio

    order: list[str] = []
    figures = interleave(3, {name: lambda name=name: order.append(name) or float(len(order)) for name in "AB"})
    assert "".join(order) == "ABABAB"
    assert figures == {"A": [1, 3, 5], "B": [2, 4, 6]}
    assert ratio(figures["B"], figures["A"]) == Spread(4 / 3, 6 / 5, 2.0, 3)
    assert Spread.of([3, 1, 2]).text(1, " s") == "2.0 s (1.0..3.0)"
    assert Spread.of([3]).text(1, " s") == "3.0 s"


def test_tables_are_aligned() -> None:
    from measuring.table import lines

    assert lines(["", "s"], [["a", "1.0"], ["long", "22.0"]]) == [
        "         s",
        "----------",
        "a      1.0",
        "long  22.0",
    ]


def test_steps_are_read_from_summary_of_job() -> None:
    from main_job import steps

    assert steps(SUMMARY) == {"noaa/raw": 0.7, "server: start, forecast, stop": 0.9, "in all": 8.5}


def test_child_prints_json_and_failure_ends_benchmark() -> None:
    from measuring.processes import answer, peak_mib

    assert answer(["-c", "print('noise'); print('[1, 2]')"]) == [1, 2]
    assert peak_mib() > 10
    with pytest.raises(SystemExit, match="status 3"):
        answer(["-c", "raise SystemExit(3)"])


def test_bootstrap_is_exact_in_middle_and_wider_for_fewer_weeks() -> None:
    from measuring.bootstrap import mae_difference, skill

    random = np.random.default_rng(0)
    model, peer = random.normal(0, 1, 2000), random.normal(0, 2, 2000)
    peer[0] = np.nan
    week = np.arange(2000) // 40
    gap, low, high = mae_difference(model, peer, week)
    assert gap == pytest.approx(np.mean(np.abs(model[1:]) - np.abs(peer[1:])))
    assert low < gap < high < 0
    value, low, high = skill(model, peer, week)
    assert value == pytest.approx(1 - np.sqrt(np.mean(model[1:] ** 2) / np.mean(peer[1:] ** 2)))
    _, least, most = skill(model, peer, week // 5)
    assert low < value < high
    assert least < value < most


def test_ridge_with_leaked_answer_recovers_it() -> None:
    from measuring.peers import ridge

    x = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    y = (x @ np.array([[1.0], [2.0], [0.0]]) + 5).astype(np.float32)
    station = np.repeat(["A", "B"], 200)
    learned = np.arange(400) % 2 == 0
    assert np.abs(ridge(x, y, station, learned) - y).max() < 0.2


def test_grid_of_script_equals_grid_of_platform(noaa: Feed) -> None:
    from measuring.feeds import prepare
    from measuring.plain import cleaned, regular

    ours, plain = prepare("noaa"), regular(noaa, cleaned(noaa))
    assert plain.keys() == ours.grids.keys()
    for station, grid in ours.grids.items():
        assert plain[station].columns == grid.columns
        np.testing.assert_array_equal(plain[station].time, grid.time)
        np.testing.assert_allclose(plain[station].values, grid.values, rtol=1e-5, atol=1e-4)
        np.testing.assert_array_equal(plain[station].age, grid.age)


def test_tables_by_hand_equal_tables_of_platform(tmp_path: Path) -> None:
    """Over the border of a month: duplicates, spikes and gaps among some thousand readings, and texts of every kind."""
    from measuring import by_duckdb, by_pandas
    from measuring.contest import LAYERS, differences, job, kept, stored, totals
    from measuring.generated import Size, generate, generated_feed
    from measuring.ingesting import ours

    feed, lake = generated_feed(Size(3, 6 / 365), datetime(2000, 1, 28, tzinfo=UTC)), Lake(tmp_path)
    readings = generate(lake, feed) + _append_odd_texts(lake, feed, datetime(2000, 1, 31, 12, tzinfo=UTC))
    steps = {step.name: step.rows for step in ours(feed, tmp_path)}
    mine, told = totals(feed, kept(lake)), job(feed, lake, 1)
    assert len(told["pieces"]) == 2
    assert readings > steps["bronze, quarantine"] > 4000
    assert all(mine[layer]["rows"][0] for layer in LAYERS)
    broken = {name: total for name, (_, total, _) in mine["quarantine"].items()}
    assert broken['"column" IS NULL'] > 0
    assert all(broken[f"\"column\" = 'temperature' AND rule = '{each}'"] for each in ("unparseable", "range", "step"))
    for way, run in {"duckdb": by_duckdb.run, "pandas": by_pandas.run}.items():
        assert run(told, tmp_path / way) == steps["windows"]
        theirs = totals(feed, stored(tmp_path / way))
        assert differences(mine, theirs) == []
    assert differences(mine, theirs | {"silver": theirs["silver"] | {"humidity": (0, 0.0, 0.0)}})


def _append_odd_texts(lake: Lake, feed: Feed, start: datetime) -> int:
    """Three more deliveries of a day and a half around a month's end, with texts of every kind; how many rows."""
    from measuring.generated import RAW

    texts = {
        "temperature": ("8.4", "99.9", "", "error", "45.5", None, " NA ", "inf", "-9999.0", " 45.0 ", "1e999", "-40"),
        "windSpeed": (None, "-1", "200", "20", "calm", "210.5", "-999"),
        "barometricPressure": ("1010", "N/A", "1010.5", "9", "1040"),
    }
    count, stations = 0, [*feed.station_ids, "NOWHERE"]
    for number in range(3):
        times = [start + timedelta(minutes=20 * at) for at in range(108)]
        for month in ("2000-01", "2000-02"):
            rows = [
                {
                    "station": stations[at % len(stations)],
                    "time": time,
                    "time_text": time.isoformat(),
                    **{name: of[(at * (number + 1) + number) % len(of)] for name, of in texts.items()},
                    "source": "odd",
                    "segment": f"{month}-odd-{number}",
                    "line": at,
                    "month": month,
                }
                for at, time in enumerate(times)
                if month_of(time) == month
            ]
            lake.append(RAW, pa.Table.from_pylist(rows, raw_schema(feed)), f"{month}-odd-{number}")
            count += len(rows)
    return count


def test_project_without_components_loads(tmp_path: Path) -> None:
    from code_location import LOAD, empty_project, timed

    assert timed(LOAD.format(package="hollow"), empty_project(tmp_path))() > 0
