"""The training table: what is stored is what serving would compute, month by month or at once."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.features.features import feature_names, features
from aerocast.features.grid import Grid, WindowSpec
from aerocast.features.windows import targets, valid_origins
from aerocast.feed.declaration import Feed
from aerocast.tables import training

MONTHS = ["2024-01", "2024-02", "2024-03"]


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        yield opened


@pytest.fixture
def spec(feed: Feed) -> WindowSpec:
    return WindowSpec.of(feed, "temperature")


@pytest.fixture
def grids(spec: WindowSpec) -> dict[str, Grid]:
    """Three months of two stations with a hole in each."""
    hours, made = 24 * 91, np.random.default_rng(1)
    time = np.datetime64("2024-01-01T00:00:00") + np.arange(hours) * np.timedelta64(3600, "s")
    found = {}
    for station in ("AAA", "BBB"):
        values = made.normal(50, 10, (hours, 3)).astype(np.float32)
        age = np.zeros((hours, 3), dtype=np.float32)
        hole = slice(700, 710) if station == "AAA" else slice(1400, 1430)
        values[hole], age[hole] = np.nan, np.nan
        found[station] = Grid(station, time, spec.columns, values, age)
    return found


def test_rows_equal_features_at_serving(spec: WindowSpec, grids: dict[str, Grid]) -> None:
    rows = training.table(spec, grids, MONTHS)
    one = rows.filter(pa.compute.equal(rows["station"], "AAA"))
    origins = valid_origins(spec, grids["AAA"])
    assert len(one) == len(origins)
    wanted = features(spec, grids["AAA"], origins, [grids["BBB"]])
    stored = np.column_stack([one[name].to_numpy(zero_copy_only=False) for name in feature_names(spec)])
    np.testing.assert_allclose(stored, wanted, rtol=1e-5, atol=1e-4)
    outcomes = np.column_stack([one[training.outcome(spec, h)].to_numpy(zero_copy_only=False) for h in spec.horizons])
    np.testing.assert_array_equal(outcomes, targets(spec, grids["AAA"], origins))


def test_rows_by_month_equal_whole(spec: WindowSpec, grids: dict[str, Grid]) -> None:
    order = [("time", "ascending"), ("station", "ascending")]
    whole = training.table(spec, grids, MONTHS).sort_by(order)
    parts = pa.concat_tables([training.table(spec, grids, [month]) for month in MONTHS]).sort_by(order)
    for name in whole.column_names:
        one, other = (table[name].to_numpy(zero_copy_only=False) for table in (whole, parts))
        if pa.types.is_floating(whole.schema.field(name).type):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4, err_msg=name)
        else:
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_month_reads_its_look_back_and_outcomes(spec: WindowSpec) -> None:
    assert training.source_months(spec, ["2024-02"]) == MONTHS


def test_table_is_read_in_time_order(con: duckdb.DuckDBPyConnection, spec: WindowSpec, grids: dict[str, Grid]) -> None:
    stored = training.table(spec, grids, MONTHS)
    found = training.load(spec, con.from_arrow(stored))
    assert found.rows.x.shape == (len(stored), len(feature_names(spec)))
    assert found.rows.x.dtype == found.rows.y.dtype == np.float32
    assert (np.diff(found.time.astype(np.int64)) >= 0).all()
    assert np.isnan(found.rows.y[-1]).all(), "the newest origin has no outcome yet"


def test_table_without_rows_or_features_raises_one_sentence(
    con: duckdb.DuckDBPyConnection, spec: WindowSpec, grids: dict[str, Grid]
) -> None:
    stored = training.table(spec, grids, MONTHS)
    with pytest.raises(AeroCastError, match="no row has a whole window of temperature"):
        training.load(spec, con.from_arrow(stored.slice(0, 0)))
    with pytest.raises(AeroCastError, match="temperature_lag0"):
        training.load(spec, con.from_arrow(stored.drop_columns(["temperature_lag0"])))


def test_csv_is_replaced_whole_or_not_at_all(spec: WindowSpec, grids: dict[str, Grid], tmp_path: Path) -> None:
    path = tmp_path / "out" / "windows.csv"
    rows = training.write_csv(path, spec, grids.values())
    lines = path.read_text().splitlines()
    assert len(lines) == rows + 1

    def breaking() -> Iterator[Grid]:
        yield grids["AAA"]
        raise OSError(28, "No space left on device")

    with pytest.raises(AeroCastError, match=r"windows\.csv could not be written: No space left"):
        training.write_csv(path, spec, breaking())
    assert path.read_text().splitlines() == lines
    assert [each.name for each in path.parent.iterdir()] == ["windows.csv"]


def test_csv_of_later_months_equals_csv_of_all(spec: WindowSpec, grids: dict[str, Grid], tmp_path: Path) -> None:
    training.write_csv(tmp_path / "whole.csv", spec, grids.values())
    pieces = [training.csv_grid(spec, grid, [month]) for month in [*MONTHS, "2024-04"] for grid in grids.values()]
    training.write_csv(tmp_path / "pieces.csv", spec, pieces)
    whole, found = ((tmp_path / name).read_text().splitlines() for name in ("whole.csv", "pieces.csv"))
    assert found[0] == whole[0]
    assert sorted(found) == sorted(whole)
