"""Having the server move all dead letters back to the queue (Amazon SQS API Reference, StartMessageMoveTask)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.ports import Backend, DeadLetters, MoveProgress

_LOOK_EVERY_S: Final = 1
_NOTE_BYTES: Final = 16 << 10


async def move_all(dead_letters: DeadLetters, rate: int | None, report: Callable[[MoveProgress], None]) -> bool:
    """Have the server move all dead letters; ``report`` gets its progress. Returns False when it does not do that.

    A cancelled call leaves the move running.
    """
    with anyio.CancelScope(shield=True):
        handle = await dead_letters.start_move(rate=rate)
    if handle is None:
        return False
    while True:
        progress = await dead_letters.move_progress(handle)
        report(progress)
        if progress.ended:
            return True
        await anyio.sleep(_LOOK_EVERY_S)


async def has_cut_bodies(backend: Backend, dead_letters: DeadLetters) -> bool:
    """Whether a dead letter may contain only a part of its body: moved by the server, it would be a broken job.

    A body that was cut is in the store, in a record nearly as large as a message can be, or larger.
    """
    after = ""
    while page := await backend.store.list(backend.bucket, prefix=keys.FAILED_MESSAGES_PREFIX, after=after):
        if any(record.size > dead_letters.max_bytes - _NOTE_BYTES for record in page):
            return True
        after = page[-1].key
    return False
