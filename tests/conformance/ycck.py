"""Claims: JPEGs whose CMYK is stored as YCCK, as Photoshop writes them (Adobe Technical Note 5116)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from conformance import pictures
from conformance.colour import colour_claim
from support.pictures import images, profiles
from support.pictures.containers import COMMENT, EXIF, icc_segments, jpeg_with
from support.pictures.planarjpeg import planar_jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from conformance.claims import Claim

_INKS: Final[tuple[profiles.Inks, ...]] = (
    (0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 255, 255, 0), (255, 255, 0, 0),
)  # fmt: skip
_REASON: Final = "Adobe Technical Note 5116: transform 2 is YCCK, and Photoshop writes it inverted"
_TRANSFORM_AT: Final = 11
_FULL: Final = ((1, 1),) * 4
_SAMPLINGS: Final = {
    "halved-chroma": ((2, 2), (1, 1), (1, 1), (2, 2)),
    "halved-across": ((2, 1), (1, 1), (1, 1), (2, 1)),
    "halved-black": ((2, 2), (2, 2), (2, 2), (1, 1)),
}


def claims() -> Iterator[Claim]:
    yield _claim("", "", partial(_planar, _FULL, _profile()))
    for name, factors in _SAMPLINGS.items():
        yield _claim(f"-{name}", f", sampled {factors}", partial(_planar, factors, _profile()))
    yield _claim("-interleaved", ", in one scan", partial(_photoshop, _profile()))
    yield _claim("-progressive", ", progressive", partial(_photoshop, _profile(), progressive=True))
    yield _claim("-restarts", ", with restart markers", partial(_photoshop, _profile(), restart_marker_blocks=3))
    yield _claim("-odd-size", ", of sides that are no whole blocks", partial(_photoshop, _profile(), side=19))
    for target, recipe in (
        ("to-webp", {"fit": "none", "format": "webp", "lossless": True}),
        ("to-jpeg", {"fit": "none", "format": "jpeg", "quality": 100}),
        ("shrunk", {"width": 96, "height": 16, "format": "png"}),
    ):
        side = 64 if target == "shrunk" else 16
        yield _claim(f"-{target}", f", {target}", partial(_photoshop, _profile(), side=side), recipe=recipe)
    turned = images.exif(3)
    yield _claim(
        "-turned", ", upside down", partial(_photoshop, [*_profile(), (EXIF, turned)]), expected=_expected()[::-1]
    )
    yield _claim("-comment", ", with a comment before all", partial(_photoshop, [(COMMENT, b"Adobe"), *_profile()]))
    # What the FOGRA39 characterisation gives.
    coated = ((255, 255, 255), (0, 158, 224), (230, 0, 126), (255, 237, 0), (227, 6, 20), (49, 39, 131))
    for name, factors in {"": _FULL, **_SAMPLINGS}.items():
        yield colour_claim(
            f"cmyk-no-profile-ycck{'-' if name else ''}{name}",
            f"squares in CMYK as YCCK without a profile, sampled {factors}",
            partial(_planar, factors, ()),
            coated,
            rule="CMYK without a profile is that of coated paper, and not the opposite of RGB",
            reason=_REASON,
            within=25,
        )


def _claim(name: str, given: str, make: Any, *, expected: Any = None, **more: Any) -> Claim:
    return colour_claim(
        f"jpeg-ycck{name}",
        f"squares in CMYK as YCCK, with the profile of a strange press{given}",
        make,
        expected or _expected(),
        reason=_REASON,
        within=14,
        **more,
    )


def _press(ink: profiles.Inks) -> tuple[int, int, int]:
    return (255 - ink[2], 255 - ink[0], 255 - ink[1])


def _expected() -> list[tuple[int, int, int]]:
    return [_press(ink) for ink in _INKS]


def _profile() -> list[tuple[int, bytes]]:
    return [*icc_segments(profiles.cmyk_profile(_press))]


def _planes(side: int) -> tuple[Image.Image, ...]:
    """Return luma, blue, red and black of the inks; the file holds their opposites, as Photoshop's does."""
    colours = pictures.patches([ink[:3] for ink in _INKS], side)
    black = pictures.patches([(255 - ink[3],) * 3 for ink in _INKS], side)
    return (*colours.convert("YCbCr").split(), black.convert("L"))


def _planar(factors: Sequence[tuple[int, int]], segments: Sequence[tuple[int, bytes]]) -> bytes:
    return jpeg_with(planar_jpeg(_planes(16), factors), (0xEE, b"Adobe\0\x64\0\0\0\0\2"), *segments)


def _photoshop(segments: Sequence[tuple[int, bytes]], *, side: int = 16, **options: object) -> bytes:
    # Pillow writes inverted what it takes for CMYK.
    bands = [Image.eval(band, lambda value: 255 - value) for band in _planes(side)]
    data = images.jpeg(Image.merge("CMYK", bands), quality=100, subsampling="4:4:4", **options)
    at = data.index(b"Adobe") + _TRANSFORM_AT
    return jpeg_with(data[:at] + b"\2" + data[at + 1 :], *segments)
