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
from thumbq.intake.claims import make_claims
from thumbq.intake.keyedupload import Key, KeyedUpload, digest_of
from thumbq.intake.uploads import make_upload_intake
from thumbq.webhooks.making import callback_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thumbq.core.uploadoptions import UploadOptions
    from thumbq.intake.claims import Claims
    from thumbq.intake.uploads import Accepted, UploadIntake
    from thumbq.settings import Settings

SEND_CONCURRENCY: Final = 8


_OWNER: Final = "thumbq send"
_WITHIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sent:
    """The result for one file of `thumbq send`; ``error`` is None when it is stored and queued."""

    file: str
    key: str | None = None
    message_id: str | None = None
    error: str | None = None


async def send(
    settings: Settings,
    paths: Sequence[Path],
    *,
    prefix: str,
    options: UploadOptions,
    report: Callable[[Sent], None],
    idempotency_key: str | None = None,
) -> None:
    """Store each file as an original under ``prefix`` and queue its job, several at a time.

    With an ``idempotency_key`` the same files, in the same order, are sent once however often this is called.

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
        spread = settings.key_prefixes
        intake = make_upload_intake(
            backend, settings.catalog.presets, callbacks=callback_rules(settings), key_prefixes=spread
        )
        keyed = _Intake(intake, make_claims(backend, spread), idempotency_key)
        try:
            intake.check(options)
        except UploadRefused as error:
            raise SetupError([Problem(error.text, "run thumbq send --help for what can be asked for")]) from error

        async def one(number: int, file: Path) -> None:
            async with limiter:
                await anyio.lowlevel.checkpoint_if_cancelled()
                with anyio.CancelScope(shield=True):  # what is stored and queued is reported
                    report(
                        await _send_file(
                            keyed, number, file, prefix=prefix, options=options, max_bytes=settings.max_upload_bytes
                        )
                    )

        async with anyio.create_task_group() as tasks:
            for number, file in enumerate(paths):
                tasks.start_soon(one, number, file)


async def _send_file(
    intake: _Intake, number: int, file: Path, *, prefix: str, options: UploadOptions, max_bytes: int
) -> Sent:
    name = text_of(file.name)
    key = None if prefix == keys.UPLOADS_PREFIX else prefix + name
    try:
        body = await to_thread.run_sync(partial(files.read, file, max_bytes=max_bytes))
        accepted = await intake.accept(number, body, filename=name, key=key, options=options)
    except ThumbqError as error:
        return Sent(text_of(file), error=str(error))
    return Sent(text_of(file), accepted.source.key, accepted.message_id)


@dataclass(frozen=True, slots=True)
class _Intake:
    """The intake of files that may have an idempotency key together; each has one of its own by its number then."""

    intake: UploadIntake
    claims: Claims
    idempotency_key: str | None

    async def accept(
        self, number: int, body: bytes, *, filename: str, key: str | None, options: UploadOptions
    ) -> Accepted:
        """Store an original and queue its job, unless that was done under this key."""
        if self.idempotency_key is None:
            return await self.intake.accept(body, filename=filename, key=key, options=options)
        digest = digest_of(_OWNER, f"{number} {self.idempotency_key}")
        upload = KeyedUpload(Key(self.claims, digest, _OWNER), self.intake)
        await upload.look_at(body, filename=key or filename, options=options)
        try:
            return await upload.accept(body, filename=filename, key=key, options=options, within_s=_WITHIN_S)
        finally:
            await upload.end(whole=True)
