"""The SQL source on SQLite and on a real PostgreSQL: only news is asked for, nothing is lost, mistakes are named."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from aerocast.common.errors import AeroCastError
from aerocast.feed.declaration import Feed
from aerocast.feed.source_kind import ReadRequest
from aerocast_assets.keys import key
from tests.factories.feeds import small_feed
from tests.harness.graph import dagster_instance, metadata, refresh
from tests.harness.postgres import postgres
from tests.harness.sources import Poller

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = datetime(2024, 3, 1, tzinfo=UTC)
FIELDS = (sa.Column("t", sa.Float), sa.Column("w", sa.Numeric(8, 2)), sa.Column("p", sa.Text))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


class Database:
    """A table of readings, and the feed that reads it into a lake of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        self.table = sa.Table(
            "readings", sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True), sa.Column("place", sa.String),
            sa.Column("at", sa.DateTime(timezone=True)), sa.Column("updated_at", sa.DateTime(timezone=True)), *(
                sa.Column(column.name, column.type) for column in FIELDS),
        )  # fmt: skip
        self.table.drop(self.engine, checkfirst=True)
        self.table.create(self.engine)

    def insert(self, first: int, count: int, station: str = "AAA", **values: Any) -> None:
        """Hours `first` .. of one station, each with the id of its hour unless `values` say otherwise."""
        rows = [
            {"id": hour, "place": station, "at": START + hour * HOUR, "updated_at": START + hour * HOUR,
             "t": hour % 20 + 0.5, "w": Decimal("3.25"), "p": "1013.2"} | values
            for hour in range(first, first + count)
        ]  # fmt: skip
        with self.engine.begin() as con:
            con.execute(sa.insert(self.table), rows)

    def feed(self, **source: Any) -> Feed:
        declared = {"kind": "sql", "url": self.url, "station_field": "place", "time_field": "at", "timezone": "UTC"}
        if "query" not in source:
            declared["table"] = "readings"
        return small_feed(self.folder, source=declared | source)

    def poller(self, lake: str = "lake", **source: Any) -> Poller:
        return Poller(self.feed(**source), self.folder, lake)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    url = f"sqlite:///{tmp_path / 'readings.db'}"
    return Database(request.getfixturevalue("server") if request.param == "postgresql" else url, tmp_path)


def test_rows_become_readings_as_texts(database: Database) -> None:
    database.insert(0, 3)
    database.insert(3, 1, t=None, w=None, p="defect")
    poller = database.poller()
    assert poller.poll(NOW) == 4
    first, *_, last = poller.rows()
    assert [first[name] for name in ("station", "time", "t", "w", "p")] == ["AAA", START, "0.5", "3.25", "1013.2"]
    assert (last["t"], last["w"], last["p"]) == (None, None, "defect")


@pytest.mark.parametrize("cursor", ["id", "updated_at", "t", None])
def test_poll_brings_what_came_since(database: Database, cursor: str | None) -> None:
    database.insert(0, 800, t=1.5)
    poller = database.poller(cursor=cursor, page=100)
    assert poller.poll(NOW) == 800
    assert poller.poll(NOW) == 0
    database.insert(800, 5, t=2.5)
    assert poller.poll(NOW) == 5
    assert len({row["time"] for row in poller.rows()}) == len(poller.rows()) == 805


def test_correction_is_read_by_time_of_update(database: Database) -> None:
    database.insert(0, 48)
    poller = database.poller(cursor="updated_at")
    poller.poll(NOW)
    with database.engine.begin() as con:
        con.execute(sa.update(database.table).where(database.table.c.id == 5).values(
            t=-3.25, updated_at=START + 60 * HOUR))  # fmt: skip
    assert poller.poll(NOW) == 1
    assert {row["t"] for row in poller.rows() if row["time"] == START + 5 * HOUR} == {"5.5", "-3.25"}


def test_row_that_is_committed_late_is_read_within_overlap(server: str, tmp_path: Path) -> None:
    database = Database(server, tmp_path)
    database.insert(10, 1)
    poller = database.poller(cursor="updated_at", overlap="PT2H")
    poller.poll(NOW)
    database.insert(9, 1)
    assert poller.poll(NOW) == 1
    assert len(poller.rows()) == 2


