"""Sources of JSON documents: a list of readings somewhere in one, or an array for each field."""

import gzip
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast.ingest.channels.reading_error import ReadingError
from aerocast.ingest.sources import _json_document
from tests.harness.deliveries import Deliveries
from tests.tables.test_layouts import declared

READINGS = [{"time": f"2024-01-01T0{hour}:00Z", "temp": hour} for hour in range(3)]


def of_document(folder: Path, document: Any, **source: Any) -> Feed:
    path = folder / "readings.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return declared({"kind": "json", "path": str(path), **source})


@pytest.mark.parametrize(
    ("document", "source"),
    [
        (READINGS, {}),
        ({"data": {"items": READINGS}}, {"records": "data.items"}),
        ([{}, {"rows": READINGS}], {"records": "1.rows"}),
        (
            {"t": [each["time"] for each in READINGS], "y": [{"raw": [0, 1, 2]}]},
            {"arrays": {"time": "t", "temp": "y.0.raw"}},
        ),
        (
            {"t": [each["time"] for each in READINGS], "y": [0, 1, 2], "id": "AAA"},
            {"arrays": {"time": "t", "temp": "y", "station": "id"}, "station_field": "station"},
        ),
    ],
)
def test_readings_are_read_from_where_they_lie(
    home: Path, tmp_path: Path, document: Any, source: dict[str, Any]
) -> None:
    made = Deliveries(home, of_document(tmp_path, document, **source))
    made()
    assert [*made.values("temperature").values()] == [0, 1, 2]


def test_compressed_document_of_one_reading_is_read(home: Path, tmp_path: Path) -> None:
    feed = of_document(tmp_path, "")
    (tmp_path / "readings.json").write_bytes(gzip.compress(json.dumps(READINGS[1]).encode()))
    made = Deliveries(home, feed)
    made()
    assert [*made.values("temperature").values()] == [1]


def test_list_that_is_null_holds_no_readings(home: Path, tmp_path: Path) -> None:
    feed = of_document(tmp_path, {"features": None}, records="features")
    assert list(feed.source.read(feed, ReadRequest())) == []


@pytest.mark.parametrize(
    ("document", "source", "reason"),
    [
        ("{", {}, "file.*a JSON document"),
        ("[" * 100_000, {}, "file.*a JSON document"),
        ({"data": 1}, {"records": "items"}, "'items'.*the dotted name of a list in the document"),
        ({"items": 7}, {"records": "items"}, "items.*7.*a list of readings"),
        ({"t": []}, {"arrays": {"time": "t", "temp": "y"}}, "arrays.temp.*'y'"),
        ({"t": 1, "y": 2}, {"arrays": {"time": "t", "temp": "y"}}, "at least one array"),
        ({"t": [1, 2], "y": [1]}, {"arrays": {"time": "t", "temp": "y"}}, "y.*1 values.*as many as t has .2."),
    ],
)
def test_document_without_readings_is_refused_by_name(
    tmp_path: Path, document: Any, source: dict[str, Any], reason: str
) -> None:
    feed = of_document(tmp_path, document, **source)
    with pytest.raises(AeroCastError, match=reason):
        list(feed.source.read(feed, ReadRequest()))


def test_large_document_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_json_document, "MOST_BYTES", 20)
    feed = of_document(tmp_path, READINGS)
    with pytest.raises(AeroCastError, match="JSON lines"):
        list(feed.source.read(feed, ReadRequest()))


def test_records_and_arrays_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(AeroCastError, match=r"source.records: 'rows' cannot be declared beside `arrays`"):
        of_document(tmp_path, READINGS, records="rows", arrays={"time": "t"})


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["t", "y", "0"]), inner, max_size=3),
)


@given(json_values, st.sampled_from(["t", "t.0", "0.y", "y.0.t"]))
def test_any_document_gives_a_list_or_is_refused(document: Any, name: str) -> None:
    with suppress(ReadingError):
        assert isinstance(_json_document._of_list(document, name), list)
    with suppress(ReadingError):
        lengths = {len(each) for each in _json_document._of_arrays(document, {"time": name, "temp": "y"})}
        assert lengths <= {2}
