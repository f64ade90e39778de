"""Intake, outcomes, rolling metrics and history: exactly once, and equal to what a hand computes."""

import csv
import math
import multiprocessing
import os
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.contracts import predictions
from aerocast.contracts.predictions import Logged, PostedOutcome
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake, compaction
from aerocast.lake.fingerprints import NO_EDGES
from aerocast.monitoring.evaluation import answers, history, outcomes, rolling
from aerocast.monitoring.evaluation.intake import LogIntake, take_segments
from tests.factories.feeds import small_feed
from tests.factories.predictions import HOUR, T0, VERSION, answer, posted_outcome, segment, silver

APRIL = datetime(2024, 4, 2, tzinfo=UTC)
LATER = T0 + timedelta(days=30)


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return small_feed(tmp_path / "none.csv")


@pytest.fixture
def lake(home: Path) -> Lake:
    return Lake(home)


def rows(con: duckdb.DuckDBPyConnection, lake: Lake, name: str, order: str = "ALL") -> list[dict[str, Any]]:
    found = lake.relation(con, name).order(order).to_arrow_table().to_pylist()
    return [{key: value for key, value in row.items() if key != "delivery"} for row in found]


def taken(con: duckdb.DuckDBPyConnection, lake: Lake, home: Path) -> LogIntake:
    return take_segments(con, lake, home, "small")


# Intake --------------------------------------------------------------------------------------------------------------


def test_segment_is_taken_once_and_deleted(con: duckdb.DuckDBPyConnection, lake: Lake, home: Path) -> None:
    records: list[Logged | PostedOutcome] = [answer("a", T0, {1: 50.0, 6: 52.0}), posted_outcome(51.0, "a", 1)]
    path = segment(home, "one", records)
    assert taken(con, lake, home) == LogIntake(segments=1, predictions=2, posted=1)
    assert not path.exists()
    segment(home, "one", records)  # as if the file had survived
    assert taken(con, lake, home) == LogIntake(segments=1)
    assert taken(con, lake, home) == LogIntake()
    issued = rows(con, lake, "small/predictions", "horizon")
    assert [(row["id"], row["horizon"], row["time"] - T0) for row in issued] == [("a", 1, HOUR), ("a", 6, 6 * HOUR)]
    assert [(row["id"], row["actual"]) for row in rows(con, lake, "small/posted")] == [("a", 51.0)]


def test_unreadable_lines_are_counted(con: duckdb.DuckDBPyConnection, lake: Lake, home: Path) -> None:
    segment(home, "torn", [answer("a", T0, {1: 50.0})], torn=b'{"record": "prediction", "id"\n')
    assert taken(con, lake, home) == LogIntake(segments=1, predictions=1, damaged=1)


def test_posted_outcome_is_stored_in_month_of_its_forecast(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path
) -> None:
    for number in range(6):  # older than the months looked at first
        segment(home, f"m{number}", [answer(f"m{number}", T0 - timedelta(days=31 * number), {1: 50.0})])
    taken(con, lake, home)
    late = LATER + timedelta(days=60)
    segment(
        home,
        "late",
        [
            posted_outcome(49.0, "m5", 1, late),
            posted_outcome(49.5, "m0", None, late),
            posted_outcome(1.0, "nobody", 1, late),
        ],
    )
    assert taken(con, lake, home) == LogIntake(segments=1, posted=3, unknown=1)
    found = {row["id"]: (row["month"], row["horizon"]) for row in rows(con, lake, "small/posted")}
    assert found == {"m5": ("2023-09", 1), "m0": ("2024-03", 1), "nobody": (f"{late:%Y-%m}", 1)}


