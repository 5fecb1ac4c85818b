"""Renders that hang, crash and eat memory among good ones, through the whole worker and real child processes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import anyio
import pytest

from support.doubles.consuming import consuming, dead_letters, record, settled
from support.processes.marked_pool import marked_pool
from support.replicas.replica import alive
from thumbq.core import keys
from thumbq.core.job import ObjectRef

if TYPE_CHECKING:
    from pathlib import Path

    from thumbq.core.manifest import Manifest
    from thumbq.ports import Backend

GOOD = 500
# What never ends is waited for twice.
BAD = [b"hold"] * 2 + [b"spin"] + [b"signal SIGSEGV", b"signal SIGKILL", b"eat"] * 4
REASONS = Counter({"decode-timeout": 3, "render-crashed": 8, "out-of-memory": 4})


async def outcome(backend: Backend, key: str) -> Manifest:
    found = await record(backend, key)
    assert found is not None, key
    return found


@pytest.mark.real_time
@pytest.mark.long
async def test_bad_renders_cost_the_good_ones_no_attempt_and_are_buried_with_their_reasons(
    backend: Backend, tmp_path: Path
) -> None:
    marks = {f"uploads/good-{number}": b"ok" for number in range(GOOD)}
    marks |= {f"uploads/bad-{number}": mark for number, mark in enumerate(BAD)}
    # Many at a time, as they share commits then, but in this order, which has the bad ones among the good ones.
    waiting = iter(sorted(marks, key=lambda key: key[::-1]))

    async def send() -> None:
        for key in waiting:
            await backend.store.put(ObjectRef(backend.bucket, key), marks[key], content_type="image/jpeg")
            await backend.queue.send(key)

    async with anyio.create_task_group() as senders:
        for _ in range(16):
            senders.start_soon(send)
    async with marked_pool(processes=2, timeout_s=2, memory_limit_bytes=256 << 20) as pool:
        async with consuming(backend, pool, concurrency=14, processes=2):
            await settled(backend, dead=len(BAD), within_s=100)
        assert len(pool.pids()) == 2
        assert all(map(alive, pool.pids()))
    good = [await outcome(backend, key) for key in marks if "good" in key]
    assert {(found.status, found.receive_count) for found in good} == {("done", 1)}
    bad = [await outcome(backend, key) for key in marks if "bad" in key]
    assert Counter(found.error.code for found in bad if found.error) == REASONS
    assert Counter(note["code"] for _, note in dead_letters(tmp_path)) == REASONS
    assert await backend.store.list(backend.bucket, prefix=keys.CRASH_RECORDS_PREFIX) == []
