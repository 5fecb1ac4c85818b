"""One pool of two children that do what marks say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import marked_render
from thumbq.pool import RenderPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def pool() -> AsyncIterator[RenderPool]:
    async with RenderPool(
        processes=2, memory_limit_bytes=512 << 20, timeout_s=20, render=marked_render.render
    ) as running:
        yield running
