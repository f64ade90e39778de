"""Fingerprints: content decides, in any order; a neighbour sees the edge that it reads; chains of raw."""

from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from aerocast.lake import Lake, fingerprints, ledger
from aerocast.lake.fingerprints import Edges
from tests.factories.tables import EDGES, MADE, RAW, append_rows, hourly_rows


def replaced(lake: Lake, rows: pa.Table, months: list[str]) -> fingerprints.MonthContent:
    lake.replace(MADE, rows, months, edges=EDGES, ignore=["segment"])
    return lake.ledger(MADE).content(months, EDGES)[months[0]]


def test_fingerprint_ignores_order_of_rows(lake: Lake) -> None:
    rows = hourly_rows("2024-01", [0, 1, 50, -1])
    first = replaced(lake, rows, ["2024-01"])
    assert replaced(lake, rows.take([3, 1, 0, 2]), ["2024-01"]) == first
    assert replaced(lake, hourly_rows("2024-01", [0, 1, 50, -1], segment="other"), ["2024-01"]) == first, (
        "segment is apart"
    )
    assert len(set(first)) == 3


@pytest.mark.parametrize(
    ("hour", "head", "tail"),
    [(1, True, False), (2, False, False), (50, False, False), (-4, False, False), (-3, False, True)],
)
def test_edge_changes_only_with_rows_inside_it(lake: Lake, hour: int, head: bool, tail: bool) -> None:
    hours = [0, 60, -1]
    first = replaced(lake, hourly_rows("2024-01", hours), ["2024-01"])
    then = replaced(lake, hourly_rows("2024-01", [*hours, hour]), ["2024-01"])
    assert [then[i] != first[i] for i in range(3)] == [True, head, tail]


def test_fingerprint_tells_null_from_zero_and_empty_from_absent(lake: Lake) -> None:
    seen = {
        replaced(lake, hourly_rows("2024-01", [50], value), ["2024-01"]).all for value in (None, 0.0, float("nan"), 1.0)
    }
    assert len(seen) == 4
    assert replaced(lake, hourly_rows("2024-01", [50], float("nan")), ["2024-01"]).all in seen
    empty = replaced(lake, hourly_rows("2024-01", []), ["2024-01"])
    assert empty.all not in seen
    assert lake.ledger(MADE).content(["2024-01", "2024-02"]).keys() == {"2024-01"}, "February was never made"


def test_fingerprints_of_two_equal_rows_do_not_cancel_out(lake: Lake) -> None:
    once = replaced(lake, hourly_rows("2024-01", [50]), ["2024-01"])
    assert len({once.all, *(replaced(lake, hourly_rows("2024-01", [50] * n), ["2024-01"]).all for n in (2, 3))}) == 3


def test_fingerprint_of_relation_equals_that_of_its_rows(lake: Lake) -> None:
    rows = hourly_rows("2024-01", [0, 50])
    first = replaced(lake, rows, ["2024-01"])
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        lake.replace(MADE, con.from_arrow(rows), ["2024-01"], edges=EDGES, ignore=["segment"])
    assert lake.ledger(MADE).content(["2024-01"], EDGES)["2024-01"] == first


def test_segment_changes_fingerprints_of_months_and_edges_it_reaches(lake: Lake) -> None:
    first = append_rows(lake, "2024-01", [50], "a")
    assert append_rows(lake, "2024-01", [50], "a") == first, "a delivery that is there already"
    second = append_rows(lake, "2024-01", [60], "b")
    assert [second[i] != first[i] for i in range(3)] == [True, False, False]
    third = append_rows(lake, "2024-01", [1], "c")
    assert [third[i] != second[i] for i in range(3)] == [True, True, False]
    fourth = append_rows(lake, "2024-01", [-1], "d")
    assert [fourth[i] != third[i] for i in range(3)] == [True, False, True]
    assert append_rows(lake, "2024-02", [50], "e")
    assert lake.ledger(RAW).content(["2024-01"], EDGES)["2024-01"] == fourth


def test_fingerprint_depends_on_order_of_deliveries(tmp_path: Path) -> None:
    ends = []
    for name, order in (("one", "ab"), ("two", "ba")):
        lake = Lake(tmp_path / name)
        ends.append([append_rows(lake, "2024-01", [50], segment) for segment in order][-1])
    assert ends[0] != ends[1], "the last delivery wins"


def test_neighbour_months_count_as_far_as_they_are_read(lake: Lake) -> None:
    for month in ("2024-01", "2024-02", "2024-03"):
        append_rows(lake, month, [50], month)

    def seen() -> dict[str, list[str]]:
        return lake.ledger(RAW).inputs(["2024-01", "2024-02", "2024-03"], EDGES)

    before = seen()
    append_rows(lake, "2024-02", [60], "middle")
    assert [month for month in before if before[month] != seen()[month]] == ["2024-02"]
    before = seen()
    append_rows(lake, "2024-02", [1], "head")
    assert [month for month in before if before[month] != seen()[month]] == ["2024-01", "2024-02"]
    before = seen()
    append_rows(lake, "2024-02", [-1], "tail")
    assert [month for month in before if before[month] != seen()[month]] == ["2024-02", "2024-03"]


def test_unrecorded_reach_counts_whole_month(lake: Lake) -> None:
    for month in ("2024-01", "2024-02", "2024-03"):
        append_rows(lake, month, [50], month)
    for reach in (timedelta(hours=7), timedelta(days=40)):
        before = lake.ledger(RAW).inputs(["2024-03"], Edges(tail=reach))
        append_rows(lake, "2024-02", [60], f"middle {reach}")
        assert lake.ledger(RAW).inputs(["2024-03"], Edges(tail=reach)) != before
    before = lake.ledger(RAW).inputs(["2024-03"], Edges(tail=timedelta(days=40)))
    append_rows(lake, "2024-01", [70], "two months back")
    assert lake.ledger(RAW).inputs(["2024-03"], Edges(tail=timedelta(days=40))) != before


def test_one_scan_reads_transactions_before_and_after_checkpoint(lake: Lake) -> None:
    names = []
    for turn in range(25):
        append_rows(lake, "2024-01", [50], f"segment {turn}")
        names.append(f"segment {turn}")
        opened = DeltaTable(lake.uri(RAW))
        found = ledger.read_records(opened)
        assert found == {name: opened.transaction_version(name) for name in found}
        assert set(names) <= found.keys()
    older = DeltaTable(lake.uri(RAW), version=13)
    assert set(names[:14]) <= ledger.read_records(older).keys()
    assert not set(names[14:]) & ledger.read_records(older).keys()