def test_rows_without_cursor_are_counted_in_a_note(database: Database) -> None:
    database.insert(0, 4)
    database.insert(4, 2, updated_at=None)
    poller = database.poller(cursor="updated_at")
    assert poller.poll(NOW) == 4
    assert any("2 rows have no updated_at" in note for note in poller.notes), poller.notes


def test_lost_lake_is_filled_again_whatever_the_memory_says(database: Database) -> None:
    database.insert(0, 30)
    poller = database.poller(cursor="id")
    assert poller.poll(NOW) == 30
    assert database.poller("another", cursor="id").poll(NOW) == 30


def test_other_query_is_read_from_the_start(database: Database) -> None:
    database.insert(0, 10)
    database.insert(10, 10, station="BBB")
    query = "SELECT id, place, at, t, w, p FROM readings WHERE place = 'AAA' -- the first: no others"
    assert database.poller(cursor="id", query=query).poll(NOW) == 10
    assert database.poller(cursor="id", query="SELECT * FROM readings;").poll(NOW) == 10


def test_only_asked_months_are_delivered_and_cursor_is_left_alone(database: Database) -> None:
    database.insert(0, 800)
    poller = database.poller(cursor="id")
    assert poller.poll(NOW, ["2024-01"]) == 744
    assert poller.poll(NOW) == 56


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"table": "nothing"}, "nothing"),
        ({"cursor": "row_version"}, "source.cursor 'row_version' is not among the columns of sql readings"),
        ({"station_field": "site", "query": "SELECT id, at, t, w, p FROM readings"}, "site"),
        ({"query": "SELECT place, at, t, w FROM readings"}, "field 'p' is not among the columns"),
        ({"query": "SELEC 1"}, "syntax error"),
    ],
)
def test_mistake_is_named(database: Database, change: dict[str, Any], words: str) -> None:
    database.insert(0, 1)
    with pytest.raises(AeroCastError, match=words):
        database.poller(**change).poll(NOW)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "source.url 'nonsense'"),
        ("mssql+nodriver://x/y", "mssql"),
        ("postgresql+psycopg://me:geheim@127.0.0.1:1/x", "127.0.0.1"),
        ("postgresql+psycopg://me:$NOT_SET_ANYWHERE@host/x", "NOT_SET_ANYWHERE is not set"),
        ("sqlite:////nowhere/at/all.db", "unable to open database file"),
    ],
)
def test_unreachable_database_is_one_sentence_without_password(tmp_path: Path, url: str, words: str) -> None:
    pytest.importorskip("psycopg")
    feed = small_feed(tmp_path, source={"kind": "sql", "url": url, "table": "t"})
    with pytest.raises(AeroCastError, match=words) as raised:
        list(feed.source.read(feed, ReadRequest(now=NOW)))
    assert "geheim" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"table": "a", "query": "SELECT 1"}, "exactly one of table and query"),
        ({}, "exactly one of table and query"),
        ({"table": "a", "overlap": "-PT1H"}, "overlap"),
        ({"table": "a", "page": 0}, "page"),
    ],
)
def test_declaration_is_checked(tmp_path: Path, source: dict[str, Any], words: str) -> None:
    with pytest.raises(AeroCastError, match=words):
        small_feed(tmp_path, source={"kind": "sql", "url": "sqlite://", **source})


@pytest.mark.e2e
def test_run_takes_what_the_database_has(database: Database) -> None:
    database.insert(0, 100)
    feed, home = database.feed(cursor="id"), database.folder / "home"
    home.mkdir()
    layers = [key(feed, layer) for layer in ("raw", "bronze", "silver")]
    with dagster_instance(home) as instance:
        assert refresh(feed, home, instance, ["2024-01"], layers).success
        database.insert(100, 8)
        result = refresh(feed, home, instance, ["2024-01"], layers)
    assert result.success
    assert metadata(result, key(feed, "bronze"))["rows"] == 108
