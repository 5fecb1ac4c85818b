"""Backends with one queue, as most tests need them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from thumbq.aws import open_aws_queues
from thumbq.local import open_local_queues

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from thumbq.ports import Backend, Clock


@asynccontextmanager
async def open_aws(*, bucket: str, queue: str, connections: int = 50, wait_time_s: int = 20) -> AsyncIterator[Backend]:
    """Open a bucket and one queue; see ``open_aws_queues``."""
    async with open_aws_queues(
        bucket=bucket, queues=[queue], connections=connections, wait_time_s=wait_time_s
    ) as opened:
        yield opened[0]


@asynccontextmanager
async def open_local(directory: Path, *, clock: Clock, max_receive_count: int = 10) -> AsyncIterator[Backend]:
    """Open the backend of a directory that has one queue; see ``open_local_queues``."""
    async with open_local_queues(directory, clock=clock, queues=("",), max_receive_count=max_receive_count) as opened:
        yield opened[0]
