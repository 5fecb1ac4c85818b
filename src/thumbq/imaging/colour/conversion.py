"""The conversion from a profile's colours to sRGB."""

from __future__ import annotations

import io
from functools import cache, cached_property, lru_cache, partial
from importlib import resources
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageChops, ImageCms

from thumbq.imaging.colour import sanitising

if TYPE_CHECKING:
    from collections.abc import Callable

    from thumbq.ports.rendering import Profile

    Plan = Callable[[Image.Image], Image.Image] | None
    """The conversion of pixels; None when they are sRGB as they are."""

_SPACES: Final = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK"}
_SRGB: Final = ImageCms.createProfile("sRGB")

# Read at once: a render process in its sandbox opens no files later.
_DEFAULT_CMYK: Final = resources.files("thumbq.imaging").joinpath("profiles", "fogra39l-coated.icc").read_bytes()

_EXACT_PIXELS: Final = 1 << 20
"""Up to so many pixels each goes through a profile's own table, at 0.2 µs.

Else littleCMS makes a table of the whole conversion first, in 30 to 70 ms, and is up to 20 levels off in places.
"""

_SMALL_PROFILE: Final = 1 << 16
_TABLE_TAG: Final = b"A2B"
_NO_CHANGE: Final = 1
_NEUTRAL: Final = 2


class _UnusableError(Exception):
    """A profile is broken, hostile or of another kind than the pixels. Raised, so that no cache keeps it."""


def to_srgb(pixels: Image.Image, icc_profile: bytes | None) -> tuple[Image.Image, Profile | None]:
    """Return expanded pixels in sRGB (L, LA, RGB or RGBA), and from which profile they were converted.

    That is ``embedded``, ``default-cmyk`` (CMYK that has no usable profile), or None for pixels that were taken as sRGB
    and for CIELAB, which needs none. Grey takes the tone curve of an RGB profile too. A profile that is broken or does
    not fit the pixels is ignored. Relative colorimetric with black point compensation. Meant for thumbnails.
    """
    if pixels.mode in {"I", "F"}:
        pixels = _in_8_bits(pixels)
    if pixels.mode == "LAB":
        return _cielab().apply(pixels), None
    if icc_profile is not None:
        try:
            plan = _plan(icc_profile, pixels.mode)
            if plan is not None:
                return plan(pixels), "embedded"
        except _UnusableError:
            pass
    if pixels.mode == "CMYK":
        return _default_cmyk().apply(pixels), "default-cmyk"
    return pixels, None


class _Conversion:
    """One profile's way to sRGB for pixels of one mode; its transforms are built when they are needed."""

    def __init__(self, profile: ImageCms.ImageCmsProfile, mode: str, *, by_table: bool) -> None:
        self._profile, self._mode, self._by_table = profile, mode, by_table

    def apply(self, pixels: Image.Image) -> Image.Image:
        """Return the pixels in sRGB, alpha as it was. Raises _UnusableError."""
        exact = self._by_table and pixels.width * pixels.height <= _EXACT_PIXELS
        converted = (self._exact if exact else self._quick).apply(pixels)
        converted.info = {}
        return converted

    @cached_property
    def _exact(self) -> ImageCms.ImageCmsTransform:
        return self._transform(ImageCms.Flags.NOOPTIMIZE)

    @cached_property
    def _quick(self) -> ImageCms.ImageCmsTransform:
        return self._transform(ImageCms.Flags.HIGHRESPRECALC)

    def _transform(self, flags: ImageCms.Flags) -> ImageCms.ImageCmsTransform:
        try:
            return ImageCms.buildTransform(
                self._profile,
                _SRGB,
                self._mode,
                "RGBA" if self._mode == "RGBA" else "RGB",
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                flags=flags | ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            raise _UnusableError from error


def _plan(profile: bytes, mode: str) -> Plan:
    """Look up or make the plan for a profile: phones send the same few again and again. Raises _UnusableError."""
    light = len(profile) <= _SMALL_PROFILE and _TABLE_TAG not in profile
    return _light_plan(profile, mode) if light else _heavy_plan(profile, mode)


def _made_plan(profile: bytes, mode: str) -> Plan:
    usable = sanitising.sanitised(profile)
    space = _SPACES.get(sanitising.space(profile)) if usable is not None else None
    grey = mode in {"L", "LA"}
    if usable is None or space is None or not (space in {"L", "RGB"} if grey else mode.startswith(space)):
        raise _UnusableError
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(usable))
    except (OSError, ValueError, TypeError) as error:
        raise _UnusableError from error
    conversion = _Conversion(opened, space if grey else mode, by_table=grey or sanitising.has_table(usable))
    if grey:
        return _grey_plan(conversion, space)
    if space == "RGB":
        probe = _probe().convert(mode)
        if _largest_change(probe, conversion.apply(probe)) <= _NO_CHANGE:
            return None
    return conversion.apply


