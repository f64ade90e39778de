"""What clients send becomes raw's rows without a loss, whatever the form; what no judge could read is refused."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerocast.contracts.declared import document, publication_of, publish, stamps
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.arrow import parse_arrow, table_of
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.channels.readings import definition_of, to_raw
from aerocast.tables.quality import clean
from aerocast.tables.raw import raw_schema
from serving.readings import check as checked
from tests.factories.feeds import small_feed

SMALL = small_feed(Path("readings.csv"))
DEFINITION = definition_of(SMALL)
START, NOW = datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 4, 20, tzinfo=UTC)
FIELDS = [column.field for column in SMALL.columns]

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.timedeltas(timedelta(0), timedelta(days=107)).flatmap(
    lambda after: offsets.map(lambda offset: (START + after).astimezone(offset))
)
numbers = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**60), 2**60))
readings = st.fixed_dictionaries(
    {"station": st.text(st.characters(codec="utf-8"), max_size=10).map("S{}S".format), "time": instants, "t": numbers},
    optional=dict.fromkeys(FIELDS[1:], numbers),
)


def raw(table: pa.Table) -> list[dict[str, Any]]:
    made = to_raw(SMALL, table, "http", "segment", NOW)
    assert made.schema == raw_schema(SMALL)
    return list(made.to_pylist())


def parse_json(body: bytes) -> pa.Table:
    return table_of(DEFINITION, [DEFINITION.json(body)])


def sent(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**record, "time": record["time"].isoformat()} for record in records]


def check(records: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Each row says what its record said, to the last bit and microsecond."""
    assert len(rows) == len(records)
    for line, (record, row) in enumerate(zip(records, rows, strict=True)):
        assert (row["station"], row["line"]) == (record["station"], line)
        assert row["time"] == record["time"]
        assert row["month"] == f"{record['time'].astimezone(UTC):%Y-%m}"
        for field in FIELDS:
            value = record.get(field)
            assert row[field] is None if value is None else float(row[field]) == float(value)


