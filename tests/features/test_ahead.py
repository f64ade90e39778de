"""What is known ahead: the newest vintage of an origin's time from the source's rows on, and never a later one."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.features import ahead
from aerocast.features.features import feature_names, features
from aerocast.features.grid import Grid, WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.tables import quality, silver
from tests.factories.feeds import declaration

START, HOUR = datetime(2024, 1, 1, tzinfo=UTC), timedelta(hours=1)
HOURS = 72
Row = tuple[int, int | None, float | None, float | None]  # hour, hour of issue, load, forecast

COLUMNS: list[dict[str, Any]] = [
    {"name": "load", "field": "load", "source_unit": "MW", "unit": "MW", "range": [0, 9e9]},
    {
        "name": "outlook", "field": "temp", "source_unit": "degF", "unit": "degC", "range": [-90, 90],
        "known_ahead": True,
    },
]  # fmt: skip


def declared(path: Path, columns: list[dict[str, Any]] = COLUMNS, **changes: Any) -> Feed:
    source = {"kind": "csv", "path": str(path), "station_field": None, "time_field": "at", "issued_field": "issued"}
    base = {
        "source": source,
        "stations": [{"id": "A"}],
        "columns": columns,
        "targets": ["load"],
        "window": {"columns": ["load"], "look_back": 24},
        "horizons": [1, 6],
        "gap_policy": {"max_steps": 4},
    }
    return Feed.parse(declaration(path, **(base | changes)))


def text(hour: int | None) -> str:
    return "" if hour is None else f"{START + hour * HOUR:%Y-%m-%dT%H:%MZ}"


def grid(path: Path, feed: Feed, rows: list[Row]) -> Grid:
    """The grid that readings of a file become: raw, bronze and silver."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["at", "issued", "load", "temp"])
        writer.writerows([text(hour), text(issue), load, temp] for hour, issue, load, temp in rows)
    deliveries = list(feed.source.read(feed, ReadRequest()))
    months = [each.month for each in deliveries]
    tables = [
        each.table.append_column("delivery", pa.array([at] * len(each.table), pa.int64()))
        for at, each in enumerate(deliveries)
    ]
    with duckdb.connect() as con:
        con.register("raw", pa.concat_tables(tables))
        cleaned = quality.clean(con, feed, con.table("raw"), months, datetime.now(UTC))
        assert not cleaned.counts["quarantine"]
        con.register("bronze", cleaned.bronze.to_arrow_table())
        extent = silver.Extent.of_recording(feed, START, START + (HOURS - 1) * HOUR)
        return silver.grids(con, feed, silver.build(con, feed, con.table("bronze"), months, extent))["A"]


def readings() -> list[Row]:
    return [(hour, None, 100.0 + hour, None) for hour in range(HOURS)]


