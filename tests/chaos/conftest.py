"""Real replicas, real emulators, real faults."""

from __future__ import annotations

import os
import secrets
from random import Random
from typing import TYPE_CHECKING

import pytest

from support.replicas.place import opened, set_up
from support.servers.fault_proxy import fault_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from support.replicas.forker import Forker
    from support.replicas.place import Place
    from support.servers.fault_proxy import FaultProxy

LONG_FORM_S = 1800


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if config.getoption("chaos") == "full" and item.get_closest_marker("chaos"):
            item.add_marker(pytest.mark.timeout(LONG_FORM_S), append=False)


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


@pytest.fixture
async def proxy(ministack_url: str, random: Random) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(ministack_url, random) as opened:
        yield opened


@pytest.fixture
async def place(ministack_url: str, tmp_path: Path, forker: Forker | None) -> AsyncIterator[Place]:
    """Make a bucket and a queue on the emulator itself; replicas are given the proxy's endpoints."""
    async with opened(tmp_path, await set_up(ministack_url), forker) as place:
        yield place


@pytest.fixture
async def local_place(tmp_path: Path, forker: Forker | None) -> AsyncIterator[Place]:
    async with opened(tmp_path, {"THUMBQ_LOCAL": str(tmp_path / "data")}, forker) as place:
        yield place
