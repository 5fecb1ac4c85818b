"""One original in, the rendition of each preset out, or the reason why not."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from PIL import Image, UnidentifiedImageError

from thumbq.errors import RenderRefused
from thumbq.imaging import Refusal, animation, exif, header
from thumbq.imaging.decode import decode
from thumbq.imaging.encode import encode
from thumbq.imaging.geometry import contained
from thumbq.imaging.sizes import Sizes
from thumbq.imaging.summary import summarize
from thumbq.ports import Rendered, RenderedImage, Steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.preset import Preset
    from thumbq.imaging import Limits, Original
    from thumbq.imaging.motion import Motion

_TRUNCATED_WORDS: Final = ("truncated", "end of file", "unexpected end")
_NO_CODEC_WORDS: Final = "has not been built in"
"""What pi-heif says of an image that is not coded in HEVC, such as an AV1 that calls itself HEIC."""

_SUMMARY_BOX: Final = (100, 100)


def render(original: Original, presets: Sequence[Preset], limits: Limits) -> Rendered | Refusal:
    """Make each preset's rendition of one original, in the order of the presets (at least one).

    Never raises for anything that is in the image: what a decoder throws comes back as a Refusal.
    """
    try:
        # Decoders warn about bad metadata; nobody reads a child's standard error.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _render(original, presets, limits)
    except RenderRefused as refused:
        return Refusal(refused.code, refused.text)
    except MemoryError:
        return Refusal("out-of-memory", "rendering the image takes more memory than a render may have")
    except Exception as error:  # noqa: BLE001 -- hostile files make decoders raise every kind there is (also TypeError)
        return _refusal(error)


def _render(original: Original, presets: Sequence[Preset], limits: Limits) -> Rendered:
    head = header.read(original)
    decoded = decode(original, head, presets, limits)
    recipes = list(zip(presets, decoded.targets, strict=True))
    with decoded.image:
        copyright_exif = exif.copyright_only(decoded.image) if any(preset.keep_copyright for preset in presets) else b""
        still = Sizes(decoded, decoded.picture)
        made = {target: [pixels] for target, pixels in still.make(decoded.targets).items()}
        summary = summarize(still.make([contained(decoded.upright_size, _SUMMARY_BOX)]).popitem()[1])
        moving = [target for preset, target in recipes if preset.animated and head.frames > 1]
        films, motion = animation.films(original, decoded, head, moving) if moving else ({}, None)
        images = tuple(
            _rendition(
                preset,
                *((films[target], motion) if target in films and preset.animated else (made[target], None)),
                exif=copyright_exif if preset.keep_copyright else b"",
                steps=Steps(decoded.orientation, still.profile, None, head.frames - 1, decoded.shrink_on_load),
            )
            for preset, target in recipes
        )
    return Rendered(
        head.format.value,
        *decoded.upright_size,
        images,
        frames=head.frames,
        dominant_color=summary.dominant_color,
        thumbhash=summary.thumbhash,
    )


def _rendition(
    preset: Preset, frames: Sequence[Image.Image], motion: Motion | None, *, exif: bytes, steps: Steps
) -> RenderedImage:
    try:
        encoded = encode(frames, preset, motion=motion, exif=exif)
    except (OSError, ValueError, RuntimeError) as error:
        # Sizes and modes are what the format takes; libwebp, libjpeg and libavif have these words for a failed malloc.
        raise MemoryError from error
    return RenderedImage(
        preset.name,
        encoded.body,
        *frames[0].size,
        encoded.content_type,
        frames=encoded.frames,
        steps=replace(
            steps, flattened_on=encoded.flattened_on, frames_dropped=steps.frames_dropped + 1 - encoded.frames
        ),
    )


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, UnidentifiedImageError):
        return Refusal("corrupt", "the image's header is damaged")
    said = str(error)
    if any(word in said.lower() for word in _TRUNCATED_WORDS):
        return Refusal("truncated", "the image ends in the middle of its data")
    if _NO_CODEC_WORDS in said:
        return Refusal("unsupported-format", "the image is compressed in a way that is not taken")
    return Refusal("corrupt", f"the image is damaged and does not decode ({type(error).__name__}: {said[:200]})")
