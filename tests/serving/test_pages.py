"""The pages that people open: nothing of them comes from another host, and no text in them becomes a script."""

import re
import shutil
from pathlib import Path

import httpx
import msgspec
import pytest
from litestar.testing import TestClient

from aerocast.contracts.manifest import StationInfo
from aerocast.releases import release
from serving import pages
from serving.app import create_app
from tests.factories.releases import graph, manifest
from tests.harness.problems import problem_of

HOSTILE = "</script><script>document.title = 'caught'</script>"
OTHER_HOST = re.compile(r"""(?:src|href)=["'](?:https?:)?//""")


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of one file, wherever the tests run."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "schema.js").write_text("'api'")
    monkeypatch.setattr(pages, "FOLDER", folder)
    return folder


def test_page_needs_no_other_host_and_only_scripts_it_names(tmp_path: Path, built: Path) -> None:
    with TestClient(create_app(tmp_path, 0.5, None), base_url="http://127.0.0.1") as client:
        page = client.get("/schema")
        assert page.text == client.get("/docs", follow_redirects=True).text
    assert "SwaggerUIBundle" in page.text
    assert OTHER_HOST.findall(page.text) == []
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'self' 'sha256-[\w+/]{43}='; ", policy)


def test_text_of_home_ends_no_script(tmp_path: Path, built: Path) -> None:
    place = tmp_path / "served"
    place.mkdir()
    made = manifest()
    feed = msgspec.structs.replace(made.feed, stations=(StationInfo(HOSTILE, HOSTILE, "UTC"),))
    version = release.write(place, msgspec.structs.replace(made, feed=feed), {"model.onnx": graph()})
    release.promote(place, made.feed.name, made.target, version)
    with TestClient(create_app(place, 0.5, None), base_url="http://127.0.0.1") as client:
        page = client.get("/schema").text
    assert HOSTILE.replace("<", "\\u003c") in page
    assert HOSTILE not in page


def test_without_bundle_page_says_how_to_build_it(tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(built)
    with TestClient(create_app(tmp_path, 0.5, None), base_url="http://127.0.0.1") as client:
        assert "make setup" in client.get("/schema").text
        assert client.get("/schema/openapi.json").status_code == 200
        problem_of(client.get("/bundle/schema.js"), 404, "not-found")


@pytest.mark.parametrize(
    "name", ["none.js", "../app.py", "%2e%2e/app.py", "..%2fapp.py", "", "%3Fa%00x", "%00", "x" * 300, "%DC%CA"]
)
def test_only_files_of_bundle_are_served(http: httpx.Client, name: str) -> None:
    problem_of(http.get(f"/bundle/{name}"), 404, "not-found")


def test_file_of_bundle_is_asked_for_again(tmp_path: Path, built: Path) -> None:
    with TestClient(create_app(tmp_path, 0.5, None), base_url="http://127.0.0.1") as client:
        answer = client.get("/bundle/schema.js")
    assert answer.text == "'api'"
    assert answer.headers["cache-control"] == "no-cache"
    assert "javascript" in answer.headers["content-type"]


def test_first_page_runs_only_files_of_bundle(tmp_path: Path, built: Path) -> None:
    (built / "index.html").write_text('<!doctype html><script src="/bundle/page.js" defer></script>')
    with TestClient(create_app(tmp_path, 0.5, None), base_url="http://127.0.0.1") as client:
        page = client.get("/")
    assert "/bundle/page.js" in page.text
    assert "script-src 'self';" in page.headers["content-security-policy"]