def vintages(every: int, reach: int, seed: int = 0) -> list[Row]:
    """Forecasts issued every so many hours, up to `reach` hours ahead; each is its own number, whole in degF."""
    made = np.random.default_rng(seed)
    return [
        (issue + lead, issue, None, float(made.integers(-40, 120)))
        for issue in range(0, HOURS, every)
        for lead in range(reach + 1)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vintages")


def expected(rows: list[Row], origin: int, horizon: int, oldest: int) -> tuple[float, float]:
    """The newest vintage's value and age, by looking at every row."""
    known = [
        (issue, temp)
        for hour, issue, _, temp in rows
        if issue is not None and temp is not None and issue <= origin and hour == origin + horizon
        and origin - issue <= oldest
    ]  # fmt: skip
    if not known:
        return np.nan, np.nan
    issue, temp = max(known)
    return (temp - 32) / 1.8, origin - issue


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(every=st.integers(1, 8), reach=st.integers(4, 12), seed=st.integers(0, 99))
def test_newest_vintage_that_was_issued_counts(folder: Path, every: int, reach: int, seed: int) -> None:
    feed = declared(folder / "a.csv")
    spec, rows = WindowSpec.of(feed, "load"), readings() + vintages(every, reach, seed)
    series, origins = grid(folder / "a.csv", feed, rows), np.arange(24, HOURS - 6)
    x = features(spec, series, origins)
    names = feature_names(spec)
    for horizon in spec.horizons:
        own = x[:, names.index(f"outlook_ahead_{horizon}")]
        wanted = [expected(rows, int(origin), horizon, 4) for origin in origins]
        np.testing.assert_allclose(own, [value for value, _ in wanted], atol=1e-4)
    ages = [np.max([expected(rows, int(origin), horizon, 4)[1] for horizon in spec.horizons]) for origin in origins]
    np.testing.assert_array_equal(x[:, names.index("outlook_ahead_age")], ages)


@pytest.mark.e2e
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(origin=st.integers(30, HOURS - 8), every=st.integers(1, 5), seed=st.integers(0, 99), shift=st.integers(1, 40))
def test_nothing_issued_after_an_origin_changes_its_features(
    folder: Path, origin: int, every: int, seed: int, shift: int
) -> None:
    """Later readings and later vintages are shifted; both are of steps that are over at the origin otherwise."""
    feed = declared(folder / "b.csv")
    spec, rows = WindowSpec.of(feed, "load"), readings() + vintages(every, 10, seed)
    later = [
        (hour, issue, None if load is None else load + shift, None if temp is None else temp - shift)
        if (hour if issue is None else issue) > origin
        else (hour, issue, load, temp)
        for hour, issue, load, temp in rows
    ]
    assert later != rows
    at = np.array([origin])
    before = features(spec, grid(folder / "b.csv", feed, rows), at)
    np.testing.assert_array_equal(before, features(spec, grid(folder / "b.csv", feed, later), at))


def test_what_was_measured_counts_ahead_only_if_that_is_declared(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    measured = {"name": "temp", "field": "temp", "source_unit": "degF", "unit": "degC", "range": [-90, 90]}
    with pytest.raises(AeroCastError, match=r"field 'temp' is measured as temp: .* declare `assume_perfect: true`"):
        declared(path, [*COLUMNS, measured])
    source = {"kind": "csv", "path": str(path), "station_field": None, "time_field": "at"}
    with pytest.raises(AeroCastError, match=r"columns\[1\].known_ahead: must know when a value was issued"):
        declared(path, source=source)
    feed = declared(path, [COLUMNS[0], measured | {"known_ahead": True, "assume_perfect": True}], source=source)
    spec = WindowSpec.of(feed, "load")
    assert [(each.name, each.is_perfect) for each in spec.ahead] == [("temp", True)]
    series = grid(path, feed, [(hour, None, 100.0, 32 + 1.8 * (hour % 50)) for hour in range(HOURS)])
    row = dict(zip(feature_names(spec), features(spec, series, np.array([60, HOURS - 3])).T.tolist(), strict=True))
    assert row["temp_ahead_6"][0] == pytest.approx(66 % 50)
    assert np.isnan(row["temp_ahead_6"][1])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"targets": ["load", "outlook"]}, "targets: 'outlook' is known ahead"),
        ({"columns": COLUMNS[:1]}, r"source.issued_field: 'issued' needs a column with `known_ahead: true`"),
        ({"columns": [COLUMNS[0] | {"assume_perfect": True}, COLUMNS[1]]}, r"columns\[0\].assume_perfect: true needs"),
        ({"columns": [COLUMNS[0], COLUMNS[1] | {"known_ahead": "yes, always"}]}, "known_ahead"),
        (
            {"columns": [*COLUMNS, {**COLUMNS[1], "name": "rain", "unit": "degX"}]},
            r"^[^\n]*\n  columns\[2\].unit: 'degX'[^\n]*$",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(AeroCastError, match=text):
        declared(tmp_path / "x.csv", **changes)


def test_leads_in_field_names_need_no_issued_field(tmp_path: Path) -> None:
    source = {"kind": "push"}
    feed = declared(tmp_path / "x.csv", [COLUMNS[0], COLUMNS[1] | {"field": "temp_{lead}h"}], source=source)
    assert [column.field for column in feed.columns] == ["load", *(f"temp_{lead}h" for lead in range(1, 11))]
    assert Feed.parse(feed.model_dump(mode="json", exclude_unset=True)) == feed


def test_row_of_reading_and_forecast_is_both(tmp_path: Path) -> None:
    """As training tables have it: the load of a time, and what was forecast for that time, and when."""
    feed = declared(tmp_path / "r.csv")
    spec, rows = WindowSpec.of(feed, "load"), [(hour, hour - 6, 100.0 + hour, 50.0 + hour) for hour in range(6, HOURS)]
    series = grid(tmp_path / "r.csv", feed, rows)
    row = dict(zip(feature_names(spec), features(spec, series, np.array([30]))[0].tolist(), strict=True))
    assert row["load_lag0"] == 130
    assert row["outlook_ahead_6"] == pytest.approx((86 - 32) / 1.8, abs=1e-4)
    assert np.isnan(row["outlook_ahead_1"]), "no vintage says it"


def test_unreadable_issue_goes_to_quarantine(tmp_path: Path) -> None:
    feed = declared(tmp_path / "q.csv")
    rows = readings() + vintages(6, 8)
    grid(tmp_path / "q.csv", feed, rows)
    with (tmp_path / "q.csv").open("a") as stream:
        stream.write("2024-01-03T00:00Z,soon,,50\nlater,2024-01-02T00:00Z,,50\n")
    (delivery,) = feed.source.read(feed, ReadRequest())
    with duckdb.connect() as con:
        con.register("raw", delivery.table.append_column("delivery", pa.array([0] * len(delivery.table), pa.int64())))
        cleaned = quality.clean(con, feed, con.table("raw"), [delivery.month], datetime.now(UTC))
    assert cleaned.rules == {"unparseable": 2}


def test_names_of_values_come_first() -> None:
    spec = WindowSpec.of(declared(Path("x.csv")), "load")
    assert ahead.names(spec)[: len(ahead.value_names(spec))] == ahead.value_names(spec) == [
        "outlook_ahead_1", "outlook_ahead_6",
    ]  # fmt: skip
    assert "outlook_ahead1" not in spec.inputs
