"""Chromium, by Playwright."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE = {"width": 1200, "height": 860}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The browser."""
    # Of no other environment than this one's.
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        missing = "THE CONSOLE WAS NOT TESTED: Chromium is not installed (apt-get install chromium)"
        if os.environ.get("REQUIRE_CHROMIUM") == "1":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        # Its sandbox does not work for root in a container; it opens nothing but pages of ours.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page, in which nothing must fail: scripts, and what the policy of content refuses."""
    page = browser.new_page(viewport=SIZE)
    page.set_default_timeout(15_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    yield page
    page.close()
    # The browser's own words for answers of 400 and above, which a test may be about.
    assert [error for error in errors if "Failed to load resource" not in error] == []


@pytest.fixture
def screenshot(page: Any) -> Callable[[str], None]:
    """Keep what a page looks like, where the variable SCREENSHOTS names a folder: that of docs."""

    def take(name: str) -> None:
        picture = page.screenshot(animations="disabled")
        if folder := os.environ.get("SCREENSHOTS"):
            Path(folder, name).write_bytes(picture)

    return take
