"""One original in, the rendition of each preset out, or the reason why not.

``_render`` is the order of all steps:

1. read the header (a format's own reader, no decoder)
2. decode: admit the cost, open, find the source profile, load, reduce (``formats``; ``decode``)
3. read the copyright to keep (``exif``)
4. make every size once, the largest first: resample, turn upright, convert to sRGB (``sizes``)
5. summarize a small one: dominant colour and ThumbHash (``summary``)
6. make the frames of animations that stay ones (``animation``)
7. encode each preset's rendition: flatten or clear, sharpen, write (``encode``)
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from PIL import UnidentifiedImageError

from thumbq.errors import RenderRefused
from thumbq.imaging import Refusal, exif
from thumbq.imaging.admission import OVER_BUDGET, ImageBudget, affordable
from thumbq.imaging.animation import moving
from thumbq.imaging.canvas import AnimationDamaged
from thumbq.imaging.encode import Encoded, MovingEncoder, encode
from thumbq.imaging.formats.registry import INPUT_FORMATS, read_header
from thumbq.imaging.geometry import contained
from thumbq.imaging.sizes import Sizes
from thumbq.imaging.summary import summarize
from thumbq.ports import NotMade, Rendered, RenderedImage, Steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thumbq.core.preset import Preset
    from thumbq.imaging import Limits, Original
    from thumbq.imaging.decoded import Decoded
    from thumbq.imaging.formats.inputformat import InputFormat
    from thumbq.imaging.geometry import Size, Target
    from thumbq.imaging.header import Header
    from thumbq.imaging.summary import Summary

_TRUNCATED_WORDS: Final = ("truncated", "end of file", "unexpected end")
_NO_CODEC_WORDS: Final = "has not been built in"
"""Part of pi-heif's message for an image that is not coded in HEVC, such as an AV1 that calls itself HEIC."""

_SUMMARY_BOX: Final = (100, 100)


def render(original: Original, presets: Sequence[Preset], limits: Limits) -> Rendered | Refusal:
    """Make each preset's rendition of one original, in the order of the presets (at least one).

    When all together cost too much, the cheapest are made; a preset whose encoder gives up fails alone. The result
    names those that are not made; a Refusal is of all.

    Never raises for the image: an exception of a decoder comes back as a Refusal.
    """
    try:
        # Decoders warn about bad metadata; nobody reads a render process's standard error.
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
    header = read_header(original)
    input_format = INPUT_FORMATS[header.format]
    decode, failed = partial(input_format.decode, original, header), dict[str, NotMade]()
    asked = presets
    try:
        decoded = decode(presets, ImageBudget(header, limits))
    except RenderRefused as refused:
        if refused.code not in OVER_BUDGET:
            raise
        presets, dear = affordable(decode, presets, header, limits)
        if not presets:
            raise
        failed = {one.preset: one for one in dear}
        decoded = decode(presets, ImageBudget(header, limits))
    recipes = list(zip(presets, decoded.targets, strict=True))
    with decoded.image:
        copyright_exif = _copyright_exif(decoded, input_format, presets)
        sizes = Sizes(decoded, decoded.picture)
        stills = sizes.make(decoded.targets)
        summary = _summary(sizes, decoded)
        kept_exif = {preset: copyright_exif if preset.keep_copyright else b"" for preset in presets}
        moves = [each for each in recipes if each[0].animated]
        unmade = dict[str, NotMade]()
        try:
            encoded = _moving(original, decoded, header, moves, kept_exif, unmade=unmade)
        except AnimationDamaged:
            header, encoded = replace(header, frames=1), {}
            unmade.clear()
        steps = Steps(decoded.orientation, sizes.profile, None, header.frames - 1, decoded.shrink_on_load)
        for preset, target in recipes:
            if preset not in encoded and preset.name not in unmade:
                with _encoding(preset, unmade):
                    encoded[preset] = encode([stills[target]], preset, exif=kept_exif[preset])
        if not encoded:
            raise MemoryError
        images = [_rendition(each, encoded[each], stills[at].size, steps) for each, at in recipes if each in encoded]
    failed |= unmade
    return Rendered(
        header.format.name,
        *decoded.upright_size,
        tuple(images),
        frames=header.frames,
        dominant_color=summary.dominant_color,
        thumbhash=summary.thumbhash,
        not_made=tuple(failed[preset.name] for preset in asked if preset.name in failed),
    )


def _copyright_exif(decoded: Decoded, input_format: InputFormat, presets: Sequence[Preset]) -> bytes:
    if not any(preset.keep_copyright for preset in presets):
        return b""
    return exif.copyright_only(decoded.image, input_format.exif_text)


def _summary(sizes: Sizes, decoded: Decoded) -> Summary:
    (small,) = sizes.make([contained(decoded.upright_size, _SUMMARY_BOX)]).values()
    return summarize(small)


def _moving(
    original: Original,
    decoded: Decoded,
    header: Header,
    recipes: Sequence[tuple[Preset, Target]],
    exif: Mapping[Preset, bytes],
    *,
    unmade: dict[str, NotMade],
) -> dict[Preset, Encoded]:
    """Encode the renditions that stay animations, all of them frame by frame; ``unmade`` gets those that fail."""
    if not recipes or header.frames == 1:
        return {}
    animation = moving(original, decoded, header, [target for _, target in recipes])
    encoders = {
        preset: MovingEncoder(preset, plays=animation.plays, frames=header.frames, exif=exif[preset])
        for preset, _ in recipes
    }
    for frame, duration_ms in animation.frames:
        for preset, target in recipes:
            if preset.name not in unmade:
                with _encoding(preset, unmade):
                    encoders[preset].add(frame[target], duration_ms)
    encoded: dict[Preset, Encoded] = {}
    for preset, _ in recipes:
        # Its frames are freed, also those of one that has failed.
        encoder = encoders.pop(preset)
        if preset.name not in unmade:
            with _encoding(preset, unmade):
                encoded[preset] = encoder.finish()
    return encoded


@contextmanager
def _encoding(preset: Preset, unmade: dict[str, NotMade]) -> Iterator[None]:
    """Have a preset fail alone when its encoder gives up.

    Sizes and modes are what the format takes; libwebp, libjpeg and libavif have these errors for a failed malloc.
    """
    try:
        yield
    except (MemoryError, OSError, ValueError, RuntimeError) as error:
        text = f"the encoder gave up, as it does when memory runs out ({type(error).__name__}: {str(error)[:200]})"
        unmade[preset.name] = NotMade(preset.name, "out-of-memory", text)


def _rendition(preset: Preset, encoded: Encoded, size: Size, steps: Steps) -> RenderedImage:
    dropped = steps.frames_dropped + 1 - encoded.frames
    return RenderedImage(
        preset.name,
        encoded.body,
        *size,
        encoded.content_type,
        frames=encoded.frames,
        steps=replace(steps, flattened_on=encoded.flattened_on, frames_dropped=dropped),
    )


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, UnidentifiedImageError):
        return Refusal("corrupt", "the image's header is damaged")
    message = str(error)
    if any(word in message.lower() for word in _TRUNCATED_WORDS):
        return Refusal("truncated", "the image ends in the middle of its data")
    if _NO_CODEC_WORDS in message:
        return Refusal("unsupported-format", "the image is compressed in a way that is not taken")
    return Refusal("corrupt", f"the image is damaged and does not decode ({type(error).__name__}: {message[:200]})")
