"""What goes into raw: news of a live source once, each batch of each channel once; a broken channel stops no other."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.ingest.channels.base import Batch
from aerocast.ingest.channels.intake import IntakeReport, take_all, take_source
from aerocast.ingest.channels.readings import to_raw
from aerocast.lake import Lake, Stream
from aerocast.tables.raw import Delivery
from tests.factories.feeds import START, declaration

NOW = START + timedelta(days=40)
RAW = "small/raw"


@pytest.fixture
def live(tmp_path: Path) -> Feed:
    return Feed.parse(declaration(tmp_path, source={"kind": "nws"}))


def table(feed: Feed, *rows: tuple[str, str | None], source: str = "polled", **texts: str) -> pa.Table:
    """Rows of (time, temperature), all of one station."""
    times, values = zip(*rows, strict=True)
    found = pa.table({"station": ["AAA"] * len(rows), "time": times, "t": pa.array(values, pa.string())})
    made = to_raw(feed, found, source, "?", NOW)
    for name, text in {"segment": f"segment {rows}", **texts}.items():
        made = made.set_column(made.column_names.index(name), name, pa.array([text] * len(made), pa.string()))
    return made


def deliver(lake: Lake, feed: Feed, *tables: pa.Table) -> IntakeReport:
    taken = IntakeReport()
    found = [Delivery(made["month"][0].as_py(), made["segment"][0].as_py(), "slot", made) for made in tables]
    take_source(lake, feed, found, taken)
    return taken


def stored(lake: Lake) -> list[tuple[str, str]]:
    """(time, temperature) in the order of raw."""
    with duckdb.connect() as con:
        rows = lake.relation(con, RAW).order("delivery, line").select("time_text, t")
        return rows.fetchall()


ONE, TWO, THREE = (f"2024-02-01T0{hour}:00:00Z" for hour in range(3))


def test_live_source_appends_only_news(live: Feed, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    first = deliver(lake, live, table(live, (ONE, "1"), (TWO, "2")))
    assert (first.rows, first.unsaid, first.segments) == ({"source": 2}, 0, 1)
    again = deliver(lake, live, table(live, (ONE, "1"), (TWO, "2"), (THREE, None)))
    assert (again.rows, again.unsaid) == ({"source": 1}, 2)
    assert deliver(lake, live, table(live, (ONE, "1"), (TWO, "2"), (THREE, None))).unsaid == 3
    assert stored(lake) == [(ONE, "1"), (TWO, "2"), (THREE, None)]


def test_correction_and_its_reversal_count(live: Feed, tmp_path: Path) -> None:
    lake, right, wrong = Lake(tmp_path), table(live, (ONE, "1")), table(live, (ONE, "9"))
    for made in (right, wrong, wrong, right, right):
        deliver(lake, live, made)
    assert [value for _, value in stored(lake)] == ["1", "9", "1"]
    deliver(lake, live, table(live, (ONE, "1"), (ONE, "1"), (ONE, "3"), (ONE, "1")))
    assert [value for _, value in stored(lake)] == ["1", "9", "1", "3", "1"], "within a delivery, too"
    deliver(lake, live, table(live, (ONE, "1"), flags="temperature=Q"))
    assert len(stored(lake)) == 6, "a doubt is news"


def test_reading_known_from_other_channel_is_not_skipped(live: Feed, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    deliver(lake, live, table(live, (ONE, "1")))
    lake.append(RAW, table(live, (ONE, "5"), source="by hand"), "by hand")
    assert not deliver(lake, live, table(live, (ONE, "1"))).rows, "the correction by hand stands"
    assert deliver(lake, live, table(live, (ONE, "2"))).rows == {"source": 1}


def test_row_without_time_is_news_once(live: Feed, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    made = table(live, ("noon", "1"), ("noon", "2"), ("noon", "1"))
    assert deliver(lake, live, made).rows == {"source": 2}
    assert deliver(lake, live, made).unsaid == 3


def test_two_concurrent_intakes_append_news_once(live: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one commits between this one's look and its commit: what it brought is not brought again."""
    lake, other = Lake(tmp_path), Lake(tmp_path)
    deliver(lake, live, table(live, (ONE, "1")))
    looked = lake.version

    def interrupted(name: str) -> int | None:
        seen = looked(name)
        if len(stored(other)) == 1:
            deliver(other, live, table(live, (ONE, "1"), (TWO, "2")))
        return seen

    monkeypatch.setattr(lake, "version", interrupted)
    assert deliver(lake, live, table(live, (TWO, "2"), (THREE, "3"))).unsaid == 1
    assert stored(lake) == [(ONE, "1"), (TWO, "2"), (THREE, "3")]


class Made:
    """A channel that hands over what it is given; a text is an error that comes then."""

    def __init__(self, name: str, *waiting: Batch | str) -> None:
        self.name, self.queue = name, list(waiting)
        self.told: list[str] = []
        self.rejections = ["half.csv: cut off"]
        self.notes: list[str] = []

    def backlog(self) -> int:
        return len(self.queue)

    def take(self, feed: Feed) -> Iterator[Batch]:
        for each in self.queue:
            if isinstance(each, str):
                raise AeroCastError(each)
            yield each

    def confirm(self, batch: Batch) -> None:
        self.told.append(f"{batch.segment}:{batch.position}")


def test_broken_channel_is_reported_and_others_are_taken(live: Feed, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    file = Batch("sha", table(live, (ONE, "1"), ("2024-01-31T00:00:00Z", "2")))
    counted = [Batch("posted", table(live, (TWO, "3")), 4), Batch("posted", table(live, (THREE, "4")), 7)]
    broken, posted = Made("inbox", file, "the folder is gone"), Made("posted", *counted)
    taken = take_all(lake, live, [broken, posted])
    assert taken.rows == {"inbox": 2, "posted": 2}
    assert taken.months == {"2024-01": 1, "2024-02": 3}
    assert taken.failures == {"inbox": "the folder is gone"}
    assert taken.rejections == ["half.csv: cut off"] * 2
    assert (broken.told, posted.told) == (["sha:None"], ["posted:4", "posted:7"])


def test_batch_already_in_raw_is_done(live: Feed, tmp_path: Path) -> None:
    lake, file = Lake(tmp_path), Batch("sha", table(live, (ONE, "1")))
    counted = Batch("posted", table(live, (TWO, "3")), 4)
    assert lake.append(RAW, file.table, file.segment)
    assert lake.append(RAW, counted.table, Stream(counted.segment, 5))
    channel = Made("any", file, counted)
    taken = take_all(lake, live, [channel])
    assert (taken.rows, taken.repeats, taken.segments) == ({}, 2, 0)
    assert channel.told == ["sha:None", "posted:4"]


def test_batch_refused_by_raw_is_not_done(live: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> bool:
        raise AeroCastError("the disk is full")

    lake, channel = Lake(tmp_path), Made("any", Batch("sha", table(live, (ONE, "1"))))
    monkeypatch.setattr(lake, "append", full)
    with pytest.raises(AeroCastError, match="disk is full"):
        take_all(lake, live, [channel])
    assert channel.told == []


def test_interrupted_live_source_is_reported(live: Feed, tmp_path: Path) -> None:
    def breaking() -> Iterator[Delivery]:
        made = table(live, (ONE, "1"))
        yield Delivery("2024-02", "a", "slot", made)
        raise AeroCastError("503 from the service")

    lake, taken = Lake(tmp_path), IntakeReport()
    take_source(lake, live, breaking(), taken)
    assert (taken.rows, taken.failures) == ({"source": 1}, {"source": "503 from the service"})
