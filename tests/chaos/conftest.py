"""Real replicas, real emulators, real faults."""

from __future__ import annotations

import os
import secrets
import uuid
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import aiohttp
import anyio
import pytest

import emulators
from emulators import aws_environment, without_aws
from faultproxy import fault_proxy
from place import Place
from replica import THUMBQ

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from faultproxy import FaultProxy

LONG_FORM_S = 1800


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if config.getoption("chaos") == "full" and item.get_closest_marker("chaos"):
            item.add_marker(pytest.mark.timeout(LONG_FORM_S), append=False)


@pytest.fixture
def form(request: pytest.FixtureRequest) -> str:
    """Return what was asked for, the "short" form or the "full" one."""
    return str(request.config.getoption("chaos"))


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str, object], None]:
    """Give a figure of the test, which is printed at the end of the run."""
    return record_property


@pytest.fixture
def random(figure: Callable[[str, object], None]) -> Random:
    """Return the source of all that is random here; CHAOS_SEED gives the seed of an earlier run."""
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbits(32))
    figure("CHAOS_SEED", seed)
    return Random(seed)


@pytest.fixture(scope="session")
def ministack() -> Iterator[str]:
    try:
        with emulators.ministack_server() as url:
            yield url
    except emulators.EmulatorMissing as missing:
        if os.environ.get("REQUIRE_MINISTACK") == "1":
            raise
        pytest.skip(str(missing))


@pytest.fixture
async def proxy(ministack: str, random: Random) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(ministack, random) as opened:
        yield opened


@pytest.fixture
async def place(ministack: str, tmp_path: Path) -> AsyncIterator[Place]:
    """Make a bucket and a queue on the emulator itself; replicas are given the proxy's endpoints."""
    name = f"t-{uuid.uuid4().hex}"
    environment = aws_environment(ministack) | {"THUMBQ_BUCKET": name, "THUMBQ_QUEUE": name}
    await anyio.run_process([THUMBQ, "setup"], env=without_aws(os.environ) | environment)
    async with _opened(Place(tmp_path, environment)) as opened:
        yield opened


@asynccontextmanager
async def _opened(place: Place) -> AsyncIterator[Place]:
    async with aiohttp.ClientSession() as place.session:
        try:
            yield place
        finally:
            place.close()


@pytest.fixture
async def local_place(tmp_path: Path) -> AsyncIterator[Place]:
    async with _opened(Place(tmp_path, {"THUMBQ_LOCAL": str(tmp_path / "data")})) as opened:
        yield opened
