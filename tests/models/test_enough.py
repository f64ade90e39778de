"""Before training it is said which rows each role has, what it needs, and which stations no model learns."""

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.features.grid import WindowSpec
from aerocast.feed.declaration import Feed
from aerocast.models.enough import RoleRows
from aerocast.models.splits import Role
from aerocast.tables.training import outcome
from tests.factories.feeds import small_feed

HOUR, START = np.timedelta64(3600, "s"), np.datetime64("2024-01-01T00:00:00", "s")
ALL = range(24 * 60)
SPLIT = {"test": 0.2, "validation": 0.12, "calibration": 0.16, "block": "P2D"}


def declared(**changes: Any) -> Feed:
    return small_feed(Path("x.csv"), **{"split": SPLIT, **changes})


def read(feed: Feed, hours: dict[str, range], unmeasured: range = range(0)) -> RoleRows:
    """The roles of rows of these hours by station; no outcome 6 steps ahead is known in the `unmeasured` ones."""
    spec = WindowSpec.of(feed, "temperature")
    at = [(station, hour) for station, own in hours.items() for hour in own]
    time = START + np.array([hour for _, hour in at]) * HOUR
    far = [None if hour in unmeasured else 1.0 for _, hour in at]
    table = pa.table(
        {
            "station": [station for station, _ in at],
            "time": pa.array(time.astype("datetime64[us]"), pa.timestamp("us")).cast(pa.timestamp("us", "UTC")),
            outcome(spec, 1): pa.array([1.0] * len(at), pa.float32()),
            outcome(spec, 6): pa.array(far, pa.float32()),
        }
    )
    with duckdb.connect() as con:
        con.register("windows", table)
        return RoleRows.read(feed, spec, con.table("windows"))


def test_whole_span_suffices() -> None:
    rows = read(declared(), {"AAA": ALL, "BBB": ALL})
    assert [*rows.lacks(declared())] == []
    assert rows.unlearned(declared()) == {}


@pytest.mark.parametrize(
    ("role", "help_by"),
    [
        (Role.TRAIN, "lower split.test, split.validation or split.calibration (now 0.2, 0.12 and 0.16)"),
        (Role.VALIDATION, "raise split.validation (now 0.12) or shorten split.block (now P2D)"),
        (Role.CALIBRATION, "raise split.calibration (now 0.16), lower promotion.coverage (now 0.9) or shorten"),
        (Role.TEST, "raise split.test (now 0.2)"),
    ],
)
def test_role_with_too_few_outcomes_names_need_and_remedy(role: Role, help_by: str) -> None:
    feed = declared()
    rows = read(feed, {"AAA": ALL})
    mine = np.flatnonzero(rows.role == role)
    short = RoleRows(rows.spec, rows.station, rows.time, rows.measured.copy(), rows.role)
    short.measured[mine[5:], 1] = False
    (text,) = short.lacks(feed)
    least = {Role.TRAIN: 30, Role.VALIDATION: 10, Role.CALIBRATION: 10, Role.TEST: 8}[role]
    assert text.startswith(
        f"the role {role} has 5 rows with a measured temperature 6 steps ahead, and needs {least}: bring more data, or"
    )
    assert help_by in text


def test_level_of_intervals_decides_what_calibration_needs() -> None:
    feed = declared(promotion={"coverage": 0.995})
    rows = read(feed, {"AAA": ALL})
    assert [*rows.lacks(declared())] == []
    (text,) = rows.lacks(declared(promotion={"coverage": 0.999}))
    assert "the role calibration has" in text
    assert "and needs 1000" in text


def test_missing_outcomes_do_not_count() -> None:
    rows = read(declared(), {"AAA": ALL}, unmeasured=range(24 * 45, 24 * 60))
    (text,) = rows.lacks(declared())
    assert text.startswith("the role test has 0 rows with a measured temperature 6 steps ahead, and needs 8")


def test_station_recorded_later_than_others_has_no_training_rows() -> None:
    feed = declared(stations=[{"id": "AAA"}, {"id": "BBB"}, {"id": "CCC"}])
    late = range(24 * 50, 24 * 60)
    rows = read(feed, {"AAA": range(24 * 20), "BBB": late})
    assert rows.unlearned(feed) == {
        "BBB": "it has 240 rows of test, from 2024-02-20 to 2024-02-29",
        "CCC": "it has no row at all",
    }


def test_short_span_is_refused_as_the_split_does() -> None:
    with pytest.raises(AeroCastError, match=r"bring more data or shorten split\.block"):
        read(declared(), {"AAA": range(24 * 5)})
