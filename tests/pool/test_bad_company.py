"""Many good renders among hanging, crashing and memory-eating ones."""

from __future__ import annotations

import random

import anyio
import pytest

from support.patience import until, within
from support.processes.marked_pool import MIB, children_of, marked_pool, parent, render, whole
from thumbq.errors import RenderKilled, RenderRefused, ThumbqError

BAD = {
    b"hold": (RenderKilled, "decode-timeout"),
    b"spin": (RenderKilled, "decode-timeout"),
    b"signal SIGXCPU": (RenderKilled, "decode-timeout"),
    b"signal SIGSEGV": (RenderKilled, "render-crashed"),
    b"signal SIGKILL": (RenderKilled, "render-crashed"),
    b"exit 1": (RenderKilled, "render-crashed"),
    b"raise": (RenderKilled, "render-crashed"),
    b"eat": (RenderRefused, "out-of-memory"),
}
KILLS = list(BAD)


async def test_20_bad_renders_among_500_good_ones_cost_themselves_only() -> None:
    marks = [b"ok"] * 500 + [KILLS[number % len(KILLS)] for number in range(20)]
    random.shuffle(marks)  # the plugin for random order seeds it
    good, bad = 0, list[tuple[bytes, type, str]]()
    async with marked_pool(processes=3, timeout_s=1, memory_limit_bytes=160 * MIB) as pool:
        server = parent(pool.pids()[0])

        async def one(mark: bytes) -> None:
            nonlocal good
            try:
                await render(pool, mark)
                good += 1
            except (RenderKilled, RenderRefused) as error:
                bad.append((mark, type(error), error.code))
            assert len(pool.pids()) <= 3

        with within(25):
            async with anyio.create_task_group() as tasks:
                for mark in marks:
                    tasks.start_soon(one, mark)
        assert good == 500
        assert sorted(mark for mark, _, _ in bad) == sorted(mark for mark in marks if mark != b"ok")
        # A host that is busy may take the second that a render has for the end of its process.
        late = (RenderKilled, "decode-timeout")
        assert all((kind, code) in {BAD[mark], late} for mark, kind, code in bad)
        processes = set(await whole(pool, 3))
        await until(lambda: children_of(server) == processes, within_s=1, what="the end of all others")
    assert children_of(server) == set()


@pytest.mark.parametrize("mark", KILLS)
async def test_after_each_kind_of_kill_the_pool_has_its_size_again(mark: bytes) -> None:
    timeout_s = 0.3 if BAD[mark][1] == "decode-timeout" else 20
    async with marked_pool(processes=2, timeout_s=timeout_s, memory_limit_bytes=160 * MIB) as pool:
        before = set(pool.pids())
        with pytest.raises(ThumbqError) as raised:
            await render(pool, mark)
        assert (type(raised.value), getattr(raised.value, "code", None)) == BAD[mark]
        assert len(set(await whole(pool, 2)) & before) == 1
