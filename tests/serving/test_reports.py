"""Pictures of reports over HTTP: those of the home's folder, and nothing else of the disk."""

import os
from pathlib import Path

import httpx
import pytest

from tests.harness.problems import problem_of
from tests.harness.server import Server

PNG = b"\x89PNG\r\n\x1a\n a picture"


@pytest.fixture(scope="module")
def reports(shared_server: Server) -> Path:
    """The target's folder of pictures: one, and what is none."""
    assert isinstance(shared_server.home, Path)
    folder = shared_server.home / "reports/noaa/temperature"
    folder.mkdir(parents=True)
    (folder / "drift.png").write_bytes(PNG)
    (folder / "drift.json").write_text("{}")
    (folder / "folder.png").mkdir()
    (folder / "outside.png").symlink_to(shared_server.home / "releases/noaa/temperature/current.json")
    (folder / "circle.png").symlink_to("circle.png")
    os.mkfifo(folder / "pipe.png")
    with (folder / "huge.png").open("wb") as stream:
        stream.truncate(1 << 34)
    return folder


def test_picture_of_home_is_served(http: httpx.Client, reports: Path) -> None:
    answer = http.get("/reports/noaa/temperature/drift.png")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/png", PNG)


NAMES = ["none.png", "drift.json", "folder.png", "outside.png", "circle.png", "pipe.png", "huge.png", "%2e%2e"]
NAMES += [
    "..%2f..%2f..%2fdrift.png",
    "%00.png",
    "drift.png%00",
    ".lock",
    "%ed%a0%80.png",
    "DRIFT.PNG",
    "a" * 300 + ".png",
]


@pytest.mark.parametrize("name", NAMES)
def test_other_paths_are_404(http: httpx.Client, reports: Path, name: str) -> None:
    problem_of(http.get(f"/reports/noaa/temperature/{name}"), 404, "no-picture" if "%2f" not in name else "not-found")
    assert http.get("/reports/%2e%2e/releases/drift.png").status_code == 404
