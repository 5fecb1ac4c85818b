"""What `thumbq render` does."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from thumbq.commands import files
from thumbq.commands.files import text_of
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import ErrorRecord, FailedRendition, Manifest, SourceRecord
from thumbq.errors import JobFailed, Problem, RenderKilled, SetupError, UploadRefused
from thumbq.jobs.apart import render_apart
from thumbq.manifests import failed_renditions, rendition_record, with_findings
from thumbq.rendering import render_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thumbq.core.manifest import RenditionRecord
    from thumbq.core.preset import Preset
    from thumbq.ports import Rendered, Renderer, RenderProcess, RenderSource
    from thumbq.settings import Settings


async def render(
    settings: Settings,
    paths: Sequence[Path],
    out: Path,
    *,
    presets: Sequence[Preset],
    report: Callable[[Manifest], None],
) -> None:
    """Render files as a worker would, into ``out``; ``report`` gets each file's manifest.

    Without ``presets`` the routes of the settings choose them, by a file's name. Raises SetupError, before anything is
    rendered, when ``out`` cannot be written to, and for files whose renditions would have the same name.
    """
    chosen = {file: presets or settings.catalog.presets_for(text_of(file.name)) for file in paths}
    files.check_distinct(
        (file, preset.rendition_key(text_of(file.name), content_type))
        for file in paths
        for preset in chosen[file]
        for content_type in preset.content_types
    )
    await to_thread.run_sync(_check_writable, out)
    async with render_pool(settings) as pool:
        for file in paths:
            report(await _render_file(pool, file, out, presets=chosen[file], max_bytes=settings.max_source_bytes))


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        problem = Problem(f"cannot write to {text_of(out)}: {error.strerror}", "choose another directory with -o")
        raise SetupError([problem]) from error


async def _render_file(pool: Renderer, file: Path, out: Path, *, presets: Sequence[Preset], max_bytes: int) -> Manifest:
    source = SourceRecord(bucket=text_of(file.parent), key=text_of(file.name))
    records: dict[str, RenditionRecord] = {}
    error: ErrorRecord | None = None
    failed: dict[str, FailedRendition] = {}
    try:
        body = await to_thread.run_sync(partial(files.read, file, max_bytes=max_bytes))
        source = source.model_copy(update={"bytes": len(body)})
        with pool.source() as original:
            original.write(body)
            async with pool.acquire() as process:
                rendered = await _render_presets(process, original, presets)
        source = with_findings(source, rendered)
        failed = failed_renditions(rendered, presets)
        records = await _write_renditions(rendered, presets, source.key, out)
    except (JobFailed, RenderKilled, UploadRefused) as refusal:
        error = ErrorRecord(code=refusal.code, message=refusal.text)
    except _NotWritten as failure:
        error = ErrorRecord(code="not-written", message=str(failure))
    return Manifest(
        status="failed" if error else "done",
        source=source,
        renditions=records,
        failed=failed or None,
        error=error,
        finished_at=datetime.now(UTC),
    )


async def _render_presets(process: RenderProcess, original: RenderSource, presets: Sequence[Preset]) -> Rendered:
    """Render; presets that kill the render together are made one by one."""
    try:
        return await process.render(original, presets)
    except RenderKilled:
        if len(presets) == 1:
            raise
        return await render_apart(lambda preset: process.render(original, [preset]), presets)


class _NotWritten(Exception):
    """A rendition cannot be written."""


async def _write_renditions(
    rendered: Rendered, presets: Sequence[Preset], name: str, out: Path
) -> dict[str, RenditionRecord]:
    by_name = {preset.name: preset for preset in presets}
    records = {}
    for image in rendered.images:
        preset = by_name[image.preset]
        target = ObjectRef(text_of(out), preset.rendition_key(name, image.content_type))
        path = anyio.Path(out, target.key)
        try:
            await path.parent.mkdir(parents=True, exist_ok=True)
            await path.write_bytes(image.body)
        except OSError as error:
            raise _NotWritten(f"cannot write {target.key}: {error.strerror}") from error
        records[preset.name] = rendition_record(preset, target, image)
    return records
