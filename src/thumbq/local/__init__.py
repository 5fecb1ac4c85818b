"""Files and one SQLite database behind the ports: the embedded backend for one machine.

The database is the truth: messages, dead letters and the index of objects. The bytes of objects are files, which
count only while a row names them. Every method returns once its effect would survive kill -9 and power loss.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from thumbq.core import callbackmessage
from thumbq.errors import BackendError, Problem, SetupError
from thumbq.local import messagetable
from thumbq.local.blobs import Blobs
from thumbq.local.condition import Condition
from thumbq.local.database import open_database
from thumbq.local.deadletters import LocalDeadLetters
from thumbq.local.jobqueue import LocalQueue
from thumbq.local.orphans import Orphans
from thumbq.local.presigned import LocalPresignedUploads
from thumbq.local.recovery import Recovery
from thumbq.local.retention import Retention
from thumbq.local.schema import BUCKET, DATABASE_NAME
from thumbq.local.signingsecret import shared_secret
from thumbq.local.store import LocalStore
from thumbq.local.watermark import Watermark
from thumbq.ports import Backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from thumbq.local.database import Database
    from thumbq.ports import Clock

__all__ = ["BUCKET", "Keeping", "is_local", "open_local_queues", "recovering"]


@dataclass(frozen=True, slots=True)
class Keeping:
    """How many days objects are kept, by key prefix, and how much of the disk is kept free of uploads."""

    days: Mapping[str, int] = field(default_factory=dict)
    min_free_bytes: int = 0


def is_local(directory: Path) -> bool:
    """Whether the directory has a backend's database."""
    return (directory / DATABASE_NAME).exists()


@asynccontextmanager
async def open_local_queues(
    directory: Path,
    *,
    clock: Clock,
    queues: Sequence[str],
    callbacks: str | None = None,
    max_receive_count: int = 10,
    keeping: Keeping = Keeping(),
    warn: Callable[[Problem], None] | None = None,
) -> AsyncIterator[tuple[Backend, ...]]:
    """Open the backend of a directory, and make it if it is missing; several processes may share it.

    Returns a Backend for each name in ``queues``, and one for the queue of ``callbacks`` at the end if it is named;
    they share everything but messages and dead letters.
    A queue whose name ends in ``.fifo`` is a FIFO queue. A message that was received ``max_receive_count`` times
    becomes a dead letter of its queue instead of being received again; a callback may be received more often. What is
    older than ``keeping`` says goes while the upkeep runs. ``warn``
    gets a Problem for each queue that has messages and is not opened. Raises SetupError when the directory cannot be
    used; nothing in it is changed then.
    """
    async with _opened(directory) as (database, blobs):
        store = LocalStore(database, blobs, clock)
        orphans = Orphans(database, blobs, clock, Random(), directory=directory)  # noqa: S311 - jitter
        retention = Retention(database, blobs, clock, Random(), days=keeping.days)  # noqa: S311 - jitter
        with _usable(directory):
            secret = await database.write(lambda _: shared_secret(directory))
            waiting = await database.read(messagetable.waiting)
            watermark = Watermark(directory, keeping.min_free_bytes, clock)
            upkeep = _Upkeep(orphans, retention, watermark, Condition(directory))
        if warn is not None:
            for problem in _unopened(waiting, [*queues, callbacks], directory):
                warn(problem)
        presigned = LocalPresignedUploads(secret, clock)
        opened = [messagetable.QueueRules(name, max_receive_count) for name in queues]
        if callbacks is not None:
            opened.append(messagetable.QueueRules(callbacks, callbackmessage.MAX_RECEIVES))
        yield tuple(
            Backend(
                store,
                LocalQueue(database, clock, rules, directory=directory),
                BUCKET,
                LocalDeadLetters(database, clock, rules),
                presigned_uploads=presigned,
                presigned_verifier=presigned,
                fifo=rules.fifo,
                upkeep=upkeep,
            )
            for rules in opened
        )


@dataclass(frozen=True, slots=True)
class _Upkeep:
    """The Upkeep of a directory."""

    orphans: Orphans
    retention: Retention
    watermark: Watermark
    condition: Condition

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.orphans.run)
            tasks.start_soon(self.retention.run)

    async def check_room(self, size: int) -> None:
        await self.watermark.check(size)

    async def check(self) -> None:
        await self.condition.check()


@asynccontextmanager
async def recovering(directory: Path, *, clock: Clock) -> AsyncIterator[Recovery]:
    """Open a directory to bring back files that no row names. Raises SetupError."""
    async with _opened(directory) as (database, blobs):
        orphans = Orphans(database, blobs, clock, Random(), directory=directory)  # noqa: S311 - jitter
        yield Recovery(database, blobs, orphans, clock)


@asynccontextmanager
async def _opened(directory: Path) -> AsyncIterator[tuple[Database, Blobs]]:
    async with open_database(directory) as database:
        blobs = Blobs(directory)
        with _usable(directory):
            await to_thread.run_sync(blobs.prepare)
        yield database, blobs


@contextmanager
def _usable(directory: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, BackendError) as error:
        what = f"the directory {directory} cannot be used: {error}"
        raise SetupError([Problem(what, "see that all of it belongs to this user and the disk has room")]) from error


def _unopened(waiting: Mapping[str, int], queues: Sequence[str | None], directory: Path) -> Iterator[Problem]:
    for name, number in waiting.items():
        if name in queues:
            continue
        what = f"queue {name}" if name else "the queue without a name"
        fix = "name it in [[queues]]" if name else "serve the directory without [[queues]]"
        if name.endswith(callbackmessage.ENDING):
            fix = "write [webhooks] into thumbq.toml"
        count = f"{number} or more" if number == messagetable.COUNTED else number
        yield Problem(f"{what} of {directory} has messages ({count}) and is not served", f"{fix} until it is empty")
