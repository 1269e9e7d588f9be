"""A real browser for the tests of the viewer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import FLAGS, chromium_path, settle

playwright = pytest.importorskip("playwright.sync_api")

MISSING = "NO BROWSER FOUND: the viewer is not tested. Install Chromium, or name one in MEDLAB_CHROMIUM."


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if chromium_path() is None:
        terminalreporter.write_sep("!", MISSING, red=True, bold=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for one module: Playwright's event loop must not outlive it, for other tests run loops of their own."""
    path = chromium_path()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """An empty page that fails the test if the viewer's script throws (in a page on disk, or loaded by Jupyter)."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error.stack)))
    opened.set_default_timeout(30_000)
    yield opened
    context.close()
    errors = [stack for stack in errors if "blob:" in stack or "file:" in stack]  # Notebook 7 throws some of its own
    assert not errors, "\n".join(errors)


@pytest.fixture
def show(page: Any, tmp_path: Path) -> Callable[..., Any]:
    """Save a viewer as a page, open that page from disk and wait until all of it is drawn."""

    def opened(viewer: Any) -> Any:
        path = tmp_path / "viewer.html"
        viewer.save_html(path)
        page.goto(path.as_uri())
        page.wait_for_selector(".mlv[data-loaded=all]")
        settle(page)
        return page

    return opened
