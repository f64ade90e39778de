"""A feed whose declaration is gone over real HTTP: refused by name, shown as retired, and back with its declaration."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from aerocast.contracts import declared, tail
from aerocast.feed.declaration import Feed
from aerocast.releases import release
from aerocast_assets.automation.declaring import settle_declarations
from aerocast_assets.feeds import Declaration
from tests.factories.feeds import small_feed
from tests.factories.releases import publish
from tests.factories.tails import grid, write_tail
from tests.harness.server import Server
from tests.harness.waits import until

Start = Callable[..., tuple[Server, httpx.Client]]
SENTENCE = "Feed small is retired: it has not been declared since "
READING = {"station": "AAA", "time": "2024-01-05T00:00:00Z", "t": 41.5}


def declare(home: Path, *feeds: Feed, broken: tuple[str, ...] = ()) -> list[str]:
    """What the platform makes of these being all that is declared."""
    here = [Declaration(feed.name, Path("defs.yaml"), feed) for feed in feeds]
    wrong = [Declaration(name, Path("defs.yaml"), None, ("it is wrong",)) for name in broken]
    return settle_declarations(home, lambda: [*here, *wrong])


@pytest.fixture
def small(tmp_path: Path) -> Feed:
    """A feed that serves temperature and pressure beside noaa."""
    feed = small_feed(Path("x.csv"), targets=["temperature", "pressure"])
    for name in ("temperature", "pressure"):
        publish(tmp_path, feed="small", target=name)
    publish(tmp_path, 1)
    write_tail(tmp_path, "small", JFK=grid("JFK", rows=12))
    write_tail(tmp_path)
    declared.publish(tmp_path, feed)
    return feed


def test_feed_without_declaration_is_refused_by_name_until_declared(
    tmp_path: Path, small: Feed, noaa: Feed, serve: Start
) -> None:
    assert declare(tmp_path, small, noaa, broken=("small",)) == ["noaa: its declaration of now is published"]
    _, client = serve()
    ask, path = {"station": "JFK", "feed": "small"}, "/observations/small"
    assert client.post("/predict", json=ask).status_code == 200
    assert client.post(path, json=READING).status_code == 202
    assert declare(tmp_path, noaa) == ["small is retired: it is no longer declared; its files stay"]
    assert declare(tmp_path, noaa) == []
    until(lambda: client.post("/predict", json=ask).status_code == 410)
    until(lambda: client.post(path, json=READING).status_code == 410)
    for refused in (
        client.post("/predict", json=ask),
        client.post(path, json=READING),
        client.get("/routine-retrain-check", params={"feed": "small"}),
    ):
        assert refused.status_code == 410
        assert refused.json()["detail"].startswith(SENTENCE)
        assert refused.json()["value"] == "small"
    assert client.post("/predict", json={"station": "JFK"}).json()["feed"] == "noaa", (
        "no other feed has the station now"
    )
    health = client.get("/health").json()
    states = {(each["feed"], each["target"]): each["status"] for each in health["releases"]}
    assert states == {
        ("noaa", "temperature"): "ok",
        ("small", "pressure"): "retired",
        ("small", "temperature"): "retired",
    }
    assert health["status"] == "ok"
    assert [(feed["name"], bool(feed["retired"]), len(feed["targets"])) for feed in client.get("/feeds").json()] == [
        ("noaa", False, 1),
        ("small", True, 0),
    ]
    assert release.versions(tmp_path, "small", "temperature"), "its files stay"
    assert declare(tmp_path, small, noaa) == ["small: its declaration of now is published"]
    until(lambda: client.post("/predict", json=ask).status_code == 200)
    until(lambda: client.post(path, json=READING).status_code == 202)


def test_target_without_declaration_is_refused_and_short_history_reported(
    tmp_path: Path, small: Feed, serve: Start
) -> None:
    _, client = serve()
    ask = {"station": "JFK", "feed": "small", "target": "pressure"}
    answer = client.post("/predict", json=ask).json()
    assert answer["degraded"]
    assert [each["detail"] for each in answer["reasons"] if each["code"] == "short_history"] == [
        "pressure is known for 12 of the 48 steps that the model looks back"
    ]
    declare(tmp_path, small_feed(Path("x.csv"), targets=["temperature"]), broken=("noaa",))
    until(lambda: client.post("/predict", json=ask).status_code == 410)
    detail = client.post("/predict", json=ask).json()["detail"]
    assert detail == "Target pressure of feed small is retired: it is no longer declared."
    assert client.post("/predict", json={**ask, "target": "temperature"}).status_code == 200
    feeds = {feed["name"]: feed for feed in client.get("/feeds").json()}
    assert [target["name"] for target in feeds["small"]["targets"]] == ["temperature"]


def test_release_of_other_units_or_steps_is_refused_until_one_fits(tmp_path: Path, serve: Start) -> None:
    publish(tmp_path, 1)
    now = grid("JFK")
    tail.write_grids(tmp_path, "noaa", {"JFK": replace(now, units=("degC", "mph", "hPa"))})
    _, client = serve()
    refused = client.post("/predict", json={"station": "JFK"})
    assert refused.status_code == 503
    units = "was trained on temperature in degF, and the feed's readings are in degC now."
    assert units in refused.json()["detail"]
    health = client.get("/health").json()
    assert health["status"] == "degraded"
    assert units in health["releases"][0]["errors"][0]
    tail.write_grids(tmp_path, "noaa", {"JFK": replace(now, time=now.time[0] + 2 * (now.time - now.time[0]))})
    steps = "was trained on steps of 1 hour, and the feed's readings come in steps of 2 hours now."
    until(lambda: steps in client.post("/predict", json={"station": "JFK"}).text)
    tail.write_grids(tmp_path, "noaa", {"JFK": replace(now, units=("Deg F", "mph", "hpa"))})
    until(lambda: client.post("/predict", json={"station": "JFK"}).status_code == 200)


def test_undeclared_feed_of_home_is_retired(tmp_path: Path, small: Feed) -> None:
    """Also a feed of an older version, which has a release and was never published, and one whose file is damaged."""
    publish(tmp_path, feed="older")
    (tmp_path / "declared/small.json").write_bytes(b"\xff")
    assert len(declare(tmp_path)) == 3
    for name in ("small", "older", "noaa"):
        found = declared.document(tmp_path, name).read()
        assert found
        assert found.retired
        assert found.retired <= datetime.now(UTC)
