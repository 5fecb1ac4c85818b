"""What `thumbq send`, `thumbq render` and `thumbq setup` do, without argv and exit codes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import anyio

from thumbq.core import keys, manifest
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import ErrorRecord, Manifest, RenditionRecord, SourceRecord
from thumbq.errors import JobFailed, Problem, RenderKilled, SetupError, ThumbqError, UploadRefused
from thumbq.service import make_intake, open_backend, render_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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

    Under ``uploads/`` a file gets an id as its key, under any other prefix it keeps its name.
    """
    if settings.is_output(prefix):
        raise SetupError([Problem(f"{prefix} is where thumbq writes", "send to another --prefix")])
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
    key = None if prefix == keys.UPLOADS_PREFIX else prefix + file.name
    try:
        body = await _read(file, max_bytes=max_bytes)
        accepted = await intake.accept(body, filename=file.name, key=key)
    except (OSError, ThumbqError) as error:
        return Sent(str(file), error=getattr(error, "strerror", None) or str(error))
    return Sent(str(file), accepted.source.key, accepted.message_id)


async def _read(file: Path, *, max_bytes: int) -> bytes:
    path = anyio.Path(file)
    size = (await path.stat()).st_size
    if size > max_bytes:
        raise UploadRefused(413, "too-large", f"the file has {size} bytes, more than the {max_bytes} that are taken")
    return await path.read_bytes()


async def render(
    settings: Settings,
    files: Sequence[Path],
    out: Path,
    *,
    presets: Sequence[Preset],
    report: Callable[[Manifest], None],
) -> None:
    """Render files as a worker would, into ``out``; ``report`` gets each file's manifest.

    Without ``presets`` the routes of the settings say which to make of a file, by its name.
    """
    async with render_pool(settings) as pool:
        for file in files:
            chosen = presets or settings.presets_for(file.name)
            report(await _render_file(pool, file, out, presets=chosen, max_bytes=settings.max_source_bytes))


async def _render_file(pool: Renderer, file: Path, out: Path, *, presets: Sequence[Preset], max_bytes: int) -> Manifest:
    source = SourceRecord(bucket=str(file.parent), key=file.name)
    records: dict[str, RenditionRecord] = {}
    error: ErrorRecord | None = None
    try:
        body = await _read(file, max_bytes=max_bytes)
        with pool.source() as original:
            original.write(body)
            rendered = await pool.render(original, presets)
        source = source.model_copy(
            update={"bytes": len(body), "format": rendered.format, "width": rendered.width, "height": rendered.height}
        )
        records = await _write_renditions(rendered, presets, file.name, out)
    except (JobFailed, RenderKilled, UploadRefused) as refusal:
        error = ErrorRecord(code=refusal.code, message=refusal.text)
    except OSError as failure:
        error = ErrorRecord(code="unreadable", message=str(failure))
    return Manifest(
        status="failed" if error else "done",
        source=source,
        renditions=records,
        error=error,
        finished_at=datetime.now(UTC),
    )


async def _write_renditions(
    rendered: Rendered, presets: Sequence[Preset], name: str, out: Path
) -> dict[str, RenditionRecord]:
    by_name = {preset.name: preset for preset in presets}
    records = {}
    for image in rendered.images:
        preset = by_name[image.preset]
        target = ObjectRef(str(out), preset.rendition_key(name))
        path = anyio.Path(out, target.key)
        await path.parent.mkdir(parents=True, exist_ok=True)
        await path.write_bytes(image.body)
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
