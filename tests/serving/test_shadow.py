"""A challenger in the shadow: it answers a share of the requests into the log, and is never felt."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerocast.releases import release
from serving.shadow import is_in_share
from tests.factories.challengers import publish_challenger, write_with_share
from tests.factories.releases import damage, graph, manifest
from tests.factories.tails import write_tail
from tests.harness.server import Server, logged_answers, metric
from tests.harness.waits import until

pytestmark = pytest.mark.e2e  # servers beside a platform

Start = Callable[..., tuple[Server, httpx.Client]]
SHADOW = 'aerocast_shadow_total{feed="noaa",result="%s",target="temperature"}'


def loaded(http: httpx.Client) -> Any:
    return http.get("/health").json()["releases"][0]["challenger"]


def test_challenger_answers_same_request_into_log(tmp_path: Path, serve: Start) -> None:
    champion, other = publish_challenger(tmp_path, 1.0)
    server, http = serve()
    until(lambda: loaded(http) == other)
    bodies = [{"station": "LGA"}, {"sequence": [[40.0, 9.0, 1015.0]] * 5, "time": "2013-07-01T12:00:00Z"}]
    sent = [http.post("/predict", json=body).json() for body in bodies]
    until(lambda: metric(http, SHADOW % "answered") == 2)
    server.process.terminate()
    server.process.wait(60)
    found = {(one.id, one.shadow): one for one in logged_answers(tmp_path)}
    assert len(found) == 4
    for answer in sent:
        own, shadow = found[answer["id"], False], found[answer["id"], True]
        assert (own.version, shadow.version, answer["model"]["version"]) == (champion, other, champion)
        assert [one.value for one in own.forecasts] == [one["value"] for one in answer["forecasts"]]
        assert shadow.forecasts[0].value == pytest.approx(own.forecasts[0].value + 4)
        assert (shadow.station, shadow.origin, shadow.graph) == (own.station, own.origin, own.graph)
        assert (shadow.reasons, shadow.issued_at) == (own.reasons, own.issued_at)


def test_share_of_requests_is_answered_for_same_ids(tmp_path: Path, serve: Start) -> None:
    _, other = publish_challenger(tmp_path, 0.25)
    server, http = serve()
    until(lambda: loaded(http) == other)
    names = [http.post("/predict", json={"station": "JFK"}).json()["id"] for _ in range(400)]
    server.process.terminate()
    server.process.wait(60)
    shadows = {one.id for one in logged_answers(tmp_path) if one.shadow}
    assert shadows == {name for name in names if is_in_share(name, 0.25)}
    assert 60 < len(shadows) < 140


def test_challenger_without_share_is_not_loaded(tmp_path: Path, serve: Start) -> None:
    publish_challenger(tmp_path, 0.0)
    _, http = serve()
    for _ in range(20):
        http.post("/predict", json={"station": "JFK"})
    assert loaded(http) is None
    assert "aerocast_shadow_total{" not in http.get("/metrics").text


def test_failing_challenger_is_counted_and_harmless(tmp_path: Path, serve: Start) -> None:
    """Its declaration has no JFK: it loads, and fails at each such question."""
    made = manifest(2)
    feed = msgspec.structs.replace(made.feed, stations=made.feed.stations[1:], shadow=1.0)
    champion = write_with_share(tmp_path, 1, 1.0, 1.0)
    other = release.write(tmp_path, msgspec.structs.replace(made, feed=feed), {"model.onnx": graph(5.0)})
    release.promote(tmp_path, "noaa", "temperature", champion)
    release.challenge(tmp_path, "noaa", "temperature", other)
    write_tail(tmp_path)
    _, http = serve()
    until(lambda: loaded(http) == other)
    body = {"station": "JFK", "sequence": [[40.0, 9.0, 1015.0]] * 5}
    for _ in range(5):
        assert http.post("/predict", json=body).json()["model"]["version"] == champion
    until(lambda: metric(http, SHADOW % "failed") == 5)
    assert http.get("/health").json()["status"] == "ok"


def test_unloadable_challenger_is_reported_and_harmless(tmp_path: Path, serve: Start) -> None:
    _, other = publish_challenger(tmp_path, 1.0)
    damage(release.folder(tmp_path, "noaa", "temperature") / other / "model.onnx")
    _, http = serve()
    until(lambda: bool(http.get("/health").json()["status"] == "degraded"))
    assert "damaged" in http.get("/health").json()["releases"][0]["errors"][0]
    assert http.post("/predict", json={"station": "JFK"}).status_code == 200


def test_promotion_ends_shadow(tmp_path: Path, serve: Start) -> None:
    _, other = publish_challenger(tmp_path, 1.0)
    _, http = serve()
    until(lambda: loaded(http) == other)
    release.promote(tmp_path, "noaa", "temperature", other)
    until(lambda: bool(http.post("/predict", json={"station": "JFK"}).json()["model"]["version"] == other))
    until(lambda: loaded(http) is None)
    assert http.get("/health").json()["status"] == "ok"


@given(st.uuids(version=4), st.floats(0, 1))
def test_larger_share_contains_smaller_share(name: Any, share: float) -> None:
    assert is_in_share(str(name), 1.0)
    assert not is_in_share(str(name), 0.0)
    if is_in_share(str(name), share):
        assert is_in_share(str(name), min(1.0, share * 1.5))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_share_is_met(share: float) -> None:
    found = Counter(is_in_share(f"{number * 2654435761 % 2**32:08x}", share) for number in range(10_000))
    assert found[True] / 10_000 == pytest.approx(share, abs=0.02)
