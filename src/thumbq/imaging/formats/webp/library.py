"""libwebp's own interface, of the library that Pillow brings: Pillow's has no shrinking, and decodes stills as frames.

Only its structures are rebuilt here, of the version that it is asked for (``webp/decode.h``); one that has others says
so, and Pillow is left to decode.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final

from PIL import Image, WebPImagePlugin

if TYPE_CHECKING:
    from thumbq.imaging.geometry import Size

_ABI: Final = 0x0209
_OUT_OF_MEMORY: Final = 1
_ORDERS: Final = {"RGB": 0, "RGBA": 1}
"""Pillow's modes, and the orders of bytes that are theirs."""

_Int, _Word, _Pointer, _Size_t = ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t


class _Features(ctypes.Structure):
    _fields_ = [(name, _Int) for name in ("width", "height", "has_alpha", "has_animation", "format")] + [
        ("pad", _Word * 5)
    ]


class _Bytes(ctypes.Structure):
    _fields_ = [("pixels", _Pointer), ("stride", _Int), ("size", _Size_t)]


class _Planes(ctypes.Structure):
    _fields_ = [("planes", _Pointer * 4), ("strides", _Int * 4), ("sizes", _Size_t * 4)]


class _Place(ctypes.Union):
    _fields_ = [("bytes", _Bytes), ("planes", _Planes)]


class _Buffer(ctypes.Structure):
    _fields_ = [
        *((name, _Int) for name in ("order", "width", "height", "is_ours")),
        ("place", _Place),
        ("pad", _Word * 4),
        ("theirs", _Pointer),
    ]


class _Options(ctypes.Structure):
    _fields_ = [
        *((name, _Int) for name in ("no_filter", "no_fancy_upsampling", "crops", "left", "top", "width", "height")),
        *((name, _Int) for name in ("scales", "scaled_width", "scaled_height", "threads", "dither", "flip")),
        ("alpha_dither", _Int),
        ("pad", _Word * 5),
    ]


class _Config(ctypes.Structure):
    _fields_ = [("features", _Features), ("buffer", _Buffer), ("options", _Options)]


def _library() -> Any:
    """Return the library; None where its functions are not to be found, or are of another version."""
    plugin: Any = WebPImagePlugin
    try:
        # A name is looked for in what the module is linked with, too.
        library = ctypes.CDLL(plugin._webp.__file__)  # noqa: SLF001 -- the file has no other name
        library.WebPDecode.argtypes = [ctypes.c_char_p, _Size_t, _Pointer]
        fits = library.WebPInitDecoderConfigInternal(ctypes.byref(_Config()), _ABI)
    except (AttributeError, OSError):
        return None
    return library if fits else None


_LIBRARY: Final = _library()


def decoded(data: bytes, size: Size, mode: str, *, scaled: bool) -> Image.Image | None:
    """Decode a still to a size, which is smaller than its own when it is ``scaled``, in mode RGB or RGBA.

    Returns None for what the library does not take: an animation, damage. Raises MemoryError.
    """
    if _LIBRARY is None:
        return None
    config = _Config()
    _LIBRARY.WebPInitDecoderConfigInternal(ctypes.byref(config), _ABI)
    if scaled:
        config.options.scales, config.options.scaled_width, config.options.scaled_height = 1, *size
    stride = len(mode) * size[0]
    pixels = bytearray(stride * size[1])
    config.buffer.order, config.buffer.is_ours = _ORDERS[mode], 1
    memory = (ctypes.c_char * len(pixels)).from_buffer(pixels)
    config.buffer.place.bytes = _Bytes(ctypes.addressof(memory), stride, len(pixels))
    status = _LIBRARY.WebPDecode(data, len(data), ctypes.byref(config))
    if status == _OUT_OF_MEMORY:
        raise MemoryError
    return Image.frombuffer(mode, size, pixels, "raw", mode, 0, 1) if status == 0 else None
