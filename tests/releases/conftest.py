"""What older releases wrote, put back where this one works on it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give each test a loop on virtual time, but for those that wait for sockets or processes."""
    return {"real": asyncio.new_event_loop} if item.get_closest_marker("real_time") else {"virtual": VirtualTimeLoop}


@pytest.fixture(params=sorted(Path(__file__).parent.glob("*.json")), ids=lambda path: path.stem)
def written(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what a release wrote; ``write.py`` says what that is."""
    loaded: dict[str, Any] = json.loads(request.param.read_text())
    return loaded
