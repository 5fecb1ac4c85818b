"""Pauses on every backend: the store alone says which queues are paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thumbq.core import keys
from thumbq.core.catalog import Catalog
from thumbq.pauses import Pause, pause, read_pause, resume

if TYPE_CHECKING:
    from thumbq.ports import Backend

pytestmark = pytest.mark.timeout(func_only=True)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_pause_stands_until_it_is_ended_and_is_of_one_queue(backend: Backend) -> None:
    store, bucket = backend.store, backend.bucket
    assert await read_pause(store, bucket, "low") is None
    assert await pause(store, bucket, "low", now=5.0) == Pause(5.0)
    assert await pause(store, bucket, "low", now=6.0) == Pause(5.0)
    assert await read_pause(store, bucket, "low") == Pause(5.0)
    assert await read_pause(store, bucket, "high") is None
    assert await resume(store, bucket, "low") == Pause(5.0)
    assert await read_pause(store, bucket, "low") is None
    assert await resume(store, bucket, "low") is None


def test_the_record_of_a_pause_is_no_original() -> None:
    assert Catalog({}).is_output(keys.pause_key("low"))
