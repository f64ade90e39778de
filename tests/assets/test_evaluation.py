"""evaluation through Dagster, on a real instance: a small loop with a hand-made log, from answers to verdicts."""

import csv
import io
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import msgspec
import numpy as np
import pytest

from aerocast.contracts import clock, predictions
from aerocast.contracts import drift_state as state
from aerocast.contracts.drift_state import Fault
from aerocast.features.grid import Grid
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.tables import faults, silver
from aerocast.tables.layers import FAULTS, stale_months
from aerocast_assets.keys import key
from tests.factories.drift import set_clock
from tests.factories.feeds import START, small_feed, write_readings
from tests.factories.predictions import HOUR, answer, posted_outcome, segment
from tests.harness.columns import shown_columns, stored_columns
from tests.harness.graph import champion_version, check, first_run, metadata, refresh

pytestmark = pytest.mark.e2e  # whole loops of the asset graph

NEWEST = START + 120 * timedelta(days=1)  # the recording goes on for one more day


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Feed, Path]:
    """A feed and a home in which its graph has run once; tests work on copies."""
    place = tmp_path_factory.mktemp("trained")
    feed = small_feed(write_readings(place / "readings.csv"))
    result = first_run(place / "home", feed)
    shown = metadata(result, key(feed, "evaluation"))
    assert shown["log"] == "no forecast was logged yet", "an empty log is no fault"
    assert check(result, "temperature_drift").passed
    return feed, place / "home"


@pytest.fixture
def feed(trained: tuple[Feed, Path]) -> Feed:
    return trained[0]


@pytest.fixture
def again(trained: tuple[Feed, Path], home: Path) -> Path:
    """A copy of the trained home."""
    shutil.copytree(trained[1], home, dirs_exist_ok=True)
    return home


def readings(home: Path, feed: Feed) -> dict[str, Grid]:
    with duckdb.connect() as con:
        return silver.grids(con, feed, Lake(home).relation(con, "small/silver"))


def serve(
    home: Path, feed: Feed, name: str, since: datetime, hours: int, error: float = 0.3, half: float = 2.0
) -> dict[tuple[str, datetime, int], tuple[float, float]]:
    """Logs an hour's answers for each station, each off by a normal error; (forecast, measured) of those measured."""
    rng, records, told, version = np.random.default_rng(11), [], {}, champion_version(home)
    for station, grid in readings(home, feed).items():
        column = grid.columns.index("temperature")
        place = {time.item().replace(tzinfo=since.tzinfo): at for at, time in enumerate(grid.time.astype("M8[us]"))}
        for hour in range(hours):
            origin, values = since + hour * HOUR, {}
            for horizon in feed.horizons:
                at = place.get(origin + horizon * HOUR)
                actual = float(grid.values[at, column]) if at is not None else 50.0
                values[horizon] = round(actual + float(rng.normal(0, error)), 3)
                if at is not None and grid.age[at, column] == 0:
                    told[station, origin + horizon * HOUR, horizon] = (values[horizon], actual)
            records.append(
                answer(f"{name}-{station}-{hour}", origin, values, station=station, half=half, version=version)
            )
    segment(home, name, records)
    return told


def evaluate(feed: Feed, home: Path, instance: dg.DagsterInstance, *layers: str) -> dg.ExecuteInProcessResult:
    """Runs these layers over the newest two months, then evaluation, with their checks."""
    keys = [key(feed, layer) for layer in (*layers, "evaluation")]
    result = refresh(feed, home, instance, ["2024-03", "2024-04"], selection=keys)
    assert result.success
    return result


def table(home: Path, name: str, order: str = "ALL") -> list[dict[str, Any]]:
    with duckdb.connect() as con:
        found: list[dict[str, Any]] = Lake(home).relation(con, name).order(order).to_arrow_table().to_pylist()
        return found


