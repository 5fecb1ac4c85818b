"""Opening what the settings name: one store, and the queues beside it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import structlog

from thumbq.core import callbackmessage
from thumbq.descriptors import backend_connections
from thumbq.errors import Problem, SetupError
from thumbq.jobs.storeprobe import check_store
from thumbq.process import SystemClock
from thumbq.settings import only_queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from thumbq.ports import Backend
    from thumbq.settings import QueueConfig, Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

NO_BACKEND: Final = """\
thumbq does not know where to keep things. Say one of:
  thumbq serve --local DIR                       files and SQLite in one directory; nothing else needed
  THUMBQ_BUCKET=… THUMBQ_QUEUE=… thumbq serve    S3 and SQS, with AWS's usual variables for the rest
See thumbq serve --help, or thumbq setup to make a bucket and a queue."""


def description(settings: Settings) -> dict[str, Any]:
    """Return what a log says at the start: which version of thumbq works with what."""
    place = {"bucket": settings.bucket} if settings.local is None else {"directory": str(settings.local)}
    queues = [config.own_name for config in settings.queue_configs]
    return {"version": version(), **place, "queues": queues, "processes": settings.processes}


def version() -> str:
    """Return the version of thumbq that this is."""
    try:
        return metadata.version("thumbq")
    except metadata.PackageNotFoundError:  # copied and not installed, as in the zip for Lambda
        return "unknown"


class NoBackend(SetupError):
    """Neither a local directory nor a bucket and a queue are named."""

    def __init__(self) -> None:
        super().__init__(())
        self.args = (NO_BACKEND,)


@asynccontextmanager
async def open_backends(settings: Settings) -> AsyncIterator[tuple[Backend, ...]]:
    """Open and check all that the settings name; returns a Backend for each of ``opened_queues``, over one store.

    A local directory is made when it is missing. Raises SetupError with everything that is wrong, and also when the
    store cannot do what thumbq needs of it.
    """
    async with _opened(settings, settings.opened_queues, events=settings.events, warn=log_warning) as backends:
        checked = await check_store(backends[0].store, backends[0].bucket)
        for problem in checked.warnings:
            log_warning(problem)
        yield tuple(replace(backend, store=checked.store) for backend in backends)


@asynccontextmanager
async def open_backend(settings: Settings, *, existing: bool = False) -> AsyncIterator[Backend]:
    """Open the default queue, and the store (``settings.only_queue`` makes another one the default).

    A local directory is made when it is missing, unless it should be ``existing``. Raises SetupError with everything
    that is wrong.
    """
    if existing:
        _check_directory(settings)
    async with _opened(settings, [settings.default_queue]) as backends:
        yield backends[0]


@asynccontextmanager
async def open_existing(settings: Settings) -> AsyncIterator[tuple[Backend, ...]]:
    """Open each of ``opened_queues`` to look at it: no store is checked, and no directory made. Raises SetupError."""
    _check_directory(settings)
    async with _opened(settings, settings.opened_queues) as backends:
        yield backends


def _check_directory(settings: Settings) -> None:
    if settings.local is not None:
        from thumbq.local import is_local  # noqa: PLC0415 - each start loads only the backend that it uses

        if not is_local(settings.local):
            what = f"there is nothing of thumbq in the directory {settings.local}"
            raise SetupError([Problem(what, "name the directory that thumbq serve --local keeps things in")])


@asynccontextmanager
async def open_for_callbacks(settings: Settings) -> AsyncIterator[Backend]:
    """Open the queue of callbacks, which the settings have, and the store, both existing. Raises SetupError."""
    async with open_backend(only_queue(settings, callbackmessage.QUEUE, or_webhooks=True), existing=True) as backend:
        yield backend


@asynccontextmanager
async def _opened(
    settings: Settings,
    configs: Sequence[QueueConfig],
    *,
    events: Sequence[str] = (),
    warn: Callable[[Problem], None] | None = None,
) -> AsyncIterator[tuple[Backend, ...]]:
    queues = [config.queue for config in configs if config.queue is not None]
    callbacks = settings.webhooks_queue
    if settings.local is not None:
        from thumbq.local import Keeping, open_local_queues  # noqa: PLC0415 - each start loads only the backend that it uses

        async with open_local_queues(
            settings.local,
            clock=SystemClock(),
            queues=[config.queue or "" for config in configs if config != callbacks],
            callbacks=callbacks.queue if callbacks is not None and callbacks in configs else None,
            keeping=Keeping(settings.retention, settings.min_free_bytes),
            warn=warn,
        ) as backends:
            yield backends
    elif settings.bucket is not None and len(queues) == len(configs):
        from thumbq.aws import open_aws_queues  # noqa: PLC0415 - botocore takes a third of a second to import

        async with open_aws_queues(
            bucket=settings.bucket,
            queues=queues,
            connections=backend_connections(settings),
            wait_time_s=max(config.wait_time_s for config in configs),
            events=events,
            warn=warn,
        ) as backends:
            yield backends
    else:
        raise NoBackend


def log_warning(problem: Problem) -> None:
    """Log what an operator should know at the start."""
    log.warning("service.warning", problem=problem.what, fix=problem.fix)
