"""The feeds whose files a package brings: one command in a new home, then the requests of older systems' clients."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import PROJECT
from tests.harness.server import Server

CLIENTS: list[tuple[str, dict[str, Any], dict[str, type]]] = [
    ("airquality", {"site_id": "beijing", "timestamp": "2014-12-31T16:00:00Z"},
     {"site_id": str, "timestamp": str, "pm25_pred": float, "source": str}),
    ("demand", {"temperature": 35.0, "humidity": 40}, {"model_version": str, "predicted_demand": float}),
]  # fmt: skip


def run(home: Path, feed: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "AEROCAST_HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "cli", "run", "--feed", feed]
    return subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True)


@pytest.mark.e2e
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("feed", "request_body", "fields"), CLIENTS, ids=[each[0] for each in CLIENTS])
def test_feed_runs_without_any_file_and_answers_older_clients(
    tmp_path: Path, feed: str, request_body: dict[str, Any], fields: dict[str, type]
) -> None:
    result = run(tmp_path, feed)
    if "could not be installed" in result.stderr + result.stdout:
        pytest.skip("the package that ships the data cannot be fetched here")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]
    with Server(tmp_path) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        (view,) = client.get("/feeds").json()
        answer = client.post(f"/predict?feed={feed}&target={view['targets'][0]['name']}", json=request_body)
        assert answer.status_code == 200, answer.text
        assert {name: type(value) for name, value in answer.json().items()} == fields
        station = view["stations"][0]["id"]
        common = client.post("/predict", json={"feed": feed, "station": station}).json()
        assert len(common["forecasts"]) == 2
        assert all(each["lower"] >= 0 for each in common["forecasts"])


@pytest.mark.parametrize("variable", ["", "/nothing/is/here"])
def test_feed_without_its_files_says_in_one_sentence_what_to_bring(tmp_path: Path, variable: str) -> None:
    from aerocast.common.errors import AeroCastError
    from aerocast_assets.feeds import find_feed

    feed = find_feed("network")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AEROCAST_NETWORK_DATA", raising=False)
        if variable:
            patch.setenv("AEROCAST_NETWORK_DATA", variable)
        with pytest.raises(AeroCastError, match="set AEROCAST_NETWORK_DATA to a folder with a Parquet file a station"):
            feed.source.fingerprint(feed)
