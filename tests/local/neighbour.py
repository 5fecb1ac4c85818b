"""Another process on the same directory, for tests: ``python neighbour.py DIRECTORY ROLE [NAME]``.

Everything it did is told on its standard output, a line each, once it is certain.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.doubles.clocks import SystemClock
from thumbq.core.job import ObjectRef
from thumbq.local import open_local_queues

if TYPE_CHECKING:
    from thumbq.ports import Backend


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def write(backend: Backend, life: str) -> None:
    """Put and send for ever, as uploads do, and overwrite one object again and again."""

    async def writer(name: str) -> None:
        for number in range(sys.maxsize):
            ref = ObjectRef(backend.bucket, f"{name}/{number}")
            await backend.store.put(ref, f"{ref.key} ".encode() * 4000, content_type="text/plain", if_absent=True)
            tell(f"put {ref.key}")
            await backend.queue.send(ref.key)
            tell(f"sent {ref.key}")
            await backend.store.put(ObjectRef(backend.bucket, name), b"%d" % number, content_type="text/plain")
            tell(f"wrote {name} {number}")

    async with asyncio.TaskGroup() as tasks:
        for letter in "abcd":
            tasks.create_task(writer(letter + life))


async def consume(backend: Backend, _: str) -> None:
    """Receive a first batch; on a line of standard input go on until nothing has come for a second."""
    batch = await backend.queue.receive(max_messages=3, wait_s=1, visibility_timeout_s=60)
    tell("ready")
    await asyncio.to_thread(sys.stdin.readline)
    while batch:
        await backend.queue.delete([message.receipt for message in batch])
        for message in batch:
            tell(message.id)
        batch = await backend.queue.receive(max_messages=3, wait_s=1, visibility_timeout_s=60)


async def send(backend: Backend, _: str) -> None:
    """Send a message with the time in it for every line of standard input."""
    tell("ready")
    while await asyncio.to_thread(sys.stdin.readline):
        await backend.queue.send(repr(time.monotonic()))


async def follow(backend: Backend, _: str) -> None:
    """On a line of standard input work until the queue is empty; tell when the work on each message begins."""
    tell("ready")
    await asyncio.to_thread(sys.stdin.readline)
    counts = await backend.queue.counts()
    while counts.visible + counts.in_flight:
        for message in await backend.queue.receive(max_messages=3, wait_s=1, visibility_timeout_s=3):
            tell(f"{time.monotonic()!r} {message.body}")
            await backend.queue.delete([message.receipt])
        counts = await backend.queue.counts()


async def main(directory: str, role: str, name: str = "") -> None:
    queue = name if role == "follow" else ""
    async with open_local_queues(Path(directory), clock=SystemClock(), queues=(queue,)) as (backend,):
        await {"write": write, "consume": consume, "send": send, "follow": follow}[role](backend, name)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
