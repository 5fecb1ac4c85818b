from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import anyio
import pytest

from support.patience import within
from thumbq.process import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def at_hangups() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("at_hangups")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_asks_for_the_stop(number: signal.Signals) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    stop = Stop()
    async with anyio.create_task_group() as tasks:
        await tasks.start(stop.watch)
        os.kill(os.getpid(), number)
        with within(5):
            await stop.asked.wait()
        tasks.cancel_scope.cancel()
    assert stop.start.cancel_called


@pytest.mark.usefixtures("at_hangups")
async def test_a_service_that_reads_files_again_at_a_hangup_does_not_stop_at_it() -> None:
    before = signal.getsignal(signal.SIGHUP)
    stop = Stop(hangups=False)
    async with anyio.create_task_group() as tasks:
        await tasks.start(stop.watch)
        assert signal.getsignal(signal.SIGHUP) == before
        os.kill(os.getpid(), signal.SIGTERM)
        with within(5):
            await stop.asked.wait()
        tasks.cancel_scope.cancel()


async def test_a_stop_is_known_to_begin_while_the_event_loop_hangs() -> None:
    begun: list[None] = []
    async with anyio.create_task_group() as tasks:
        await tasks.start(Stop(lambda: begun.append(None)).watch)
        os.kill(os.getpid(), signal.SIGTERM)
        assert begun == [None]  # and the loop has not run since
        tasks.cancel_scope.cancel()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.usefixtures("at_hangups")
async def test_a_hangup_that_was_ignored_at_the_start_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = Stop()
    async with anyio.create_task_group() as tasks:
        await tasks.start(stop.watch)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGHUP)
        await anyio.wait_all_tasks_blocked()
        assert not stop.asked.is_set()
        tasks.cancel_scope.cancel()