_light_plan = lru_cache(maxsize=16)(_made_plan)
# littleCMS makes tables of up to 3 MiB from one: 16 CMYK profiles would leave 40 MiB in a render process.
_heavy_plan = lru_cache(maxsize=2)(_made_plan)


def _grey_plan(conversion: _Conversion, space: str) -> Plan:
    """Make a table of the 256 greys, each converted."""
    greys = Image.frombytes("L", (256, 1), bytes(range(256)))
    bands = conversion.apply(greys.convert(space)).split()
    red, green, blue = bands
    if max(_largest_change(greys, band) for band in bands) <= _NO_CHANGE:
        return None
    if max(_largest_change(green, red), _largest_change(green, blue)) <= _NEUTRAL:
        return partial(_looked_up, [green.tobytes()])
    return partial(_looked_up, [band.tobytes() for band in bands])


def _looked_up(tables: list[bytes], pixels: Image.Image) -> Image.Image:
    """Put grey (with alpha or without) through one table to grey, or through three to RGB."""
    grey = pixels.getchannel("L")
    bands = [grey.point(list(table)) for table in tables]
    if pixels.mode == "LA":
        bands.append(pixels.getchannel("A"))
    return Image.merge({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[len(bands)], bands)


@cache
def _probe() -> Image.Image:
    """All greys, and 9 by 9 by 9 colours."""
    levels = [min(255, 32 * step) for step in range(9)]
    colours = [(red, green, blue) for red in levels for green in levels for blue in levels]
    colours += [(level, level, level) for level in range(256)]
    return Image.frombytes("RGB", (len(colours), 1), bytes(value for colour in colours for value in colour))


def _largest_change(before: Image.Image, after: Image.Image) -> int:
    extrema = ImageChops.difference(before, after).convert("RGB").getextrema()
    return max(int(high) for _, high in extrema)  # type: ignore[misc]  # of RGB they are pairs


@cache
def _default_cmyk() -> _Conversion:
    return _Conversion(ImageCms.ImageCmsProfile(io.BytesIO(_DEFAULT_CMYK)), "CMYK", by_table=True)


@cache
def _cielab() -> _Conversion:
    return _Conversion(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB", by_table=True)


def _in_8_bits(pixels: Image.Image) -> Image.Image:
    """Return numbers of no stated range as L: their largest tells whether 1, 255, 65535 or the end of it is white.

    Resampling may have gone beyond the largest, but not by half. What is below zero is black.
    """
    extrema = pixels.getextrema()
    largest = float(extrema[1])  # type: ignore[arg-type]  # a single band has one pair
    *ranges, end = (255, 65_535, (1 << 31) - 1) if pixels.mode == "I" else (1, 255, 65_535, (1 << 32) - 1)
    white = next((white for white in ranges if largest < 2 * white), end)
    scale = 255 / white
    return pixels.convert("F").point(lambda value: value * scale + 0.5).convert("L")
