"""Manifests: where one lies, how it is read, and what a render adds to it; for all who make or read them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from thumbq.core import keys
from thumbq.core.job import ObjectRef
from thumbq.core.manifest import FailedRendition, Manifest, RenditionRecord, StepsRecord
from thumbq.records import read_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.manifest import SourceRecord
    from thumbq.core.preset import Preset
    from thumbq.ports import ObjectStore, Rendered, RenderedImage


def manifest_ref(source: ObjectRef) -> ObjectRef:
    """Return where the manifest of an original is, or will be."""
    return ObjectRef(source.bucket, keys.manifest_key(source.key))


async def read_manifest(store: ObjectStore, source: ObjectRef) -> Manifest | None:
    """Return the manifest of an original; None when there is none that this program can read."""
    return await read_record(store, manifest_ref(source), Manifest)


def with_findings(source: SourceRecord, rendered: Rendered) -> SourceRecord:
    """Return an original's record with what its render has found out."""
    return source.model_copy(
        update={
            "format": rendered.format,
            "width": rendered.width,
            "height": rendered.height,
            "frames": rendered.frames,
            "dominant_color": rendered.dominant_color,
            "thumbhash": rendered.thumbhash,
        }
    )


def failed_renditions(rendered: Rendered, presets: Sequence[Preset]) -> dict[str, FailedRendition]:
    """Describe what a render has not made."""
    fingerprints = {preset.name: preset.fingerprint for preset in presets}
    return {
        one.preset: FailedRendition(code=one.code, message=one.text, fingerprint=fingerprints[one.preset])
        for one in rendered.not_made
    }


def rendition_record(preset: Preset, target: ObjectRef, image: RenderedImage) -> RenditionRecord:
    """Describe a rendition that is stored at ``target``."""
    return RenditionRecord(
        bucket=target.bucket,
        key=target.key,
        width=image.width,
        height=image.height,
        frames=image.frames,
        bytes=len(image.body),
        content_type=image.content_type,
        sha256=hashlib.sha256(image.body).hexdigest(),
        fingerprint=preset.fingerprint,
        steps=StepsRecord.model_validate(image.steps),
    )