def test_small_files_are_compacted(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FILES", 3)
    for number in range(8):
        segment(home, f"s{number}", [answer(f"s{number}", T0, {1: float(number)})])
        taken(con, lake, home)
    assert len(lake.files("small/predictions", ["2024-03"])) <= 4
    assert [row["value"] for row in rows(con, lake, "small/predictions", "value")] == list(range(8))
    segment(home, "s1", [answer("s1", T0, {1: 1.0})])
    assert taken(con, lake, home).predictions == 0, "what was taken is known after files were joined, too"


def _take_all(home: str, started: Event) -> None:
    lake = Lake(home)
    with duckdb.connect() as con:
        started.set()
        while True:
            take_segments(con, lake, Path(home), "small")


@pytest.mark.e2e
def test_intake_killed_anywhere_loses_and_repeats_nothing(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, chance: random.Random
) -> None:
    """Kills until at least one came in the middle of the work."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["aerocast.monitoring.evaluation.intake"])
    turn = wanted = cut = 0
    while turn < 10 or not cut:
        turn += 1
        taken(con, lake, home)
        before = 2 * wanted
        for number in range(12):
            id = f"{turn}-{number}"
            segment(home, id, [answer(id, T0, {1: float(wanted), 6: 51.0}), posted_outcome(50.0, id, 1)])
            wanted += 1
        started = context.Event()
        child = context.Process(target=_take_all, args=(str(home), started))
        child.start()
        assert started.wait(60)
        while sum(lake.rows("small/predictions").values()) == before:
            assert child.is_alive(), "it makes its first commit"
        time.sleep(chance.uniform(0.0, 0.1))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join(30)
        cut += (
            sum(lake.rows("small/posted").values()) < wanted or 0 < len(predictions.closed_segments(home, "small")) < 12
        )
    taken(con, lake, home)
    assert predictions.closed_segments(home, "small") == []
    issued, outcome = rows(con, lake, "small/predictions"), rows(con, lake, "small/posted")
    assert len(issued) == 2 * wanted
    assert len({(row["id"], row["horizon"]) for row in issued}) == 2 * wanted
    assert sorted(row["id"] for row in outcome) == sorted({row["id"] for row in issued})


# Outcomes ------------------------------------------------------------------------------------------------------------


def joined(con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed) -> dict[tuple[str, int], dict[str, Any]]:
    outcomes.refresh(con, lake, feed)
    return {(row["id"], row["horizon"]): row for row in rows(con, lake, "small/outcomes")}


def test_outcome_row_holds_actual_and_baselines(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    values = {T0 + hour * HOUR: 40.0 + hour for hour in range(-48, 30)}
    silver(lake, values, filled=[T0 + 7 * HOUR])
    segment(home, "s", [answer("a", T0, {1: 44.0, 6: 46.5}), answer("b", T0 + HOUR, {6: 50.0, 24: 60.0})])
    taken(con, lake, home)
    found = joined(con, lake, feed)
    first, sixth, gap, day = found["a", 1], found["a", 6], found["b", 6], found["b", 24]
    assert (first["actual"], first["error"], first["inside"]) == (41.0, -3.0, False)
    assert (sixth["actual"], sixth["error"], sixth["inside"]) == (46.0, -0.5, True)
    assert (first["persistence"], sixth["persistence"]) == (40.0, 40.0)
    assert (first["seasonal_naive"], sixth["seasonal_naive"]) == (17.0, 22.0), "one season before the target's time"
    assert gap["actual"] is None, "a filled value is no outcome"
    assert gap["actual_from"] is None
    assert (day["actual"], day["seasonal_naive"]) == (65.0, 41.0), "a whole season ahead: the value at the origin"


def test_seasonal_baseline_goes_back_to_known_season(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, tmp_path: Path
) -> None:
    daily = small_feed(tmp_path / "none.csv", horizons=[1, 30])
    silver(lake, {T0 + hour * HOUR: float(hour) for hour in range(-60, 40)})
    segment(home, "s", [answer("a", T0, {30: 0.0})])
    taken(con, lake, home)
    assert joined(con, lake, daily)["a", 30]["seasonal_naive"] == 30 - 48


def test_seasonal_baseline_follows_local_clock_and_best_season(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, tmp_path: Path
) -> None:
    window = {"columns": ["temperature"], "look_back": 168}
    stations = [{"id": "AAA", "timezone": "Europe/Berlin"}]
    own = small_feed(tmp_path / "none.csv", seasons=["P1D", "P7D"], window=window, stations=stations)
    change = datetime(2024, 3, 31, 1, tzinfo=UTC)  # clocks go from 2 to 3
    hours = {hour: float(hour) for hour in range(-200, 30)}
    silver(lake, {change + hour * HOUR: value for hour, value in hours.items()})
    segment(home, "s", [answer("a", change + 4 * HOUR, {1: 0.0, 6: 0.0})])
    taken(con, lake, home)
    assert joined(con, lake, own)["a", 1]["seasonal_naive"] == 5 - 23, "a day of 23 hours; a day errs less than a week"
    hours |= {5 - 167: 5.0}
    silver(lake, {change + hour * HOUR: value for hour, value in hours.items()})
    found = joined(con, lake, own)
    assert (found["a", 1]["seasonal_naive"], found["a", 6]["seasonal_naive"]) == (5.0, 10 - 23), "the best of each"


def test_posted_outcome_counts_only_without_measured_value(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    silver(
        lake,
        {T0: 40.0, T0 + HOUR: 41.0, T0 + 2 * HOUR: 41.0, T0 + 3 * HOUR: 41.0},
        filled=[T0 + 2 * HOUR, T0 + 3 * HOUR],
    )
    spoilt = pa.table(
        {"station": ["AAA"], "time": pa.array([T0 + 3 * HOUR], pa.timestamp("us", "UTC")), "month": ["2024-03"]}
    )
    lake.replace("small/quarantine", spoilt, ["2024-03"])
    segment(
        home,
        "s",
        [
            *(answer(id, T0 + hour * HOUR, {1: 44.0}) for hour, id in enumerate("abc")),
            answer("x", None, {1: 30.0}, station=None, graph="sequence"),
            *(posted_outcome(45.0, id, 1) for id in "abcx"),
            posted_outcome(46.0, "b", 1),
            posted_outcome(7.0, predicted=5.0),
        ],
    )
    taken(con, lake, home)
    found = joined(con, lake, feed)
    told = {id: (row["actual"], row["actual_from"]) for (id, _), row in found.items()}
    assert told["a"] == (41.0, "measured")
    assert told["b"] == (46.0, "posted"), "the last one posted counts"
    assert told["c"] == (None, None), "the reading is in quarantine, so what was posted is no better"
    assert told["x"] == (45.0, "posted")
    pair = next(row for row in found.values() if row["graph"] == "pair")
    assert (pair["value"], pair["actual"], pair["error"], pair["station"]) == (5.0, 7.0, 2.0, None)


@pytest.mark.parametrize(
    ("columns", "believed"),
    [(["temperature"], False), (["pressure"], True), ([None], False), (["pressure", None], False)],
)
def test_rejected_column_or_reading_discards_posted_outcome(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed, columns: list[str | None], believed: bool
) -> None:
    silver(lake, {T0: 40.0, T0 + HOUR: 40.0}, filled=[T0 + HOUR])
    segment(home, "s", [answer("a", T0, {1: 44.0}), posted_outcome(45.0, "a", 1)])
    taken(con, lake, home)
    assert joined(con, lake, feed)["a", 1]["actual"] == 45.0
    at = pa.array([T0 + HOUR + HOUR / 4] * len(columns), pa.timestamp("us", "UTC"))
    spoilt = {"station": ["AAA"] * len(columns), "time": at, "column": pa.array(columns, pa.string())}
    rows = pa.table(spoilt | {"month": ["2024-03"] * len(columns)})
    lake.replace("small/quarantine", rows, ["2024-03"], edges=NO_EDGES)
    assert joined(con, lake, feed)["a", 1]["actual"] == (45.0 if believed else None)
    assert sum(lake.rows("small/outcomes").values()) == 1, "however many rows of quarantine there are"


def test_unchanged_recomputation_makes_nothing_stale(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = {T0 + hour * HOUR: 40.0 + hour for hour in range(30)}
    silver(lake, readings)
    segment(home, "s", [answer(str(at), T0 + at * HOUR, {1: 44.0}) for at in range(20)])
    taken(con, lake, home)
    assert outcomes.refresh(con, lake, feed) == rolling.daily(con, lake, feed) == ["2024-03"]
    path = history.write(con, lake, home, feed)
    before, held = path.stat().st_mtime_ns, lake.ledger("small/outcomes").content(["2024-03"])
    silver(lake, readings, mark="2")
    assert outcomes.refresh(con, lake, feed) == [], "silver made by edited code, of the same rows"
    with monkeypatch.context() as patch:
        patch.setattr(outcomes, "code_version", lambda *_: "edited")
        assert outcomes.refresh(con, lake, feed) == ["2024-03"]
    assert outcomes.refresh(con, lake, feed, force=True) == ["2024-03"]
    assert lake.ledger("small/outcomes").content(["2024-03"]) == held
    assert rolling.daily(con, lake, feed) == []
    assert history.write(con, lake, home, feed).stat().st_mtime_ns == before
    silver(lake, readings | {T0 + 5 * HOUR: 1.0})
    assert outcomes.refresh(con, lake, feed) == rolling.daily(con, lake, feed) == ["2024-03"]
    assert history.write(con, lake, home, feed).stat().st_mtime_ns != before


def test_only_changed_months_are_recomputed(con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed) -> None:
    for number, name in enumerate(("jan", "feb", "mar")):
        start = T0 - timedelta(days=31 * (2 - number))
        silver(lake, {start + hour * HOUR: 40.0 for hour in range(3)})
        segment(home, name, [answer(name, start, {1: 44.0})])
    taken(con, lake, home)
    assert outcomes.refresh(con, lake, feed) == ["2023-12", "2024-01", "2024-03"]
    assert outcomes.refresh(con, lake, feed) == []
    segment(home, "more", [answer("more", T0 + HOUR, {1: 44.0})])
    taken(con, lake, home)
    assert outcomes.refresh(con, lake, feed) == ["2024-03"], "a new prediction"
    silver(lake, {T0 - timedelta(days=31) + hour * HOUR: 41.0 for hour in range(3)}, mark="2")
    assert outcomes.refresh(con, lake, feed) == ["2024-01"], "a corrected reading"
    segment(home, "post", [posted_outcome(1.0, "jan", 1, LATER)])
    taken(con, lake, home)
    assert outcomes.refresh(con, lake, feed) == ["2023-12"], "an outcome posted late"


def test_repeated_forecast_counts_once(con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed) -> None:
    silver(lake, {T0: 40.0, T0 + HOUR: 41.0})
    twice = [answer(f"{number}", T0, {1: 44.0}, issued_at=T0 + number * timedelta(minutes=1)) for number in range(3)]
    segment(home, "r", twice[:2])
    assert taken(con, lake, home).predictions == 2
    assert [row["id"] for row in rows(con, lake, "small/predictions")] == ["1"], "one row says it for both"
    segment(home, "s", [twice[2], answer("2", T0, {1: 40.0}, shadow=True, version="0002-bbbbbbbb")])
    taken(con, lake, home)
    outcomes.refresh(con, lake, feed)
    found = rows(con, lake, "small/outcomes", "id, shadow")
    assert [(row["id"], row["repeated"], row["asked"]) for row in found] == [
        ("1", True, 3),
        ("2", False, 3),
        ("2", False, 1),
    ]
    table = rolling.metrics(con, lake, feed, LATER).to_pylist()
    counted = {(row["version"], row["shadow"], row["station"]): row["n"] for row in table}
    both = {(VERSION, False): 1, ("0002-bbbbbbbb", True): 1}
    assert counted == {(*group, place): n for group, n in both.items() for place in ("AAA", "all")}


def test_outcomes_survive_retention_of_their_forecasts(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    silver(lake, {T0: 40.0, T0 + HOUR: 41.0, APRIL: 40.0, APRIL + HOUR: 41.0})
    segment(home, "s", [answer("a", T0, {1: 44.0}), answer("b", APRIL, {1: 44.0})])
    taken(con, lake, home)
    outcomes.refresh(con, lake, feed)
    before = rows(con, lake, "small/outcomes")
    lake.remove("small/predictions", ["2024-03"])
    assert outcomes.refresh(con, lake, feed, force=True) == ["2024-04"]
    assert [row["id"] for row in rows(con, lake, "small/outcomes")] == [row["id"] for row in before] == ["a", "b"]


def test_compaction_rewrites_few_bytes() -> None:
    small = [1] * compaction.FILES
    assert not compaction._is_crowded([100, *small[:-1]]), "few files"
    assert compaction._is_crowded([100, *small]), "that weigh a quarter of the largest"
    assert not compaction._is_crowded([1000, *small])
    assert compaction._is_crowded([10_000, *[1] * compaction.MOST]), "too many to be read quickly"


def test_outcome_may_be_posted_by_id_of_any_answer(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    silver(lake, {T0: 40.0})
    for number in range(2):
        segment(home, f"s{number}", [answer(f"{number}-{again}", T0, {1: 44.0}) for again in range(3)])
        taken(con, lake, home)
    segment(home, "p", [posted_outcome(46.0, "0-0", 1), posted_outcome(47.0, "later", 1)])
    assert taken(con, lake, home).unknown == 1
    segment(home, "q", [answer("later", T0 + HOUR, {1: 50.0})])
    taken(con, lake, home)
    outcomes.refresh(con, lake, feed)
    found = [(row["actual"], row["asked"]) for row in rows(con, lake, "small/outcomes", "time") if not row["repeated"]]
    assert found == [(46.0, 6), (47.0, 1)]


def test_shadow_forecast_is_matched_with_served_answer() -> None:
    sent = [answer(str(number), T0, {1: 44.0}, issued_at=T0 + number * HOUR) for number in range(3)]
    unseen = answer("1", T0, {1: 40.0}, shadow=True, version="0002-bbbbbbbb", issued_at=T0 + HOUR)
    assert [(each.answer.id, each.asked) for each in answers.distinct_forecasts([*sent, unseen])] == [
        ("1", 3),
        ("1", 1),
    ]
    assert answers.answer_table([*sent, unseen]).num_rows == 3
    bare = [answer(str(number), None, {1: 44.0}, station=None) for number in range(2)]
    assert len(answers.distinct_forecasts(bare)) == 2, "of these nobody knows whether they are the same"


# Rolling metrics -----------------------------------------------------------------------------------------------------

_value = st.floats(-40, 40, allow_nan=False).map(lambda value: round(value, 2))


@pytest.mark.e2e
@settings(max_examples=settings.default.max_examples // 4)  # each makes a home and its tables
@given(forecasts=st.lists(_value, min_size=2, max_size=30), newest=st.integers(1, 40), data=st.data())
def test_rolling_metrics_equal_plain_computation(
    forecasts: list[float],
    newest: int,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
    feed: Feed,
    con: duckdb.DuckDBPyConnection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rolling, "NEWEST", newest)
    home = tmp_path_factory.mktemp("home")
    lake, count = Lake(home), len(forecasts)
    values = data.draw(st.lists(_value, min_size=count + 25, max_size=count + 25))
    measured = {T0 + (hour - 24) * HOUR: value for hour, value in enumerate(values)}
    silver(lake, measured)
    segment(home, "s", [answer(str(at), T0 + at * HOUR, {1: value}) for at, value in enumerate(forecasts)])
    take_segments(con, lake, home, "small")
    outcomes.refresh(con, lake, feed)
    kept = range(max(0, count - newest), count)
    actual = [measured[T0 + (at + 1) * HOUR] for at in kept]
    errors = [forecasts[at] - a for at, a in zip(kept, actual, strict=True)]
    last = [measured[T0 + at * HOUR] - a for at, a in zip(kept, actual, strict=True)]
    before = [measured[T0 + (at - 23) * HOUR] - a for at, a in zip(kept, actual, strict=True)]
    better = min(rms(last), rms(before))
    for row in rolling.metrics(con, lake, feed, LATER).to_pylist():
        assert row["n"] == len(kept)
        assert row["rmse"] == pytest.approx(rms(errors), abs=1e-6)
        assert row["bias"] == pytest.approx(sum(errors) / len(errors), abs=1e-6)
        assert row["coverage"] == pytest.approx(sum(abs(e) <= 2 + 1e-9 for e in errors) / len(errors), abs=0.11)
        if better > 1e-3:
            assert row["skill"] == pytest.approx(1 - rms(errors) / better, rel=1e-6, abs=1e-6)
        assert row["window_end"] == T0 + count * HOUR


def rms(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))


def test_past_step_without_outcome_is_missing(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    silver(lake, {T0: 40.0, T0 + HOUR: 41.0})
    segment(home, "s", [answer("a", T0, {1: 44.0, 6: 45.0}), answer("b", T0 + HOUR, {6: 45.0})])
    taken(con, lake, home)
    outcomes.refresh(con, lake, feed)

    def missing(now: datetime) -> dict[int, tuple[int, int]]:
        table = rolling.metrics(con, lake, feed, now).to_pylist()
        return {row["horizon"]: (row["n"], row["missing"]) for row in table if row["station"] == "all"}

    assert missing(T0 + 6 * HOUR) == {1: (1, 0)}, "its step is still running"
    assert missing(T0 + 7 * HOUR) == {1: (1, 0), 6: (0, 1)}
    assert missing(T0 + 8 * HOUR) == {1: (1, 0), 6: (0, 2)}


def test_daily_metrics_are_kept_and_only_changed_months_computed(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    silver(lake, {T0 + hour * HOUR: 40.0 for hour in range(50)})
    segment(home, "s", [answer(str(at), T0 + at * HOUR, {1: 40.0 + at // 24}) for at in range(48)])
    taken(con, lake, home)
    outcomes.refresh(con, lake, feed)
    assert rolling.daily(con, lake, feed) == ["2024-03"]
    assert rolling.daily(con, lake, feed) == []
    found = [row for row in rows(con, lake, "small/evaluation_daily", "time") if row["station"] == "all"]
    assert [(row["time"], row["n"]) for row in found] == [
        (T0, 23),
        (T0 + timedelta(days=1), 24),
        (T0 + timedelta(days=2), 1),
    ]
    assert found[0]["bias"] == 0
    assert found[1]["bias"] == pytest.approx(23 / 24)


def test_history_is_one_file_per_month_of_evaluated_forecasts(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    silver(lake, {T0: 40.0, T0 + HOUR: 41.0})
    segment(home, "s", [answer("a", T0, {1: 44.0, 6: 45.0}, degraded=True, reasons=("gap, filled", "stale"))])
    taken(con, lake, home)
    outcomes.refresh(con, lake, feed)
    path = history.write(con, lake, home, feed)
    month = path / "2024-03.csv"
    with month.open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert path == home / "exports/small/prediction_history"
    assert len(found) == 1, "what has no outcome yet is no history"
    row = found[0]
    assert (row["time"], row["origin"]) == ("2024-03-01T01:00:00Z", "2024-03-01T00:00:00Z")
    assert (float(row["forecast"]), float(row["actual"]), float(row["error"])) == (44.0, 41.0, -3.0)
    assert (row["degraded"], row["reasons"], row["inside"]) == ("true", "gap, filled; stale", "false")
    before = month.stat().st_mtime_ns
    history.write(con, lake, home, feed)
    assert month.stat().st_mtime_ns == before, "nothing changed, nothing is written"
    silver(lake, {APRIL: 40.0, APRIL + HOUR: 41.0})
    segment(home, "april", [answer("b", APRIL, {1: 44.0})])
    taken(con, lake, home)
    outcomes.refresh(con, lake, feed)
    history.write(con, lake, home, feed)
    assert len((path / "2024-04.csv").read_text().splitlines()) == 2
    assert month.stat().st_mtime_ns == before, "what another month says touches no file of the months before"


def test_forecast_in_former_unit_is_converted(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    silver(lake, {T0 + hour * HOUR: 40.0 + hour for hour in range(-48, 30)})
    segment(home, "a", [answer("a", T0, {1: 50.0, 6: 51.0})])
    taken(con, lake, home)
    (row,) = [each for each in rows(con, lake, "small/predictions") if each["horizon"] == 1]
    for conversions, value in (
        ((), row["value"]),
        ([("temperature", row["version"], 1.8, 32.0)], row["value"] * 1.8 + 32),
        ([("temperature", "another", 1.8, 32.0)], row["value"]),
        ([("temperature", row["version"], None, None)], None),
    ):
        assert outcomes.refresh(con, lake, feed, conversions=conversions), "another conversion is another result"
        (found,) = [each for each in rows(con, lake, "small/outcomes") if each["horizon"] == 1]
        assert found["value"] == (None if value is None else pytest.approx(value))
