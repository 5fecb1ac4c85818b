from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.servers.web import FaultyBackend, Served, open_faulty, serve
from thumbq.web.app import UploadLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def limits() -> UploadLimits:
    return UploadLimits()


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[FaultyBackend]:
    async with open_faulty(tmp_path) as behind:
        yield behind


@pytest.fixture
async def served(behind: FaultyBackend, limits: UploadLimits) -> AsyncIterator[Served]:
    async with serve(behind, limits) as served:
        yield served
