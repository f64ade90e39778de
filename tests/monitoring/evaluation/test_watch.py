"""The watch: what an examination sees, that it counts once whatever is killed, faults over time, and shadows."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.common.lineage import config_hash
from aerocast.common.months import month_of, month_span
from aerocast.contracts import clock
from aerocast.contracts import drift_state as state
from aerocast.contracts.clock import Clock
from aerocast.contracts.drift_state import Fault
from aerocast.contracts.manifest import Manifest
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake
from aerocast.lake.fingerprints import NO_EDGES
from aerocast.monitoring.evaluation import outcomes, shadow, views, watch
from aerocast.monitoring.evaluation.intake import take_segments
from aerocast.releases import release
from aerocast.storage.documents import Document
from aerocast.tables import faults, quality, silver
from tests.factories.feeds import START, small_feed, write_readings
from tests.factories.layers import make_layers
from tests.factories.predictions import HOUR, answer, segment
from tests.factories.releases import graph, manifest, publish

DAY = timedelta(days=1)
NOW = START + 100 * DAY
HORIZONS = (1, 6)


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return small_feed(write_readings(tmp_path / "readings.csv", hours=24 * 100), end=None)


@pytest.fixture
def lake(con: duckdb.DuckDBPyConnection, home: Path, feed: Feed) -> Lake:
    found = Lake(home)
    make_layers(con, found, feed, NOW)
    stand_at(home, NOW)
    return found


def stand_at(home: Path, now: datetime) -> None:
    clock.document(home, "small").write(Clock(now, datetime.now(UTC), speed=0.0))


def champion(home: Path, number: int = 1, **changes: Any) -> Manifest:
    """A release of the small feed that knows its first 60 days; the manifest as it was written."""
    made = manifest(number, feed="small")
    lineage = msgspec.structs.replace(made.lineage, training_start=START, training_end=START + 60 * DAY)
    columns = ("temperature", "windspeed", "pressure")
    window = msgspec.structs.replace(made.window, columns=columns, look_back=24, horizons=HORIZONS)
    if number == 1:
        version = publish(home, 1, feed="small", lineage=lineage, window=window, **changes)
    else:
        made = msgspec.structs.replace(made, lineage=lineage, window=window)
        version = release.write(home, made, {"model.onnx": graph(0.0)})
    return release.load(home, "small", "temperature", version).manifest


def serve(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed, version: str, hours: int = 200,
    error: float = 0.5, **changes: Any,
) -> None:  # fmt: skip
    """Answers of the newest hours, off by a normal error; joined with what was measured."""
    rng, records = np.random.default_rng(7), []
    measured = silver.grids(con, feed, lake.relation(con, "small/silver"))
    for station, grid in measured.items():
        values = grid.values[:, 0]
        for hour in range(hours):
            at = len(values) - hours + hour
            origin = grid.time[at].item().replace(tzinfo=UTC)
            ahead = {h: float(values[min(at + h, len(values) - 1)] + rng.normal(0, error)) for h in HORIZONS}
            records.append(
                answer(f"{station}-{origin:%m%dT%H}", origin, ahead, station=station, version=version, **changes)
            )
    segment(home, f"s-{version}-{error}-{changes}".replace("/", ""), records)
    take_segments(con, lake, home, "small")
    outcomes.refresh(con, lake, feed)


# What is seen ---------------------------------------------------------------------------------------------------------


def test_outcomes_belong_to_serving_release(con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed) -> None:
    serving = champion(home)
    serve(con, lake, home, feed, serving.version)
    serve(con, lake, home, feed, "0000-00000000", error=20.0)
    serve(con, lake, home, feed, serving.version, error=20.0, shadow=True)
    seen = views.ReleaseOutcomes.read(con, lake, feed, serving).newest("AAA", [], NOW)
    assert 380 < len(seen.time) <= 400
    assert float(np.sqrt(np.mean(seen.error**2))) == pytest.approx(0.5, rel=0.1)
    assert (np.diff(seen.time.astype(np.int64)) >= 0).all(), "oldest first"
    assert set(seen.horizon) == set(HORIZONS)
    assert (seen.half == 2).all()
    assert seen.level == 0.9
    before = views.ReleaseOutcomes.read(con, lake, feed, serving).newest("AAA", [], NOW - 100 * HOUR)
    assert before.time.max() <= np.datetime64((NOW - 100 * HOUR).replace(tzinfo=None))
    assert (seen.time[: len(before.time)] == before.time).all()


def test_graph_that_answered_is_judged_by_its_own_test_scores(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    made = manifest(1)
    worse = {horizon: msgspec.structs.replace(made.metrics.overall, rmse=4.0) for horizon in HORIZONS}
    serving = champion(home, metrics=msgspec.structs.replace(made.metrics, sequence=worse))
    serve(con, lake, home, feed, serving.version, hours=50, error=1.0)
    assert views.ReleaseOutcomes.read(con, lake, feed, serving).main_graph("AAA") == "station"
    serve(con, lake, home, feed, serving.version, hours=150, error=4.0, graph="sequence")
    assert views.ReleaseOutcomes.read(con, lake, feed, serving).main_graph("AAA") == "sequence"
    seen = watch.examine_feed(con, lake, home, feed, NOW)
    outcomes = seen.outcomes["temperature", "AAA"]
    assert 280 < len(outcomes.time) <= 300, "those of the other graph are another model's"
    assert float(np.sqrt(np.mean(outcomes.error**2))) == pytest.approx(4.0, rel=0.15)
    assert {each.verdict for each in seen.diagnoses} == {"ok"}, "short sequences err as much as their test said"
    assert views.manifest_of_graph(serving, "station") == serving


def test_forecasts_from_faulty_sensor_are_excluded(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    serving = champion(home)
    serve(con, lake, home, feed, serving.version)
    start, end = NOW - 150 * HOUR, NOW - 140 * HOUR
    seen = views.ReleaseOutcomes.read(con, lake, feed, serving).newest(
        "AAA", [Fault("AAA", "pressure", "x", start, end, "")], NOW
    )
    origins = [
        time.item().replace(tzinfo=UTC) - int(horizon) * HOUR
        for time, horizon in zip(seen.time, seen.horizon, strict=True)
    ]
    assert any(origin < start for origin in origins)
    # The window of the origin at `end + 22 h` begins with the fault's last reading, an hour before its end.
    assert min(origin for origin in origins if origin >= start) == end + 23 * HOUR
    still = views.ReleaseOutcomes.read(con, lake, feed, serving).newest(
        "AAA", [Fault("AAA", "pressure", "x", start, None, "")], NOW
    )
    assert len(still.time) == sum(origin < start for origin in origins)


def test_quarantined_readings_are_examined_as_measured(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    plain = views.measured_grids(con, lake, feed, [], NOW)
    fault = Fault("AAA", "temperature", "flat_line", NOW - 50 * HOUR, None, "")
    lake.overwrite("small/faults", faults.to_table([fault]))
    make_layers(con, lake, feed, NOW)
    stored = silver.grids(con, feed, lake.relation(con, "small/silver"))["AAA"]
    assert np.isnan(stored.values[-40:, 0]).all()
    seen = views.measured_grids(con, lake, feed, [fault], NOW)
    for station, grid in plain.items():
        assert (grid.time == seen[station].time).all()
        np.testing.assert_array_equal(grid.values, seen[station].values)
        np.testing.assert_array_equal(grid.age, seen[station].age)


# What is kept ---------------------------------------------------------------------------------------------------------


def test_unchanged_content_is_not_examined_again(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    serve(con, lake, home, feed, champion(home).version)
    first = watch.update_state(con, lake, home, feed)
    stand_at(home, NOW + HOUR)
    again = watch.update_state(con, lake, home, feed)
    assert (first.fresh, again.fresh) == (True, False)
    assert again.state == first.state == state.document(home, "small").read()
    stand_at(home, NOW + 2 * DAY)
    silent = watch.update_state(con, lake, home, feed)
    assert silent.fresh, "two days without a reading are something new"
    assert watch.update_state(con, lake, home, feed, force=True).fresh


def test_killed_examination_counts_once(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(con, lake, home, feed, champion(home).version, error=15.0)
    write = Document.write

    def die(*_: object) -> None:
        raise AeroCastError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(Document, "write", die)
        with pytest.raises(AeroCastError, match="killed"):
            watch.update_state(con, lake, home, feed)
    stand_at(home, NOW + HOUR)
    with monkeypatch.context() as patch:

        def write_and_die(*arguments: Any) -> None:
            write(*arguments)
            raise AeroCastError("killed there")

        patch.setattr(Document, "write", write_and_die)
        with pytest.raises(AeroCastError, match="killed"):
            watch.update_state(con, lake, home, feed)
    stand_at(home, NOW + 2 * HOUR)
    found = watch.update_state(con, lake, home, feed)
    assert found.fresh
    assert found.state.judged_at == NOW, "as of the instant at which it was first seen"
    assert found.state.of("temperature").warm == 1, "three attempts are one examination"
    rows = lake.relation(con, "small/drift").fetchall()
    assert len(rows) == len(feed.station_ids)


def examined(con: duckdb.DuckDBPyConnection, lake: Lake) -> list[str]:
    """The examination of each row in the table of drift, in the order in which they came."""
    return [row[0] for row in lake.relation(con, "small/drift").order("delivery").select("examination").fetchall()]


def remade(
    con: duckdb.DuckDBPyConnection, lake: Lake, temperature: str = "temperature", rows: pa.Table | None = None
) -> None:
    """Silver rewritten as if by other code: these rows, or its own with the newest temperatures as the SQL says."""
    lake.relation(con, "small/silver").create_view("silver_now", replace=True)
    newest = f"CASE WHEN time = (SELECT max(time) FROM silver_now) THEN {temperature} ELSE temperature END"
    own = con.sql(f"SELECT * REPLACE ({newest} AS temperature) FROM silver_now")
    months = lake.months("small/silver")
    marks = {month: config_hash(edited=lake.version("small/silver")) for month in months}
    lake.replace("small/silver", own.to_arrow_table() if rows is None else rows, months, marks, edges=NO_EDGES)


def test_only_changed_content_is_new_examination(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(con, lake, home, feed, champion(home).version, error=15.0)
    first = watch.update_state(con, lake, home, feed).state
    rows, heat = examined(con, lake), first.of("temperature")
    assert (heat.warm, heat.hot, set(rows)) == (1, False, {rows[0]})

    stand_at(home, NOW + HOUR)
    forced = watch.update_state(con, lake, home, feed, force=True)
    assert forced.fresh, "it looks again"
    assert (forced.state.diagnoses, forced.state.of("temperature")) == (first.diagnoses, heat)

    remade(con, lake)
    outcomes.refresh(con, lake, feed, force=True)
    assert not watch.update_state(con, lake, home, feed).fresh, "the same rows, computed by edited code"

    limits = feed.model_copy(update={"drift": feed.drift.model_copy(update={"hot_after": 1, "recent": 48})})
    assert watch.update_state(con, lake, home, limits).state.of("temperature") == heat, "limits decide on what is new"
    with monkeypatch.context() as patch:
        patch.setattr(watch, "code_version", lambda *_: "edited")
        again = watch.update_state(con, lake, home, feed)
        assert again.fresh, "other tests may see something else in the same evidence"
        assert again.state.of("temperature") == heat
    assert examined(con, lake) == rows

    silver_before = lake.relation(con, "small/silver").to_arrow_table()
    remade(con, lake, "temperature + 0.5")
    outcomes.refresh(con, lake, feed)
    second = watch.update_state(con, lake, home, feed).state.of("temperature")
    assert (second.warm, second.hot, second.edges, second.judged_at) == (2, True, 1, NOW + HOUR)
    assert len(set(examined(con, lake))) == 2

    stand_at(home, NOW + 2 * HOUR)
    remade(con, lake, rows=silver_before)
    outcomes.refresh(con, lake, feed)
    back = watch.update_state(con, lake, home, feed)
    assert back.fresh
    assert back.state.of("temperature") == second, "what comes back was examined before"
    assert len(set(examined(con, lake))) == 2


@pytest.mark.e2e
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["force", "code", "remake", "reading"]), min_size=1, max_size=5))
def test_heat_counts_contents_only(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path_factory.mktemp("watched")
    feed = small_feed(write_readings(place / "readings.csv", hours=24 * 100), end=None)
    feed = feed.model_copy(update={"drift": feed.drift.model_copy(update={"hot_after": 99})})
    home, lake = place / "home", Lake(place / "home")
    with duckdb.connect() as con, monkeypatch.context() as patch:
        make_layers(con, lake, feed, NOW)
        stand_at(home, NOW)
        serve(con, lake, home, feed, champion(home).version, error=15.0)
        watch.update_state(con, lake, home, feed)
        contents = 1
        for turn, step in enumerate(steps):
            stand_at(home, NOW + (turn + 1) * timedelta(minutes=10))
            if step == "code":
                patch.setattr(watch, "code_version", lambda *_, turn=turn: f"edited {turn}")
            elif step in ("remake", "reading"):
                remade(con, lake, "temperature + 0.01" if step == "reading" else "temperature")
                contents += step == "reading"
            outcomes.refresh(con, lake, feed, force=step == "force")
            watch.update_state(con, lake, home, feed, force=step == "force")
        found = state.document(home, "small").read()
        assert found is not None
        assert len(set(examined(con, lake))) == contents
        assert found.of("temperature").warm == contents


def test_ended_faults_stay_and_withdrawn_ones_go(feed: Feed) -> None:
    over = Fault("AAA", "temperature", "spikes", START, START + DAY, "")
    gone = Fault("AAA", "pressure", "flat_line", START, None, "")
    ended = Fault("AAA", "windspeed", "flat_line", START + DAY, None, "")
    silent = Fault("CCC", "pressure", "flat_line", START, None, "")
    new = Fault("BBB", "pressure", "drop_out", NOW, None, "")
    just = msgspec.structs.replace(ended, end=NOW)
    merged = watch._merge_faults([over, gone, ended, silent], {"AAA": (just,), "BBB": (new,)})
    assert set(merged) == {over, just, new, silent}, "a station that was not examined keeps its faults"


# Faults over time -----------------------------------------------------------------------------------------------------

_hours = st.integers(-3000, 3000)


@pytest.mark.e2e
@given(start=_hours, length=st.none() | st.integers(1, 3000), reach=st.integers(0, 72))
def test_fault_touches_its_months(start: int, length: int | None, reach: int) -> None:
    begun, upto = NOW + start * HOUR, 9000
    fault = Fault("AAA", "t", "x", begun, None if length is None else begun + length * HOUR, "")
    hours = range(start - reach, upto if length is None else start + length + reach)
    touched = {month_of(NOW + hour * HOUR) for hour in hours}
    for month in {month_of(NOW + hour * HOUR) for hour in range(-5000, upto)}:
        assert bool(faults.relevant_faults([fault], month, reach * HOUR)) == (month in touched)


def test_fault_at_month_border_touches_next_month(con: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    border = month_span("2024-03")[0]
    fault = Fault("AAA", "t", "x", border - 2 * HOUR, border - HOUR, "")
    assert faults.relevant_faults([fault], "2024-03", quality.step_reach(feed))
    assert not faults.relevant_faults([fault], "2024-03")


def test_books_balance_with_faults_and_neighbours_are_judged_without_them(
    con: duckdb.DuckDBPyConnection, lake: Lake, feed: Feed, tmp_path: Path
) -> None:
    with Path(feed.source.path).open(newline="") as stream:
        rows = list(csv.reader(stream))
    since, until = NOW - 60 * HOUR, NOW - 50 * HOUR
    for row in rows[1:]:
        if row[0] == "AAA" and since <= datetime.fromisoformat(row[1]) < until:
            row[2] = f"{float(row[2]) * 1.8 + 32:.2f}"  # another unit for ten hours
    with Path(feed.source.path).open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    lake.overwrite("small/faults", faults.to_table([Fault("AAA", "temperature", "unit_change", since, until, "")]))
    make_layers(con, lake, feed, NOW)
    tables = [lake.relation(con, f"small/{layer}") for layer in ("raw", "bronze", "quarantine")]
    assert quality.audit(con, feed, *tables).balanced
    bad = lake.relation(con, "small/quarantine").filter("rule = 'sensor_fault'").select("time, reason").fetchall()
    assert len({time for time, _ in bad}) == 10, "under each text that was delivered"
    assert all("temperature of AAA" in reason and "unit_change" in reason for _, reason in bad)
    steps = lake.relation(con, "small/quarantine").filter(f"rule = 'step' AND time > TIMESTAMPTZ '{since - DAY}'")
    assert steps.fetchall() == [], "the healthy readings around are not blamed"


# Shadows --------------------------------------------------------------------------------------------------------------


def test_challenger_is_compared_on_same_requests(
    con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed
) -> None:
    serving, rival = champion(home), champion(home, 2)
    assert shadow.shadow_evidence(con, lake, home, feed) == (), "no challenger"
    release.challenge(home, "small", "temperature", rival.version)
    serve(con, lake, home, feed, serving.version, error=2.0)
    (nothing,) = shadow.shadow_evidence(con, lake, home, feed)
    assert (nothing.pairs, nothing.p_value) == (0, None)
    serve(con, lake, home, feed, rival.version, hours=150, error=1.0, shadow=True)
    (found,) = shadow.shadow_evidence(con, lake, home, feed)
    assert (found.champion, found.challenger) == (serving.version, rival.version)
    pairs = con.sql("""
        SELECT count(*) FROM shadow_outcomes c JOIN shadow_outcomes s USING (id, horizon)
        WHERE s.shadow AND NOT c.shadow AND c.actual IS NOT NULL""").fetchall()[0][0]
    assert found.pairs == pairs > 550
    assert 0.4 < found.gain < 0.8
    assert found.p_value is not None
    assert found.p_value < 0.01
    judged = watch.update_state(con, lake, home, feed).state
    assert judged.shadows == (found,)


def test_equal_challenger_has_no_proof(con: duckdb.DuckDBPyConnection, lake: Lake, home: Path, feed: Feed) -> None:
    serving, rival = champion(home), champion(home, 2)
    release.challenge(home, "small", "temperature", rival.version)
    serve(con, lake, home, feed, serving.version, error=1.0)
    serve(con, lake, home, feed, rival.version, error=1.5, shadow=True)
    (found,) = shadow.shadow_evidence(con, lake, home, feed)
    assert found.gain < 0
    assert found.p_value is not None
    assert found.p_value > 0.5
