"""What `thumbq send`, `thumbq render` and `thumbq setup` do, without argv and exit codes."""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread

from thumbq.core import keys, manifest
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import ErrorRecord, Manifest, RenditionRecord, SourceRecord
from thumbq.errors import JobFailed, Problem, RenderKilled, SetupError, ThumbqError, UploadRefused
from thumbq.service import make_intake, open_backend, render_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from thumbq.aws.provision import Step
    from thumbq.core.preset import Preset
    from thumbq.intake import Intake
    from thumbq.ports import Rendered, Renderer
    from thumbq.settings import Settings

SEND_CONCURRENCY: Final = 8


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one file of `thumbq send`; ``error`` is None when it is stored and queued."""

    file: str
    key: str | None = None
    message_id: str | None = None
    error: str | None = None


async def send(settings: Settings, files: Sequence[Path], *, prefix: str, report: Callable[[Sent], None]) -> None:
    """Store each file as an original under ``prefix`` and queue its job, several at a time.

    Under ``uploads/`` a file gets an id as its key, under any other prefix it keeps its name. Raises SetupError, before
    anything is sent, for a prefix that cannot be, and for files that would get the same key.
    """
    if settings.is_output(prefix):
        raise SetupError([Problem(f"{prefix} is where thumbq writes", "send to another --prefix")])
    if _text(prefix) != prefix:
        raise SetupError([Problem(f"the prefix {_text(prefix)} is not UTF-8", "send to another --prefix")])
    if prefix != keys.UPLOADS_PREFIX:
        _check_distinct((file, prefix + _text(file.name)) for file in files)
    limiter = anyio.CapacityLimiter(SEND_CONCURRENCY)
    async with open_backend(settings) as backend:
        intake = make_intake(backend)

        async def one(file: Path) -> None:
            async with limiter:
                report(await _send_file(intake, file, prefix=prefix, max_bytes=settings.max_upload_bytes))

        async with anyio.create_task_group() as tasks:
            for file in files:
                tasks.start_soon(one, file)


async def _send_file(intake: Intake, file: Path, *, prefix: str, max_bytes: int) -> Sent:
    name = _text(file.name)
    key = None if prefix == keys.UPLOADS_PREFIX else prefix + name
    try:
        body = await to_thread.run_sync(partial(_read, file, max_bytes=max_bytes))
        accepted = await intake.accept(body, filename=name, key=key)
    except ThumbqError as error:
        return Sent(_text(file), error=str(error))
    return Sent(_text(file), accepted.source.key, accepted.message_id)


def _text(name: str | Path) -> str:
    """Return a file's name as keys and JSON can hold it: with a mark for every byte that is not UTF-8."""
    return os.fsencode(name).decode(errors="replace")


def _check_distinct(targets: Iterable[tuple[Path, str]]) -> None:
    taken: dict[str, Path] = {}
    problems = []
    for file, key in targets:
        other = taken.setdefault(key, file)
        if other != file:
            what = f"{_text(other)} and {_text(file)} would both become {key}"
            problems.append(Problem(what, "rename one, or run the command once for each, with different places"))
    if problems:
        raise SetupError(problems)


def _read(file: Path, *, max_bytes: int) -> bytes:
    """Return a file's bytes, as many as it has now. Raises UploadRefused, also for what has no end: devices, pipes."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UploadRefused(400, "not-a-file", "this is not a regular file")
        if status.st_size > max_bytes:
            text = f"the file has {status.st_size} bytes, more than the {max_bytes} that are taken"
            raise UploadRefused(413, "too-large", text)
        with file.open("rb") as opened:
            return opened.read(status.st_size)
    except OSError as error:
        raise UploadRefused(400, "unreadable", error.strerror or str(error)) from error


async def render(
    settings: Settings,
    files: Sequence[Path],
    out: Path,
    *,
    presets: Sequence[Preset],
    report: Callable[[Manifest], None],
) -> None:
    """Render files as a worker would, into ``out``; ``report`` gets each file's manifest.

    Without ``presets`` the routes of the settings say which to make of a file, by its name. Raises SetupError, before
    anything is rendered, when ``out`` cannot be written to, and for files that would get the same rendition.
    """
    chosen = {file: presets or settings.presets_for(_text(file.name)) for file in files}
    _check_distinct((file, preset.rendition_key(_text(file.name))) for file in files for preset in chosen[file])
    await to_thread.run_sync(_check_writable, out)
    async with render_pool(settings) as pool:
        for file in files:
            report(await _render_file(pool, file, out, presets=chosen[file], max_bytes=settings.max_source_bytes))


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        problem = Problem(f"cannot write to {_text(out)}: {error.strerror}", "choose another directory with -o")
        raise SetupError([problem]) from error


async def _render_file(pool: Renderer, file: Path, out: Path, *, presets: Sequence[Preset], max_bytes: int) -> Manifest:
    source = SourceRecord(bucket=_text(file.parent), key=_text(file.name))
    records: dict[str, RenditionRecord] = {}
    error: ErrorRecord | None = None
    try:
        body = await to_thread.run_sync(partial(_read, file, max_bytes=max_bytes))
        with pool.source() as original:
            original.write(body)
            rendered = await pool.render(original, presets)
        source = source.model_copy(
            update={"bytes": len(body), "format": rendered.format, "width": rendered.width, "height": rendered.height}
        )
        records = await _write_renditions(rendered, presets, source.key, out)
    except (JobFailed, RenderKilled, UploadRefused) as refusal:
        error = ErrorRecord(code=refusal.code, message=refusal.text)
    except _NotWritten as failure:
        error = ErrorRecord(code="not-written", message=str(failure))
    return Manifest(
        status="failed" if error else "done",
        source=source,
        renditions=records,
        error=error,
        finished_at=datetime.now(UTC),
    )


class _NotWritten(Exception):
    """A rendition is made and cannot be stored."""


async def _write_renditions(
    rendered: Rendered, presets: Sequence[Preset], name: str, out: Path
) -> dict[str, RenditionRecord]:
    by_name = {preset.name: preset for preset in presets}
    records = {}
    for image in rendered.images:
        preset = by_name[image.preset]
        target = ObjectRef(_text(out), preset.rendition_key(name))
        path = anyio.Path(out, target.key)
        try:
            await path.parent.mkdir(parents=True, exist_ok=True)
            await path.write_bytes(image.body)
        except OSError as error:
            raise _NotWritten(f"cannot write {target.key}: {error.strerror}") from error
        records[preset.name] = manifest.rendition(
            preset, target, body=image.body, width=image.width, height=image.height, content_type=image.content_type
        )
    return records


async def setup(settings: Settings) -> Sequence[Step]:
    """Make the bucket and the queues that the settings name, as far as they are not there."""
    if settings.bucket is None or settings.queue is None:
        what = "thumbq setup makes an S3 bucket and SQS queues, and needs their names"
        raise SetupError([Problem(what, "set THUMBQ_BUCKET and THUMBQ_QUEUE (the local backend needs no setup)")])
    from thumbq.aws.provision import provision  # noqa: PLC0415 - only this command needs it

    return await provision(
        bucket=settings.bucket, queue=settings.queue, visibility_timeout_s=settings.visibility_timeout_s
    )
