"""The worker's tests run over the real local backend, on virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.backends import open_local
from support.doubles.clocks import SystemClock
from support.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from thumbq.ports import Backend


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give each test a loop on virtual time, but for those that wait for sockets or processes."""
    return {"real": asyncio.new_event_loop} if item.get_closest_marker("real_time") else {"virtual": VirtualTimeLoop}


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_local(tmp_path / "data", clock=SystemClock()) as opened:
        yield opened
