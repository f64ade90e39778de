"""Maintenance: a release reads back the rows it was trained on, whatever is joined, vacuumed, forgotten, removed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.common.months import month_span
from aerocast.contracts.manifest import Graph, Graphs, Manifest
from aerocast.features.dataset import Rows
from aerocast.feed.declaration import Feed
from aerocast.lake import Lake, fingerprints
from aerocast.models.splits import Cut, Role
from aerocast.models.trainer import describe_rows
from aerocast.operations import retention
from aerocast.releases import release
from aerocast.releases.readback import training_rows
from aerocast.tables.training import Samples, matrix, outcome
from tests.factories import releases
from tests.factories.feeds import small_feed

RAW, BRONZE, TABLE = "noaa/raw", "noaa/bronze", "noaa/temperature/windows"
FEATURES = ("f0", "f1")
OUTCOMES = [outcome(releases.spec(), horizon) for horizon in releases.HORIZONS]
MONTHS = [f"2013-{month:02d}" for month in range(1, 7)]
NONE = timedelta(0)
LONG_AGO = time.time() - 30 * 86_400


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def windows(rng: np.random.Generator, month: str, count: int = 40) -> pa.Table:
    start = month_span(month)[0]
    times = [start + timedelta(hours=8 * i) for i in range(count)]
    values = rng.normal(size=(len(FEATURES) + len(OUTCOMES), count)).astype(np.float32)
    values[0, ::7] = np.nan
    return pa.table(
        {
            "station": pa.array(["JFK"] * count),
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            **{n: pa.array(v, from_pandas=True) for n, v in zip([*FEATURES, *OUTCOMES], values, strict=True)},
            "month": pa.array([month] * count),
        }
    )


def replace(lake: Lake, rng: np.random.Generator, month: str) -> None:
    lake.replace(TABLE, windows(rng, month), [month], {month: "ab" * 32}, edges=fingerprints.Edges())


def append(lake: Lake, number: int) -> None:
    rows = windows(np.random.default_rng(number), MONTHS[number % 2], 5)
    lake.append(RAW, rows, f"segment {number}")


def released(lake: Lake, con: duckdb.DuckDBPyConnection, home: Path, number: int) -> Manifest:
    """A release trained on what the table holds now."""
    stored = lake.relation(con, TABLE).order("time, station").to_arrow_table()
    times = stored["time"].cast(pa.timestamp("s", "UTC")).to_numpy().astype("datetime64[s]")
    rows = Rows(matrix(stored, list(FEATURES)), matrix(stored, OUTCOMES))
    samples = Samples(np.array(stored["station"].to_pylist()), times, rows, FEATURES)
    day = np.timedelta64(86_400, "s")
    third = times.min() + (times.max() - times.min()) * 2 // 3
    roles = (Role.TRAIN, Role.VALIDATION, Role.TRAIN, Role.CALIBRATION) * 40
    cut = Cut(times.min(), times.max(), third, day * 2, day // 2, roles, None)
    plain = releases.manifest(number)
    lineage = msgspec.structs.replace(
        plain.lineage,
        rows=describe_rows(samples, cut),
        delta_versions={"windows": lake.version(TABLE) or 0, "raw": lake.version(RAW) or 0},
    )
    graphs = Graphs(Graph("model.onnx", FEATURES, releases.intervals()))
    made = msgspec.structs.replace(plain, lineage=lineage, graphs=graphs)
    version = release.write(home, made, {"model.onnx": releases.graph()})
    return release.load(home, "noaa", "temperature", version).manifest


def files(lake: Lake, name: str) -> set[str]:
    return {str(place) for place in Path(lake.uri(name)).glob("*/*.parquet") if "_delta_log" not in str(place)}


def content(lake: Lake, con: duckdb.DuckDBPyConnection, name: str) -> tuple[object, ...]:
    """All that must stay as it is: rows, marks, transactions."""
    rows = sorted(map(repr, lake.relation(con, name).fetchall()))
    return rows, lake.ledger(name).content(MONTHS), lake.ledger(name).records, lake.rows(name)


@pytest.mark.e2e
def test_maintenance_keeps_training_rows_of_every_release(
    lake: Lake, con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    rng, chance = np.random.default_rng(3), random.Random(3)
    for month in MONTHS:
        replace(lake, rng, month)
    trained: list[tuple[Manifest, pa.Table]] = []
    for turn in range(36):
        replace(lake, rng, chance.choice(MONTHS))
        append(lake, turn)
        if turn % 7 == 0:
            made = released(lake, con, tmp_path, turn + 1)
            trained.append((made, training_rows(con, lake, made)))
        if turn % 9 == 8:
            before = {name: content(lake, con, name) for name in lake.tables()}
            done = retention.maintain(tmp_path, lake, {}, NONE)
            assert done.failures == {}
            assert {name: content(lake, con, name) for name in lake.tables()} == before
            for manifest, rows in trained:
                assert training_rows(con, lake, manifest).equals(rows), manifest.version
    assert sum(done.vacuums.values()) > 0
    assert sum(done.dropped_commits.values()) > 0
    assert set(trained[0][1]["role"].to_pylist()) >= {"train", "validation", "calibration", "test", "purged"}
    wanted = [manifest.lineage.delta_versions["windows"] for manifest, _ in trained]
    held = {file for version in [*wanted, None] for file in lake.table(TABLE, version).file_uris()}
    assert len(files(lake, TABLE)) == len(held), "and nothing else is kept"
    log = os.listdir(f"{lake.uri(TABLE)}/_delta_log")
    assert len(log) < 45, "of 50 commits and their checkpoints"
    assert not [month for month, count in lake.rows(RAW).items() if count % 5]
    assert len(lake.files(RAW)) <= 2 + 9, "a crowded month is one file"


def test_unreadable_training_rows_raise_error(lake: Lake, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for month in MONTHS:
        replace(lake, rng, month)
    made = released(lake, con, tmp_path, 1)
    assert made.lineage.rows is not None
    for turn in range(25):
        replace(lake, rng, MONTHS[turn % 6])
    other = msgspec.structs.replace(
        made.lineage, delta_versions={"windows": made.lineage.delta_versions["windows"] + 6}
    )
    with pytest.raises(AeroCastError, match="is not what it was trained on"):
        training_rows(con, lake, msgspec.structs.replace(made, lineage=other))
    older = msgspec.structs.replace(made.lineage, rows=None)
    with pytest.raises(AeroCastError, match="does not say which rows"):
        training_rows(con, lake, msgspec.structs.replace(made, lineage=older))
    lake.vacuum(TABLE, [], NONE)
    with pytest.raises(AeroCastError, match="cannot be read"):
        training_rows(con, lake, made)


def test_young_files_stay_and_old_orphans_are_removed(
    lake: Lake, con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    for turn in range(12):
        replace(lake, rng, MONTHS[turn % 2])
    folder = Path(lake.uri(TABLE), f"month={MONTHS[0]}")
    young, old = folder / "part-young.parquet", folder / "part-old.parquet"
    for orphan in (young, old):
        orphan.write_bytes(b"half a file")
    os.utime(old, (LONG_AGO, LONG_AGO))
    before, versions = files(lake, TABLE), lake.version(TABLE)
    done = retention.maintain(tmp_path, lake, {})
    assert done.vacuums[TABLE] == 1
    assert before - files(lake, TABLE) == {str(old)}
    assert done.dropped_commits[TABLE] == 0
    assert retention.maintain(tmp_path, lake, {}).vacuums[TABLE] == 0
    assert lake.version(TABLE) == (versions or 0) + 2, "begin and end of one vacuum; what finds nothing commits nothing"


def test_unreadable_release_keeps_everything_of_its_feed(
    lake: Lake, con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    for turn in range(12):
        replace(lake, rng, MONTHS[turn % 2])
    made = released(lake, con, tmp_path, 1)
    place = release.folder(tmp_path, "noaa", "temperature") / made.version / "manifest.json"
    place.chmod(0o644)
    releases.damage(place)
    before = files(lake, TABLE)
    done = retention.maintain(tmp_path, lake, {}, NONE)
    assert made.version in done.failures[TABLE]
    assert files(lake, TABLE) == before


def test_readers_of_older_version_are_undisturbed(lake: Lake, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for turn in range(12):
        replace(lake, rng, MONTHS[turn % 2])
    begun = lake.relation(con, TABLE)  # read when asked for
    replace(lake, rng, MONTHS[0])
    ended, faults = threading.Event(), list[Exception]()

    def read() -> None:
        with duckdb.connect() as own:
            while not ended.is_set():
                try:
                    assert len(lake.relation(own, TABLE).fetchall()) == 80
                except Exception as error:  # told by the test
                    faults.append(error)
                    return

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3):
        retention.maintain(tmp_path, lake, {})
        lake.compact(TABLE, MONTHS[0])
    ended.set()
    reader.join()
    assert not faults
    assert len(begun.fetchall()) == 80


@pytest.mark.parametrize("step", range(1, 6))
def test_interrupted_maintenance_harms_nothing(
    step: int, lake: Lake, con: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(step)
    for turn in range(24):
        replace(lake, rng, MONTHS[turn % 3])
        if turn == 3:
            made = released(lake, con, tmp_path, 1)
    rows, before = training_rows(con, lake, made), content(lake, con, TABLE)
    left = [step]

    def breaking(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def wrapped(*args: object, **kwargs: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, wrapped)

    breaking(retention, "checkpoints")
    breaking(retention, "log_of")
    breaking(Lake, "vacuum")
    breaking(Lake, "_commit")
    with pytest.raises(KeyboardInterrupt):
        retention.maintain(tmp_path, lake, {}, NONE)
    assert training_rows(con, lake, made).equals(rows)
    assert content(lake, con, TABLE) == before
    monkeypatch.undo()
    assert retention.maintain(tmp_path, lake, {}, NONE).failures == {}
    assert training_rows(con, lake, made).equals(rows)


@pytest.mark.e2e  # killed again and again
def test_maintenance_killed_anywhere_harms_nothing(
    lake: Lake, con: duckdb.DuckDBPyConnection, tmp_path: Path, chance: random.Random
) -> None:
    rng = np.random.default_rng(9)
    for turn in range(20):
        replace(lake, rng, MONTHS[turn % 3])
        append(lake, turn)
        if turn == 3:
            made = released(lake, con, tmp_path, 1)
    rows, before = training_rows(con, lake, made), {name: content(lake, con, name) for name in lake.tables()}
    code = (
        "import sys; from datetime import timedelta; from pathlib import Path; from aerocast.lake import Lake;"
        "from aerocast.operations.retention import maintain; home = Path(sys.argv[1]); print('ready', flush=True);\n"
        "while True: maintain(home, Lake(home), {}, timedelta(0)); Lake(home).compact('noaa/raw', '2013-01')"
    )
    for longest in (0.05, 0.3):
        with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(chance.uniform(0.0, longest))
            child.send_signal(signal.SIGKILL)
        assert training_rows(con, lake, made).equals(rows)
        assert {name: content(lake, con, name) for name in lake.tables()} == before


def test_retention_removes_whole_months_and_freezes_layers_below(lake: Lake, tmp_path: Path) -> None:
    feed: Feed = small_feed(tmp_path / "none.csv", name="noaa", retention={"raw": "P60D", "windows": "P90D"})
    for number in range(4):
        append(lake, number)
    rng = np.random.default_rng(1)
    for month in MONTHS:
        replace(lake, rng, month)
    held = lake.ledger(RAW).content(MONTHS)
    present = datetime(2013, 4, 3, tzinfo=UTC)
    assert retention.expire(lake, feed, present) == {RAW: [MONTHS[0]]}
    assert retention.expire(lake, feed, present) == {}
    assert lake.months(RAW) == [MONTHS[1]]
    assert lake.ledger(RAW).removed_months() == {MONTHS[0]}
    assert lake.ledger(RAW).content(MONTHS) == held, "what it held is still known"
    later = present + timedelta(days=60)
    assert retention.expire(lake, feed, later) == {RAW: [MONTHS[1]], TABLE: MONTHS[:2]}
    assert lake.months(TABLE) == MONTHS[2:]


def test_disk_use_is_reported_per_table(lake: Lake, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for _ in range(3):
        replace(lake, rng, MONTHS[0])
    append(lake, 1)
    first, second = retention.disk_use(lake)
    assert (first.table, first.rows, first.files) == (TABLE, 40, 1)
    assert first.bytes_in_all > 3 * first.bytes > 0
    assert (second.table, second.rows) == (RAW, 5)
    free, total = retention.disk(tmp_path)
    assert 0 < free < total
