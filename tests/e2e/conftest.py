"""The places of the end-to-end tests: each claim holds on the local backend and on S3 and SQS."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import aiohttp
import anyio
import pytest

from emulators import aws_environment, moto_server, without_aws
from place import Place
from replica import THUMBQ

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["local", "aws"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "local":
        environment = {"THUMBQ_LOCAL": str(tmp_path / "data")}
    else:
        name = f"t-{uuid.uuid4().hex}"
        names = {"THUMBQ_BUCKET": name, "THUMBQ_QUEUE": name}
        environment = aws_environment(request.getfixturevalue("moto")) | names
        await anyio.run_process([THUMBQ, "setup"], env=without_aws(os.environ) | environment)
    place = Place(tmp_path, environment)
    async with aiohttp.ClientSession() as place.session:
        try:
            yield place
        finally:
            place.close()
