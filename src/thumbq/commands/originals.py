"""Originals as commands go through them: where they lie, which keys are some, and many at a time in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from thumbq.commands.files import text_of
from thumbq.core import keys, message
from thumbq.errors import BackendError, NotSent, Problem, SendRefused, SetupError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from thumbq.core.catalog import Catalog
    from thumbq.core.job import JobRequest, ObjectRef
    from thumbq.ports import Backend, ListedObject

T = TypeVar("T")

CONCURRENCY: Final = 32


@dataclass(frozen=True, slots=True)
class FoundOriginal:
    """An original that a command looked for; the id of its new message when it was queued, or the error.

    ``presets`` are those to be made: None where all are.
    """

    source: ObjectRef
    size: int
    modified_at: float
    presets: tuple[str, ...] | None = None
    message_id: str | None = None
    error: str | None = None


def prefixes_of(catalog: Catalog, given: Sequence[str]) -> list[str]:
    """Return the prefixes to search, in order and none inside another.

    They are the given ones; without any, those of uploads, of presigned uploads and of the routes. Raises SetupError
    for a prefix that thumbq itself writes to.
    """
    for prefix in given:
        if catalog.is_output(prefix) or text_of(prefix) != prefix:
            raise SetupError([Problem(f"under {text_of(prefix)} are no originals", "name another --prefix")])
    wanted = given or [keys.UPLOADS_PREFIX, keys.INBOX_PREFIX, *(route.prefix for route in catalog.routes)]
    chosen: list[str] = []
    for prefix in sorted(set(wanted)):
        if not chosen or not prefix.startswith(chosen[-1]):
            chosen.append(prefix)
    return chosen


def is_original(entry: ListedObject, catalog: Catalog) -> bool:
    """Whether this may be an original; an empty object whose key ends in ``/`` marks a folder."""
    return not catalog.is_output(entry.key) and not (entry.size == 0 and entry.key.endswith("/"))


def batches(entries: Sequence[ListedObject], size: int = CONCURRENCY) -> Iterable[Sequence[ListedObject]]:
    """Split what is to be looked at into what is looked at together."""
    return (entries[start : start + size] for start in range(0, len(entries), size))


async def look_at(
    entries: Sequence[ListedObject],
    look: Callable[[ListedObject], Awaitable[T | None]],
    report: Callable[[T], None],
) -> None:
    """Look at all entries together, and report what was found in their order.

    A cancelled call ends its requests first, so that all that was queued is reported. Raises BackendError after that
    too.
    """
    found: dict[str, T | None] = {}
    failures: list[BackendError] = []

    async def one(entry: ListedObject) -> None:
        try:
            found[entry.key] = await look(entry)
        except BackendError as error:
            failures.append(error)

    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as tasks:
            for entry in entries:
                tasks.start_soon(one, entry)
    for entry in entries:
        if (result := found.get(entry.key)) is not None:
            report(result)
    if failures:
        raise failures[0]


async def queued(backend: Backend, request: JobRequest) -> tuple[str | None, str | None]:
    """Send a job's message and return its id, or why it was refused. Raises BackendError."""
    try:
        group = message.group_id(request.source.key) if backend.fifo else None
        return await backend.queue.send(message.encode(request), group=group), None
    except NotSent:
        raise
    except SendRefused as error:
        return None, str(error)
