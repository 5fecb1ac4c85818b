"""Lanczos, by SIMD where there is a library for it: an eighth to a quarter of what Pillow's own takes.

The library is Rust's fast_image_resize, in cykooz-resizer, which works on Pillow's pixels in place. Its results and
Pillow's are 52 dB and more apart: both round between their two passes, and Pillow goes across first. Linux on arm64 has
no wheel of it and keeps Pillow's (``pyproject.toml`` has the same condition); elsewhere it is never missing silently.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

if platform.machine() == "x86_64" or sys.platform == "darwin":
    from cykooz_resizer import rust_lib  # type: ignore[import-untyped]  # it ships no mark of its types

    _LIBRARY: Any = rust_lib
else:
    _LIBRARY = None

if TYPE_CHECKING:
    from thumbq.imaging.geometry import Box, Size

_MODES: Final = frozenset({"L", "RGB", "RGBa", "CMYK"})
"""Those that the library knows and is faster with."""

_CONVOLUTION, _LANCZOS3 = 2, 5
"""In the library's numbers."""

_UNEVEN: Final = 1.25
"""The library goes down first, Pillow across: where a wide part becomes a high one, Pillow needs less memory."""

_BYTES: Final = 4
"""A pixel between the passes, at most."""

_WEIGHT_BYTES: Final = 64
"""The weights of both passes, for each pixel of a side: six, twice, and where they begin."""

_allocate, _free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
_allocate.restype, _allocate.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
_free.restype, _free.argtypes = None, [ctypes.c_void_p]


def lanczos(pixels: Image.Image, size: Size, box: Box, *, reducing_gap: float) -> Image.Image:
    """Resample a part of a picture, without alpha or with colours that are multiplied by it. Raises MemoryError.

    ``reducing_gap`` is Pillow's; the library is faster without such a step.
    """
    across, down = box[2] - box[0], box[3] - box[1]
    fits = _LIBRARY is not None and pixels.mode in _MODES and across * size[1] <= _UNEVEN * down * size[0]
    if not fits:
        return pixels.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=reducing_gap)
    resized = Image.new(pixels.mode, size)
    _make_sure_of(_BYTES * pixels.width * size[1] + _WEIGHT_BYTES * sum((*pixels.size, *size)))
    options = _LIBRARY.RustResizeOptions().set_resize_alg(_CONVOLUTION, _LANCZOS3, 1).set_use_alpha(v=False)
    options = options.set_crop_box(box[0], box[1], across, down)
    # A resizer would keep the memory between its passes for the next time.
    _LIBRARY.RustResizer().resize_pil(_LIBRARY.PilImageWrapper(pixels), _LIBRARY.PilImageWrapper(resized), options)
    return resized


def _make_sure_of(size: int) -> None:
    """Raise MemoryError when there is not so much memory: the library would end the process."""
    memory = _allocate(size)
    if memory is None:
        raise MemoryError
    _free(memory)
