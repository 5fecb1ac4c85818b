"""Chromium on the page of a real replica. It is skipped where there is none, but not in .ci/run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from page.visit import Visit
from support.programs import module, program
from support.replicas.place import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from playwright.async_api import Browser

    from support.replicas.place import Place


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with opened(tmp_path, {"THUMBQ_LOCAL": str(tmp_path / "data")}) as place:
        yield place


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    playwright: Any = module("playwright.async_api")
    path = program("chromium", "chromium-browser", "google-chrome")
    async with playwright.async_playwright() as started:
        # As root Chromium starts without its sandbox only. Names of tests are this machine.
        args = ["--no-sandbox", "--host-resolver-rules=MAP *.test 127.0.0.1"]
        chromium = await started.chromium.launch(executable_path=path, args=args)
        try:
            yield chromium
        finally:
            await chromium.close()


@pytest.fixture
async def visit(browser: Browser) -> AsyncIterator[Callable[..., Any]]:
    """Return what opens an address in a browser of its own. At the end nothing may have gone wrong in any of them."""
    visits: list[Visit] = []

    async def open_page(url: str, **context: Any) -> Visit:
        made = await Visit.begin(browser, url, **context)
        visits.append(made)
        return made

    yield open_page
    for each in visits:
        each.check()