@settings(max_examples=settings.default.max_examples // 4)
@given(st.lists(readings, min_size=1, max_size=20))
def test_json_readings_round_trip(records: list[dict[str, Any]]) -> None:
    body = json.dumps(sent(records)).encode()
    assert checked(DEFINITION, "json", body) == (len(records), ())
    check(records, raw(parse_json(body)))
    lines = b"\n".join(json.dumps(record).encode() for record in sent(records))
    assert checked(DEFINITION, "ndjson", lines) == (len(records), ())
    check(records, raw(table_of(DEFINITION, [DEFINITION.json_lines(lines)])))


@settings(max_examples=settings.default.max_examples // 4)
@given(st.lists(readings, min_size=1, max_size=8))
def test_ignored_fields_change_no_reading(records: list[dict[str, Any]]) -> None:
    """Bodies of exactly the usual fields are checked while they are parsed; all others field by field."""
    usual = sent(records)
    more = [{"other": {"a": [1, True]}, **record} for record in usual]
    own = [{{"station": "place", "time": "at"}.get(name, name): record[name] for name in record} for record in usual]
    mixed = [{("place" if name == "station" else name): record[name] for name in record} for record in usual]
    expected = raw(parse_json(json.dumps(usual).encode()))
    for bodies, ignored in ((more, ("other",)), (own, ()), (mixed, ())):
        body = json.dumps(bodies).encode()
        assert checked(DEFINITION, "json", body) == (len(records), ignored)
        assert raw(parse_json(body)) == expected


@pytest.mark.e2e
@given(st.lists(readings, min_size=1, max_size=20), st.sampled_from(["s", "ms", "us", "ns"]))
def test_arrow_readings_round_trip(records: list[dict[str, Any]], unit: str) -> None:
    if unit in ("s", "ms"):
        records = [{**record, "time": record["time"].replace(microsecond=0)} for record in records]
    columns = {field: pa.array([_float(record.get(field)) for record in records], pa.float64()) for field in FIELDS}
    times = pa.array([record["time"] for record in records], pa.timestamp("us", "America/New_York"))
    table = pa.table(
        {
            "station": pa.array([record["station"] for record in records]).dictionary_encode(),
            "time": times.cast(pa.timestamp(unit, "America/New_York")),
            **columns,
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = bytes(sink.getvalue())
    assert checked(DEFINITION, "arrow", body) == (len(records), ())
    check(records, raw(parse_arrow(body)))


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def test_number_of_any_type_becomes_shortest_text() -> None:
    table = pa.table(
        {
            "station": pa.array([7, 8], pa.int32()),
            "time": pa.array([19_727, 19_728], pa.timestamp("s", "UTC")),
            "t": pa.array([0.1, math.nan], pa.float32()),
            "w": pa.array(["12 m/s", ""], pa.large_string()),
            "p": pa.array([None, None], pa.null()),
        }
    )
    first, second = raw(table)
    assert [first[name] for name in ("station", "t", "w", "p")] == ["7", "0.1", "12 m/s", None]
    assert second["t"] is None


def test_time_out_of_range_is_kept_as_number() -> None:
    times = pa.array([1 << 55, 1_704_412_800, None], pa.timestamp("s", "UTC"))
    beyond, good, missing = raw(pa.table({"station": ["A", "A", "A"], "time": times, "t": [1, 2, 3]}))
    assert (beyond["time"], beyond["time_text"], beyond["month"]) == (None, str(1 << 55), "2024-04")
    assert good["time"] == datetime(2024, 1, 5, tzinfo=UTC)
    assert (missing["time"], missing["time_text"]) == (None, None)
    edge = "0001-01-01T00:00:00+14:00"
    (row,) = raw(pa.table({"station": ["A"], "time": [edge], "t": [1]}))
    assert (row["time"], row["time_text"]) == (None, edge)


def test_source_field_names_are_accepted() -> None:
    (one,) = raw(pa.table({"place": ["AAA"], "at": ["2024-01-05T00:00:00Z"], "t": ["1"]}))
    (two,) = raw(pa.table({"station": ["AAA"], "time": ["2024-01-05T00:00:00Z"], "t": [1]}))
    assert one == two


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"time": ["x"]}, "columns"),
        ({"station": ["x"]}, "columns"),
        ({"station": ["x"], "time": [1.5]}, "time"),
        ({"station": ["x"], "time": ["x"], "t": [True]}, "t"),
        ({"station": ["x"], "time": ["x"], "t": [[1]]}, "t"),
        ({"station": [b"x"], "time": ["x"]}, "station"),
    ],
)
def test_malformed_columns_are_refused(columns: dict[str, Any], field: str) -> None:
    with pytest.raises(ReadingError) as refused:
        to_raw(SMALL, pa.table(columns), "http", "segment", NOW)
    assert refused.value.field == field
    assert refused.value.rule in str(refused.value)


def test_well_formed_but_invalid_readings_are_quarantined(feed: Feed) -> None:
    good = {"station": "AAA", "time": "2024-03-05T00:00:00Z", "t": 20.0}
    wrong = [
        {**good, "t": 900},
        {**good, "station": "Mars"},
        {**good, "time": "2031-01-01T00:00:00Z"},
        {**good, "time": "soon"},
    ]
    rows = to_raw(
        SMALL, parse_json(json.dumps([good, *wrong]).encode()), "http", "segment", datetime(2024, 3, 9, tzinfo=UTC)
    )
    with duckdb.connect() as con:
        con.register("rows", rows.append_column("delivery", pa.array([1] * 5, pa.int64())))
        found = clean(con, SMALL, con.sql("SELECT * FROM rows"), ["2024-03"], datetime(2024, 3, 9, tzinfo=UTC))
        assert found.counts["quarantine"] + found.counts["bronze"] + found.counts["duplicates"] == 5
        assert set(found.rules) == {"range", "unknown_station", "future", "unparseable"}


def test_declaration_is_published_once(tmp_path: Path) -> None:
    assert document(tmp_path, "small").read() is None
    assert stamps(tmp_path) == {}
    assert publish(tmp_path, SMALL)
    assert not publish(tmp_path, SMALL)
    (before,) = stamps(tmp_path).values()
    found = document(tmp_path, "small").read()
    assert found == publication_of(SMALL)
    assert (found.station, found.time) == ("station", "time")
    assert publish(tmp_path, SMALL.model_copy(update={"description": "another"}))
    assert list(stamps(tmp_path)) == ["small"]
    assert list(stamps(tmp_path).values()) != [before]
