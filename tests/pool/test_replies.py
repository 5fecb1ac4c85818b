"""What the parent makes of a process's answers when hostile code has written them."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures.process import _ResultItem
from dataclasses import replace
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import pytest

from support.patience import within
from support.processes import hostile_render
from support.processes.marked_pool import MIB, ONE_PROCESS, gone, render, whole
from thumbq.core.preset import THUMBNAIL, Preset
from thumbq.errors import Problem, RenderKilled
from thumbq.imaging import Refusal
from thumbq.pool.executor import ReplyQueue
from thumbq.pool.renderpool import RenderPool
from thumbq.pool.replies import Done, Failed, decode, encode
from thumbq.ports import NotMade, Rendered, RenderedImage, Steps

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Preset(name="small", format="webp", width=10)
PRESETS = [THUMBNAIL, SMALL]
DONE = Done(
    Rendered(
        "JPEG",
        4000,
        3000,
        (
            RenderedImage("thumbnail", b"", 100, 75, "image/jpeg", steps=Steps(6, "embedded", None, 1, "1/8")),
            RenderedImage("small", b"", 10, 8, "image/webp", frames=3),
        ),
        dominant_color="#aabbcc",
    ),
    (5, 7),
)
FIRST, SECOND = DONE.rendered.images
NOT_MADE = NotMade("small", "too-large", "it would take 600 MiB")
PARTLY = Done(replace(DONE.rendered, images=(FIRST,), not_made=(NOT_MADE,)), (5,))


def with_images(*images: RenderedImage) -> Done:
    return replace(DONE, rendered=replace(DONE.rendered, images=images))


@pytest.mark.parametrize("reply", [DONE, PARTLY, Refusal("corrupt", "çut 'off'"), Failed("ValueError: no")])
def test_a_reply_comes_back_as_it_was_sent(reply: Done | Refusal | Failed) -> None:
    body_bytes = sum(reply.sizes) if isinstance(reply, Done) else 0
    assert decode(encode(reply), PRESETS, body_bytes) == reply


def test_a_text_that_is_no_unicode_comes_back_readable() -> None:
    assert decode(encode(Failed("a\udcffb")), PRESETS, 0) == Failed("a?b")


@pytest.mark.parametrize(
    "reply",
    [
        with_images(FIRST),
        with_images(SECOND, FIRST),
        with_images(FIRST, replace(SECOND, preset="avatar")),
        with_images(FIRST, replace(SECOND, content_type="text/html")),
        replace(DONE, rendered=replace(DONE.rendered, not_made=(NotMade("small", "too-large", "dear"),))),
        replace(
            DONE, rendered=replace(DONE.rendered, images=(FIRST,), not_made=(NotMade("avatar", "too-large", "dear"),))
        ),
        replace(DONE, rendered=replace(DONE.rendered, images=(FIRST,), not_made=(NOT_MADE, NOT_MADE)), sizes=(5,)),
        replace(
            DONE,
            rendered=replace(DONE.rendered, images=(), not_made=(replace(NOT_MADE, preset="thumbnail"), NOT_MADE)),
            sizes=(),
        ),
        replace(DONE, sizes=(5, 8)),
        replace(DONE, sizes=(5, 6)),
        replace(DONE, sizes=(-5, 7)),
        replace(DONE, sizes=(5, 7, 0)),
    ],
)
def test_a_reply_that_is_not_about_the_job_is_a_failure(reply: Done) -> None:
    assert decode(encode(reply), PRESETS, 12) == Failed("its answer is not what was asked for")


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[]", b'{"text": {}}', b'{"text": 1}', 5, None, ["x"]])
def test_a_reply_that_makes_no_sense_is_a_failure(raw: object) -> None:
    assert decode(raw, PRESETS, 12) == Failed("its answer makes no sense")


@pytest.fixture
def replies() -> ReplyQueue:
    return ReplyQueue(ctx=multiprocessing.get_context("forkserver"))


def received(replies: ReplyQueue, item: object) -> _ResultItem:
    replies.put(item)
    answer: _ResultItem = replies._reader.recv()
    return answer


@pytest.mark.parametrize("result", [b"{}", None, Problem("no sandbox", "install it")])
def test_what_a_process_sends_when_all_is_well_gets_through(replies: ReplyQueue, result: object) -> None:
    assert received(replies, _ResultItem(7, result=result)).result == result


@pytest.mark.parametrize("error", [MemoryError("m"), ImportError("i"), RuntimeError("r")])
def test_what_goes_wrong_at_the_start_gets_through(replies: ReplyQueue, error: Exception) -> None:
    assert repr(received(replies, _ResultItem(7, exception=error)).exception) == repr(error)


@pytest.mark.parametrize(
    "item",
    [
        4711,
        _ResultItem("7"),  # type: ignore[arg-type]
        _ResultItem([]),  # type: ignore[arg-type]
        _ResultItem(7, exit_pid=1),
        _ResultItem(7, exception="no exception"),  # type: ignore[arg-type]
        _ResultItem(7, exception=SystemExit()),  # type: ignore[arg-type]
        _ResultItem(7, exception=RenderKilled("a", "b")),
        _ResultItem(7, result=hostile_render.Evil("/tmp/thumbq-evil")),
        _ResultItem(7, result=eval),
    ],
)
def test_nothing_else_gets_through(replies: ReplyQueue, item: object) -> None:
    with pytest.raises(UnpicklingError):
        received(replies, item)


def test_an_answer_that_begins_too_long_is_not_waited_for(replies: ReplyQueue) -> None:
    os.write(replies._writer.fileno(), (2 * MIB).to_bytes(4, "big"))
    with pytest.raises(OSError, match="length"):
        replies._reader.recv()


@pytest.mark.usefixtures("way")
async def test_a_pickle_that_runs_code_costs_the_process_its_life_and_the_parent_nothing(tmp_path: Path) -> None:
    target = tmp_path / "made-by-a-pickle"
    async with RenderPool(ONE_PROCESS, render=hostile_render.render) as pool:
        (before,) = pool.pids()
        with pytest.raises(RenderKilled) as killed:
            await render(pool, f"answer evil {target}".encode())
        assert killed.value.code == "render-crashed"
        await gone(before)
        await whole(pool, 1)
    assert not target.exists()


@pytest.mark.usefixtures("way")
async def test_a_process_cannot_end_its_parent_by_leaving() -> None:
    async with RenderPool(ONE_PROCESS, render=hostile_render.render) as pool:
        with pytest.raises(RenderKilled):
            await render(pool, b"answer leave")
        await whole(pool, 1)


@pytest.mark.usefixtures("way")
async def test_half_an_answer_holds_up_neither_the_deadline_nor_the_end_of_the_pool() -> None:
    with within(5):
        async with RenderPool(replace(ONE_PROCESS, timeout_s=0.3), render=hostile_render.render) as pool:
            with pytest.raises(RenderKilled, match="longer than"):
                await render(pool, b"answer half")
