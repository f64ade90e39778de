"""What tests of whole processes share: a feed that is only pushed to, and a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aerocast.feed.declaration import Feed
from tests.factories.feeds import small_feed

if TYPE_CHECKING:
    from selenium import webdriver

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1600,1200"),
)


@pytest.fixture
def push_feed(tmp_path: Path) -> Feed:
    """A feed without a source: readings come through the other channels."""
    return small_feed(tmp_path, source={"kind": "push"})


@pytest.fixture
def browser(tmp_path: Path) -> Iterator["webdriver.Chrome"]:
    """A Chromium without a window; the test is skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no Chromium with its driver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield chrome
    finally:
        chrome.quit()
