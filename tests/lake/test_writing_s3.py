"""The lake in an object store: the same tables, commits and refusals as in a folder."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.common.months import month_span
from aerocast.lake import Lake
from tests.harness.object_store import new_home, object_store

RAW, BRONZE = "feed/raw", "feed/target/bronze"


def rows(month: str, mark: str, count: int = 3) -> pa.Table:
    start = month_span(month)[0]
    times = [start + timedelta(hours=i) for i in range(count)]
    time = pa.array(times, pa.timestamp("us", "UTC"))
    return pa.table({"station": ["A"] * count, "time": time, "mark": [mark] * count, "month": [month] * count})


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with pytest.MonkeyPatch.context() as patch, object_store(patch):
        yield Lake(new_home(tmp_path_factory.mktemp("work")))


def test_months_are_appended_replaced_and_read(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    assert lake.version(RAW) is None
    assert lake.append(RAW, rows("2013-01", "a"), "a")
    assert not lake.append(RAW, rows("2013-01", "a"), "a")
    assert lake.append(RAW, rows("2013-02", "b", 2), "b")
    assert (lake.version(RAW), lake.rows(RAW)) == (1, {"2013-01": 3, "2013-02": 2})
    relation = lake.relation(con, RAW, ["2013-02"]).select("station, time, mark || '!' AS mark, month")
    assert lake.replace(BRONZE, relation, ["2013-02"], {"2013-02": "abc"}) == 0
    assert lake.ledger(BRONZE).is_current("2013-02", "abc")
    assert lake.relation(con, BRONZE).select("mark, month").distinct().fetchall() == [("b!", "2013-02")]
    with pytest.raises(ValueError, match="none of the months"):
        lake.replace(BRONZE, rows("2013-01", "x"), ["2013-02"])
    assert lake.replace(BRONZE, rows("2013-02", "c"), ["2013-02"]) == 1
    assert lake.relation(con, BRONZE, version=0).select("mark").distinct().fetchall() == [("b!",)]
    assert lake.tables() == [RAW, BRONZE]
    assert all(file.startswith(f"{lake.root}/{RAW}/month=") for file in lake.files(RAW))


def test_concurrent_appends_have_one_winner_per_segment(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    home = lake.root.removesuffix("/lake")

    def deliver(_: int) -> int:
        return sum(Lake(home).append("feed/contested", rows("2013-01", mark), mark) for mark in "abc")

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(deliver, range(3))) == 3
    found = lake.relation(con, "feed/contested").aggregate("mark, count(*) AS n, count(DISTINCT delivery)", "mark")
    assert sorted(found.fetchall()) == [(mark, 3, 1) for mark in "abc"]


def test_missing_bucket_raises_one_sentence(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(AeroCastError, match=r"table feed/raw in s3://no-such-bucket/x/lake could not be") as caught:
        Lake("s3://no-such-bucket/x").append(RAW, rows("2013-01", "a"), "a")
    assert "\n" not in str(caught.value)
    with pytest.raises(AeroCastError, match=r"s3://no-such-bucket/x/lake could not be listed: .*NoSuchBucket"):
        Lake("s3://no-such-bucket/x").tables()


def test_unreachable_store_is_not_empty_lake(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(AeroCastError, match=r"could not be read: .*S3 error .*Connection refused"):
        Lake(lake.root.removesuffix("/lake")).exists(RAW)
