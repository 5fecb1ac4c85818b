"""The backend that the worker's tests run over: the real local one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.doubles.clocks import SystemClock
from thumbq.local import open_local

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from thumbq.ports import Backend


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with open_local(tmp_path / "data", clock=SystemClock()) as opened:
        yield opened
