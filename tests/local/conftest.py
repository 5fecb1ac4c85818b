from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.backends import open_local
from support.doubles.clocks import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from thumbq.ports import Backend


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def backend(directory: Path) -> AsyncIterator[Backend]:
    async with open_local(directory, clock=SystemClock()) as opened:
        yield opened