def test_logged_forecasts_become_hand_computed_metrics(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    told = serve(again, feed, "s1", NEWEST - 100 * HOUR, 100)
    result = evaluate(feed, again, instance)
    found = {(row["station"], row["horizon"]): row for row in table(again, "small/evaluation")}
    assert set(found) == {(place, horizon) for place in ("AAA", "BBB", "all") for horizon in (1, 6)}
    for (place, horizon), row in found.items():
        pairs = [pair for (station, _, h), pair in told.items() if h == horizon and place in (station, "all")]
        errors = [forecast - actual for forecast, actual in pairs]
        assert row["n"] == len(pairs) > 90
        assert row["rmse"] == pytest.approx(math.sqrt(sum(e * e for e in errors) / len(errors)), rel=1e-4)
        assert row["bias"] == pytest.approx(sum(errors) / len(errors), abs=1e-4)
        assert row["coverage"] == pytest.approx(sum(abs(e) <= 2 for e in errors) / len(errors))
        assert row["skill"] > 0.5
        assert row["version"] == champion_version(again)
    shown = metadata(result, key(feed, "evaluation"))
    assert shown["predictions_new"] == 400
    assert f"| temperature | AAA | 1 | {champion_version(again)} |" in shown["rolling"]
    assert Path(shown["report_path"]) == again / "reports/small/drift.json"
    report = json.loads(Path(shown["report_path"]).read_text())
    judged = state.document(again, "small").read()
    assert judged
    assert (report["feed"], datetime.fromisoformat(report["judged_at"])) == ("small", judged.judged_at)
    numbers = {
        f"{figure}_{h}": found["all", h][figure] for figure in ("rmse", "bias", "coverage", "skill") for h in (1, 6)
    }
    assert {name: shown[name] for name in numbers} == numbers, "the UI draws them over time"
    exported = [path.read_text() for path in (again / "exports/small/prediction_history").glob("*.csv")]
    assert sum(len(list(csv.DictReader(io.StringIO(text)))) for text in exported) == len(told)
    assert check(result, "temperature_drift").passed
    assert "AAA" in str(check(result, "temperature_drift").metadata["diagnosis"].value)
    assert shown["dagster/row_count"] == len(found)
    for asset in (key(feed, "evaluation"), key(feed, "temperature", "forecasts")):
        assert shown_columns(feed, again, asset) == stored_columns(again, asset.to_user_string())


def test_second_evaluation_changes_nothing(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    serve(again, feed, "s1", NEWEST - 48 * HOUR, 48)
    evaluate(feed, again, instance)
    before = {name: Lake(again).version(name) for name in Lake(again).tables()}
    seen = state.document(again, "small").read()
    shown = metadata(evaluate(feed, again, instance), key(feed, "evaluation"))
    assert shown["status"] == "unchanged"
    assert {name: Lake(again).version(name) for name in Lake(again).tables()} == before
    assert state.document(again, "small").read() == seen


def test_growing_errors_fail_check_and_heat_target(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    (again / "drift" / "small.json").unlink()  # what was judged at the recording's end is later than what follows
    serve(again, feed, "calm", NEWEST - 200 * HOUR, 100)
    set_clock(again, feed, NEWEST - 95 * HOUR)
    assert check(evaluate(feed, again, instance), "temperature_drift").passed
    for turn, start in enumerate((90, 60)):
        serve(again, feed, f"drift{turn}", NEWEST - start * HOUR, 30, error=12.0)
        set_clock(again, feed, NEWEST - (start - 40) * HOUR)
        result = evaluate(feed, again, instance)
    drift = check(result, "temperature_drift")
    assert not drift.passed
    assert drift.severity == dg.AssetCheckSeverity.WARN
    assert "concept_drift" in str(drift.metadata["diagnosis"].value)
    assert "concept drift at" in str(drift.description)
    seen = state.document(again, "small").read()
    assert seen is not None
    assert seen.of("temperature").hot
    assert seen.of("temperature").edges == 1
    rows = table(again, "small/drift", "delivery")
    assert len({row["examination"] for row in rows}) == 1 + 3
    assert {row["verdict"] for row in rows[-2:]} == {"concept_drift"}


def test_forced_evaluation_is_no_new_examination(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    assert feed.end
    (again / "drift" / "small.json").unlink()
    serve(again, feed, "drift", NEWEST - 100 * HOUR, 100, error=12.0)
    set_clock(again, feed, feed.end - HOUR / 2)  # after the last reading, so that none is new
    evaluate(feed, again, instance)
    before, rows = state.document(again, "small").read(), table(again, "small/drift", "delivery")
    assert before is not None
    assert before.of("temperature").warm == 1
    set_clock(again, feed, feed.end - HOUR / 4)
    layers = ("bronze", "silver", "evaluation")
    forced = refresh(
        feed, again, instance, ["2024-03", "2024-04"], selection=[key(feed, layer) for layer in layers],
        config={"ops": {f"small__{layer}": {"config": {"force": True}} for layer in layers}},
    )  # fmt: skip
    assert forced.success
    assert metadata(forced, key(feed, "evaluation"))["months_computed"] > 0
    after = state.document(again, "small").read()
    assert after is not None
    assert (after.heat, after.diagnoses) == (before.heat, before.diagnoses)
    assert table(again, "small/drift", "delivery") == rows


def spoil(path: Path, station: str, since: datetime, value: str, until: datetime | None = None) -> None:
    """From `since` on the station's thermometer says the same."""
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream))
    for row in rows[1:]:
        time = datetime.fromisoformat(row[1])
        if row[0] == station and since <= time and (until is None or time < until):
            row[2] = value
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


@contextmanager
def spoilt(feed: Feed, *spans: Any) -> Iterator[None]:
    """The feed's source with faults in it, whole again afterwards."""
    path = Path(feed.source.path)
    whole = path.read_bytes()
    try:
        spoil(path, *spans)
        yield
    finally:
        path.write_bytes(whole)


def test_stuck_sensor_is_quarantined_and_recovers(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    stuck, path = NEWEST - 60 * HOUR, Path(feed.source.path)
    layers = ("raw", "bronze", "silver")
    whole = path.read_bytes()
    with spoilt(feed, "AAA", stuck, "11.11"):
        result = evaluate(feed, again, instance, *layers)
        assert not check(result, "sensors").passed
        assert "flat_line" in str(check(result, "sensors").metadata["faults"].value)
        assert check(result, "temperature_drift").passed, "a sensor fault is no drift"
        (fault,) = table(again, "small/faults")
        assert (fault["station"], fault["column"], fault["end"]) == ("AAA", "temperature", None)
        assert abs(fault["start"] - stuck) <= HOUR
        now = clock.now(again, "small", feed.end)
        assert stale_months(feed, Lake(again), now)[FAULTS] == ["2024-04"]

        cleaned = evaluate(feed, again, instance, *layers)
        shown = metadata(cleaned, key(feed, "bronze"))
        assert shown["months_computed"] == 1, "only the month that the fault touches"
        assert FAULTS not in stale_months(feed, Lake(again), now)
        assert check(cleaned, "nothing_lost").passed
        bad = [row for row in table(again, "small/quarantine") if row["rule"] == "sensor_fault"]
        assert {row["station"] for row in bad} == {"AAA"}
        assert len(bad) == round((feed.end - fault["start"]) / HOUR)
        assert "temperature of AAA is faulty from 2024-04-2" in bad[0]["reason"]
        assert "flat_line" in bad[0]["reason"]
        assert readings(again, feed)["AAA"].age[-1, 0] != 0
        assert not check(cleaned, "sensors").passed, "it is seen as measured, not as cleaned"
    path.write_bytes(whole)
    evaluate(feed, again, instance, *layers)
    healed = evaluate(feed, again, instance, *layers)
    assert check(healed, "sensors").passed
    assert check(healed, "nothing_lost").passed
    assert metadata(healed, key(feed, "bronze"))["quarantined_by_rule"].get("sensor_fault", 0) == round(
        sum((row["end"] - row["start"]) / HOUR for row in table(again, "small/faults"))
    )


def test_withdrawn_fault_restores_its_readings(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    lake = Lake(again)
    made = Fault("BBB", "pressure", "spike", NEWEST - 1000 * HOUR, NEWEST - 900 * HOUR, "by hand")
    lake.overwrite("small/faults", faults.to_table([made]))
    shown = metadata(evaluate(feed, again, instance, "bronze"), key(feed, "bronze"))
    assert shown["months_computed"] == 1, "the month of the fault, not its neighbour"
    missing = sum(np.isnan(readings(again, feed)["BBB"].values[:, 2]))
    assert 80 < shown["quarantined_by_rule"]["sensor_fault"] <= 100 - missing + 20, "missing values are not doubted"
    reasons = [row["reason"] for row in table(again, "small/quarantine") if row["rule"] == "sensor_fault"]
    assert all("pressure of BBB" in reason and "to 2024-03-" in reason and "spike" in reason for reason in reasons)
    lake.overwrite("small/faults", faults.to_table([]))
    back = metadata(evaluate(feed, again, instance, "bronze"), key(feed, "bronze"))
    assert back["months_computed"] == 1
    assert "sensor_fault" not in back["quarantined_by_rule"]


def test_evaluation_without_champion_says_so(readings: Path, home: Path, instance: dg.DagsterInstance) -> None:
    feed = small_feed(readings)
    segment(home, "pair", [posted_outcome(7.0, predicted=5.0, at=NEWEST)])
    result = refresh(feed, home, instance, selection=[key(feed, n) for n in ("raw", "bronze", "silver", "evaluation")])
    assert result.success
    for name in ("temperature_drift", "sensors", "season"):
        assert check(result, name).passed
        assert "no champion" in str(check(result, name).description)
    assert [row["graph"] for row in table(home, "small/outcomes")] == ["pair"]
    assert table(home, "small/evaluation") == [], "a pair is of no version and no horizon"


def _evaluate_for_ever(home: str, source: str, started: Event) -> None:
    from aerocast.monitoring.evaluation.run import evaluate as run

    feed, lake = small_feed(Path(source)), Lake(home)
    with duckdb.connect() as con:
        started.set()
        run(con, lake, Path(home), feed, force=True)


@pytest.mark.e2e
def test_evaluation_killed_anywhere_is_completed_by_next(
    feed: Feed, again: Path, instance: dg.DagsterInstance, chance: random.Random
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["aerocast.monitoring.evaluation.run"])
    told, source, longest = {}, str(feed.source.path), 0.8
    ends: list[int | None] = []
    for turn in range(12):
        start = NEWEST - (200 - 12 * turn) * HOUR
        told |= serve(again, feed, f"t{turn}", start, 12)
        started = context.Event()
        child = context.Process(target=_evaluate_for_ever, args=(str(again), source, started))
        child.start()
        assert started.wait(60)
        time.sleep(chance.uniform(0.0, longest))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join(30)
        ends.append(child.exitcode)
        if child.exitcode == 0:  # done before it was killed: the next one is killed sooner
            longest /= 2
    assert ends.count(-signal.SIGKILL) > 3, "it was killed at work, not after it"
    evaluate(feed, again, instance)
    assert predictions.closed_segments(again, "small") == []
    rows = [row for row in table(again, "small/outcomes") if row["actual"] is not None]
    assert {(row["station"], row["time"], row["horizon"]) for row in rows} == set(told)
    assert len(rows) == len(told)
    seen = state.document(again, "small").read()
    assert seen is not None
    examined = [row["examination"] for row in table(again, "small/drift")]
    assert len(examined) == len(set(examined)) * len(feed.station_ids), "each examination once"
    assert seen.of("temperature").edges == 0


def names(evaluations: Sequence[dg.AssetCheckEvaluation]) -> set[str]:
    return {each.check_name for each in evaluations}


def test_checks_of_silver_alone_read_their_tables(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    with spoilt(feed, "BBB", NEWEST - 60 * HOUR, "11.11"):
        result = refresh(
            feed, again, instance, ["2024-04"], selection=[key(feed, layer) for layer in ("raw", "bronze", "silver")]
        )
    assert result.success
    assert {"sensors", "season", "fresh"} <= names(result.get_asset_check_evaluations())
    assert not check(result, "sensors").passed, "although no evaluation has run since"
    assert not Lake(again).exists("small/outcomes")


def test_examination_is_plotted(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    serve(again, feed, "s1", NEWEST - 100 * HOUR, 100)
    result = evaluate(feed, again, instance)
    picture = (again / "reports/small/temperature/drift.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    drawn = metadata(result, key(feed, "evaluation"))["drift"]
    assert "/reports/small/temperature/drift.png" in drawn
    width, height = struct.unpack(">II", picture[16:24])
    assert width <= 900 < height, "as wide as a page of the UI"
    assert check(result, "temperature_drift").metadata["drift"].value == drawn
    before = (again / "reports/small/temperature/drift.png").stat().st_mtime_ns
    assert metadata(evaluate(feed, again, instance), key(feed, "evaluation"))["drift"] == drawn
    assert (again / "reports/small/temperature/drift.png").stat().st_mtime_ns == before


def test_plot_is_renewed_hourly_or_on_changed_verdict(feed: Feed, again: Path, instance: dg.DagsterInstance) -> None:
    picture, told = again / "reports/small/temperature/drift.png", iter(range(100, 0, -10))

    def drawn(age: timedelta) -> bool:
        """Whether a picture of that age is drawn again by a look at ten more hours of outcomes."""
        if picture.exists():
            at = time.time() - age.total_seconds()
            os.utime(picture, (at, at))
        before, hours = time.time() - 1, next(told)
        serve(again, feed, f"s{hours}", NEWEST - hours * HOUR, 10)
        evaluate(feed, again, instance)
        return picture.stat().st_mtime > before

    assert drawn(timedelta()), "there was none"
    assert not drawn(timedelta(minutes=50)), "nothing is believed that was not"
    assert drawn(timedelta(minutes=70))
    seen = state.document(again, "small").read()
    assert seen is not None
    other = tuple(msgspec.structs.replace(each, verdict="covariate_shift") for each in seen.diagnoses)
    state.document(again, "small").write(msgspec.structs.replace(seen, diagnoses=other))
    assert drawn(timedelta(minutes=50)), "another verdict than before"
