"""A replica on a directory of its own, for programs of others: browsers, generated clients, a tester of APIs."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from support.programs import missing, module, program, run
from support.replicas.place import opened
from support.servers.front import empty_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from support.replicas.place import Place

_LOCKED: Final = Path(__file__).parent / "npm"
"""Names and versions of the packages from npm."""


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with opened(tmp_path, {"THUMBQ_LOCAL": str(tmp_path / "data")}) as place:
        yield place


@pytest.fixture(scope="session")
def npm(run_directory: Path) -> Path:
    """Return a directory with ``node_modules``, as the lock file has them; all processes of this run share it."""
    directory = run_directory / "npm"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "installed").exists():
            for file in _LOCKED.iterdir():
                shutil.copy(file, directory)
            program("node", "nodejs")
            # No package's own programs run at the installation; esbuild gets along without.
            done = run([program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=directory, seconds=60)
            if done.returncode != 0:
                missing(f"npm cannot get the packages:\n{done.stdout[-2000:]}")
            (directory / "installed").touch()
    return directory


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start Chromium. To it ``rebound.example`` is this machine."""
    playwright: Any = module("playwright.async_api")
    path = program("chromium", "chromium-browser", "google-chrome")
    # As root Chromium starts without its sandbox only.
    arguments = ["--no-sandbox", "--host-resolver-rules=MAP rebound.example 127.0.0.1"]
    async with playwright.async_playwright() as started:
        chromium = await started.chromium.launch(executable_path=path, args=arguments)
        try:
            yield chromium
        finally:
            await chromium.close()


@pytest.fixture
async def other_port() -> AsyncIterator[int]:
    """Serve an empty page, of another origin than thumbq's, on loopback; return its port."""
    async with empty_page() as port:
        yield port
