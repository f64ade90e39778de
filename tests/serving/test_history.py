"""Past forecasts with their outcomes: pages of what evaluation exported, oldest first."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import history
from tests.factories.history import past, write_months
from tests.factories.releases import publish
from tests.factories.tails import write_tail
from tests.harness.problems import assert_problem, problem_of
from tests.harness.server import Server

PATH = "/v1/predictions/JFK/history"
HOURS = [f"2024-{month:02d}-{day:02d}T{hour:02d}:00:00Z" for month in (2, 3, 4) for day in (1, 28) for hour in (0, 7)]
TABLE = [
    past(time, station=station, horizon=horizon, id=f"{station}-{horizon}", target=target, shadow=shadow)
    for time in HOURS
    for station in ("EWR", "JFK")
    for horizon in (1, 6, 24)
    for target, shadow in (("temperature", "false"), ("temperature", "true"), ("pressure", "false"))
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("home")
    publish(home)
    publish(home, 2, target="pressure")
    write_tail(home)
    write_months(home, TABLE)
    with Server(home) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        yield http


def ask(client: httpx.Client, **parameters: Any) -> dict[str, Any]:
    answer = client.get(
        PATH, params={name.strip("_"): value for name, value in parameters.items() if value is not None}
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def keys(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["time"], row["target"], int(row["horizon"])) for row in rows]


def expected(start: str = "", end: str = "9", target: str | None = None) -> list[tuple[Any, ...]]:
    own = [row for row in TABLE if row["station"] == "JFK" and row["shadow"] == "false"]
    return sorted(keys([row for row in own if start <= row["time"] < end and target in (None, row["target"])]))


def test_row_has_forecast_and_outcome(client: httpx.Client) -> None:
    row = ask(client, limit=1, target="temperature")["forecasts"][0]
    assert (row["forecast"], row["actual"], row["error"], row["inside"]) == (44.0, 41.0, -3.0, True)
    assert (row["persistence"], row["seasonal_naive"], row["reasons"]) == (40.5, 42.0, [])
    assert (row["time"], row["station"], row["degraded"]) == (HOURS[0], "JFK", False)
    assert "shadow" not in row, "what was never sent is no forecast that was answered"


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([None, *HOURS, "2024-03-01T02:00:00+02:00"]),
    st.sampled_from([None, *HOURS]),
    st.sampled_from([None, "temperature", "pressure"]),
    st.integers(1, 40),
)
def test_pages_are_all_rows_once_in_order(
    client: httpx.Client, start: str | None, end: str | None, target: str | None, limit: int
) -> None:
    if start and end and datetime.fromisoformat(start) >= datetime.fromisoformat(end):
        return
    rows: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = ask(client, from_=start, to=end, target=target, limit=limit, cursor=cursor)
        assert len(page["forecasts"]) <= limit
        rows, cursor = rows + page["forecasts"], page["next"]
        if cursor is None:
            break
    first = "" if start is None else "2024-03-01T00:00:00Z" if "+" in start else start
    assert keys(rows) == expected(first, end or "9", target)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ("from=yesterday", "from"),
        ("from=2024-03-01", "from"),
        ("from=2024-03-01T00:00:00", "from"),
        ("from=2024-03-01T00:00:00+01:00", "from"),  # a + is a blank in an address
        ("to=1850-01-01T00:00:00Z", "to"),
        ("from=2024-03-02T00:00:00Z&to=2024-03-01T00:00:00Z", "to"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=", "cursor"),
        (f"cursor={quote('WyIiXQ')}", "cursor"),
    ],
)
def test_parameter_that_breaks_a_rule_is_named(client: httpx.Client, parameters: str, field: str) -> None:
    answer = client.get(f"{PATH}?{parameters}")
    assert answer.status_code == 400, answer.text
    assert (answer.json()["field"], bool(answer.json()["rule"])) == (field, True)


def test_unknown_station_feed_and_target_are_refused_as_by_predict(client: httpx.Client) -> None:
    assert_problem(client.get("/v1/predictions/XXX/history"), 422, "unknown-station", "station", None)
    assert_problem(client.get(PATH, params={"feed": "x"}), 422, "unknown-feed", "feed", None)
    assert_problem(client.get(PATH, params={"target": "x"}), 422, "unknown-target", "target", None)


def home_of(tmp_path: Path, rows: list[dict[str, str]]) -> Path:
    publish(tmp_path)
    write_tail(tmp_path)
    write_months(tmp_path, rows)
    return tmp_path


def test_page_reads_a_bounded_number_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where most rows are of other stations a page is short, and says where it goes on."""
    monkeypatch.setattr(history, "MOST_SCANNED", 10)
    rows = [past(f"2024-03-01T{hour:02d}:00:00Z", station="EWR" if hour < 22 else "JFK") for hour in range(24)]
    span, pages = history.span_of("noaa", "JFK", None, None, None, 100, None), list[list[str]]()
    while True:
        page = history.read_page(home_of(tmp_path, rows), span)
        pages.append([row.time.isoformat() for row in page.forecasts])
        if page.next is None:
            break
        span = history.span_of("noaa", "JFK", None, None, None, 100, page.next)
    assert [len(page) for page in pages] == [0, 0, 2]


def test_rows_that_come_between_two_pages_repeat_nothing(tmp_path: Path) -> None:
    rows = [past(f"2024-03-01T{hour:02d}:00:00Z") for hour in range(0, 20, 2)]
    first = history.read_page(home_of(tmp_path, rows), history.span_of("noaa", "JFK", None, None, None, 5, None))
    write_months(tmp_path, [*rows, *[past(f"2024-03-01T{hour:02d}:00:00Z") for hour in range(1, 20, 2)]])
    second = history.read_page(tmp_path, history.span_of("noaa", "JFK", None, None, None, 100, first.next))
    hours = [row.time.hour for page in (first, second) for row in page.forecasts]
    assert hours == [0, 2, 4, 6, 8, *range(9, 20)]


def test_damaged_month_is_named_and_others_are_answered(tmp_path: Path) -> None:
    home = home_of(tmp_path, [past("2024-03-01T00:00:00Z"), past("2024-04-01T00:00:00Z")])
    (home / "exports/noaa/prediction_history/2024-04.csv").write_text("no such file\n")
    with Server(home) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        assert "2024-04.csv" in problem_of(http.get(PATH), 503, "history-unreadable")["detail"]
        assert len(http.get(PATH, params={"to": "2024-03-31T00:00:00Z"}).json()["forecasts"]) == 1
        assert http.post("/predict", json={"station": "JFK"}).status_code == 200


def test_no_history_is_an_empty_page(http: httpx.Client) -> None:
    assert http.get(PATH).json() == {"feed": "noaa", "station": "JFK", "forecasts": [], "next": None}


def test_server_stays_small_after_reading_history(tmp_path: Path) -> None:
    rows = [
        past(f"2024-03-{day:02d}T{hour:02d}:00:00Z", horizon=horizon)
        for day in range(1, 29)
        for hour in range(24)
        for horizon in range(40)
    ]
    with Server(home_of(tmp_path, rows)) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        page = http.get(PATH, params={"limit": 1000}).json()
        while page["next"] and page["forecasts"][-1]["time"] < "2024-03-10":
            page = http.get(PATH, params={"limit": 1000, "cursor": page["next"]}).json()
        assert server.memory() < 150
