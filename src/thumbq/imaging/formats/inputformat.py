"""The declaration of a format as an input, in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thumbq.imaging import exif

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from thumbq.core.preset import Preset
    from thumbq.imaging import Original
    from thumbq.imaging.budget import Budget
    from thumbq.imaging.canvas import Animation
    from thumbq.imaging.decoded import Decoded
    from thumbq.imaging.header import Header

    Decode = Callable[[Original, Header, Sequence[Preset], Budget], Decoded]


@dataclass(frozen=True, slots=True)
class DecodingCosts:
    """The cost of decoding one frame; ``costs`` says how the numbers were measured.

    ``memory`` returns bytes for a header, the pixels that are decoded (a JPEG's are fewer when it shrinks) and the
    number of frames that are: at the peak, and what is still held when the pixels are there; 0 pixels are those of a
    picture that is decoded in bands and never whole. ``nanoseconds`` returns CPU time for a header, the pixels of the
    canvas, and what a JPEG is shrunk by.

    ``file_copies`` is how often the file is in memory, as bytes and as a mapped file (some decoders share bytes, but
    copy a mapped file); ``composites`` says that the decoder puts the frames of an animation on the canvas.
    """

    memory: Callable[[Header, int, int], tuple[float, float]]
    nanoseconds: Callable[[Header, int, int], float]
    file_copies: tuple[int, int] = (1, 1)
    composites: bool = False


@dataclass(frozen=True, slots=True)
class InputFormat:
    """The reading of images of one format.

    ``read_header`` needs no decoder, never raises anything but RenderRefused, and takes well under a millisecond for a
    usual file of any size (a JPEG's markers are searched: 0.3 ms a megabyte). ``decode`` loads an image, the first
    frame of an animation, at a size that serves all presets; it raises RenderRefused when that would cost more than the
    budget, and a decoder may raise anything.

    ``animation`` returns the frames where thumbq composites them itself, since Pillow does it differently from the
    standards and from browsers; elsewhere ``plays`` returns the number of plays (0: for ever) of an opened animation.
    ``exif_text`` returns type and bytes of a text in the EXIF tags, None without it.
    """

    read_header: Callable[[Original], Header]
    decode: Decode
    costs: DecodingCosts
    animation: Callable[[Original, Header], Animation] | None = None
    plays: Callable[[Image.Image, Original], int] = lambda image, _original: image.info.get("loop", 0)
    exif_text: Callable[[Image.Image, int], tuple[int, bytes] | None] = exif.text


_CANVAS_BYTES = 20
"""A pixel of an animation's canvas: the frame, the ones before and after, and what is pasted."""

_BYTE_NANOSECONDS, _PIXEL_NANOSECONDS = 10, 30


def usual_memory(header: Header, pixels: int, frames: int) -> tuple[float, float]:
    """Return the memory of a decoder that fills Pillow's pixels and holds ``scratch_bytes`` beside them."""
    held = header.scratch_bytes + pixels * (_CANVAS_BYTES if frames > 1 else header.pixel_bytes)
    return held, held


def linear_nanoseconds(by_byte: float, by_pixel: float) -> Callable[[Header, int, int], float]:
    """Return a cost that grows with the bytes of a frame in the file and with its pixels."""
    return lambda header, pixels, _scale: by_byte * header.file_bytes / header.frames + by_pixel * pixels


USUAL_COSTS = DecodingCosts(usual_memory, linear_nanoseconds(_BYTE_NANOSECONDS, _PIXEL_NANOSECONDS))
"""Of the formats that Pillow decodes by itself, or with zlib."""
