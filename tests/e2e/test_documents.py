"""Runs every command of README and docs in a fresh copy of the project, with a home of its own, page by page."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.documents import PAGES, Site, sections, shape


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "aerocast")
    yield site
    site.stop()


@pytest.mark.parametrize("pages", PAGES.values(), ids=PAGES)
def test_commands_run_and_print_what_the_page_shows(site: Site, pages: tuple[str, ...]) -> None:
    for page in pages:
        for section in sections(page):
            run(site, page, section)
            site.stop()


def run(site: Site, page: str, section: list[tuple[str, str, str]]) -> None:
    printed = ""
    for language, how, text in section:
        if language == "bash" and how == "up":
            site.start(text)
        elif language == "bash" and how in ("", "quick"):
            printed = site.run(text)
        elif how == "output":
            missing = [line for line in map(shape, text.splitlines()) if line not in shape(printed)]
            assert missing == [], f"{page} shows what the command does not print:\n{printed[-3000:]}"
