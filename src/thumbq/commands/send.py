"""What `thumbq send` does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread

from thumbq.backends import open_backend
from thumbq.commands import files
from thumbq.commands.files import text_of
from thumbq.core import keys
from thumbq.errors import Problem, SetupError, ThumbqError, UploadRefused
from thumbq.intake.uploads import make_upload_intake
from thumbq.webhooks.making import callback_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thumbq.core.uploadoptions import UploadOptions
    from thumbq.intake.uploads import UploadIntake
    from thumbq.settings import Settings

SEND_CONCURRENCY: Final = 8


@dataclass(frozen=True, slots=True)
class Sent:
    """The result for one file of `thumbq send`; ``error`` is None when it is stored and queued."""

    file: str
    key: str | None = None
    message_id: str | None = None
    error: str | None = None


async def send(
    settings: Settings, paths: Sequence[Path], *, prefix: str, options: UploadOptions, report: Callable[[Sent], None]
) -> None:
    """Store each file as an original under ``prefix`` and queue its job, several at a time.

    Under ``uploads/`` a file gets an id as its key, under any other prefix it keeps its name. A cancelled call ends and
    reports the files that it has begun. Raises SetupError, before anything is sent, for an invalid prefix, for invalid
    ``options``, and for files that would get the same key.
    """
    if settings.catalog.is_output(prefix):
        raise SetupError([Problem(f"{prefix} is where thumbq writes", "send to another --prefix")])
    if text_of(prefix) != prefix:
        raise SetupError([Problem(f"the prefix {text_of(prefix)} is not UTF-8", "send to another --prefix")])
    if prefix != keys.UPLOADS_PREFIX:
        files.check_distinct((file, prefix + text_of(file.name)) for file in paths)
    limiter = anyio.CapacityLimiter(SEND_CONCURRENCY)
    async with open_backend(settings) as backend:
        intake = make_upload_intake(backend, settings.catalog.presets, callbacks=callback_rules(settings))
        try:
            intake.check(options)
        except UploadRefused as error:
            raise SetupError([Problem(error.text, "run thumbq send --help for what can be asked for")]) from error

        async def one(file: Path) -> None:
            async with limiter:
                await anyio.lowlevel.checkpoint_if_cancelled()
                with anyio.CancelScope(shield=True):  # what is stored and queued is reported
                    report(
                        await _send_file(
                            intake, file, prefix=prefix, options=options, max_bytes=settings.max_upload_bytes
                        )
                    )

        async with anyio.create_task_group() as tasks:
            for file in paths:
                tasks.start_soon(one, file)


async def _send_file(intake: UploadIntake, file: Path, *, prefix: str, options: UploadOptions, max_bytes: int) -> Sent:
    name = text_of(file.name)
    key = None if prefix == keys.UPLOADS_PREFIX else prefix + name
    try:
        body = await to_thread.run_sync(partial(files.read, file, max_bytes=max_bytes))
        accepted = await intake.accept(body, filename=name, key=key, options=options)
    except ThumbqError as error:
        return Sent(text_of(file), error=str(error))
    return Sent(text_of(file), accepted.source.key, accepted.message_id)
