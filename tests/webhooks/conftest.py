"""Callbacks run over the real local backend, on virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from support.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give each test a loop on virtual time, but for those that wait for sockets."""
    return {"real": asyncio.new_event_loop} if item.get_closest_marker("real_time") else {"virtual": VirtualTimeLoop}
