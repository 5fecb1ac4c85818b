"""The places of the end-to-end tests: each claim holds on the local backend and on S3 and SQS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.replicas.place import opened, set_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.replicas.forker import Forker
    from support.replicas.place import Place


@pytest.fixture(params=["local", "aws"])
async def place(request: pytest.FixtureRequest, tmp_path: Path, forker: Forker | None) -> AsyncIterator[Place]:
    if request.param == "local":
        environment = {"THUMBQ_LOCAL": str(tmp_path / "data")}
    else:
        emulator = "ministack_url" if request.param == "ministack" else "moto_url"
        environment = await set_up(request.getfixturevalue(emulator))
    async with opened(tmp_path, environment, forker) as place:
        yield place
