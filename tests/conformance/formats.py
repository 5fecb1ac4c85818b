"""Claims: which formats are read and written."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from PIL import Image

from conformance import animationchecks, bombs, checks, phoneheics, pictures
from conformance.claims import Claim
from support.pictures import animations, images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_TARGETS: Final = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "avif": "AVIF", "auto": "JPEG"}


def claims() -> Iterator[Claim]:
    yield from _every_way()
    yield from _phones()
    yield from _large()


def _scene() -> Image.Image:
    return images.scene(pictures.WIDTH, pictures.HEIGHT)


def _frames() -> list[animations.Frame]:
    few = _scene().quantize(100).convert("RGBA")
    return [animations.Frame(pictures.rgba(few)), animations.Frame(pictures.rgba(few)[::-1].copy())]


def _every_way() -> Iterator[Claim]:
    size = pictures.WIDTH, pictures.HEIGHT
    sources: Mapping[str, Callable[[], bytes]] = {
        "jpeg": partial(pictures.in_format, "JPEG"),
        "progressive-jpeg": lambda: images.jpeg(_scene(), quality=92, progressive=True),
        "mpo": _mpo,
        "png": partial(pictures.in_format, "PNG"),
        "apng": lambda: animations.apng(size, _frames()),
        "gif": lambda: animations.gif(size, _frames()),
        "webp": partial(pictures.in_format, "WEBP"),
        "lossless-webp": lambda: images.encoded(_scene(), "WEBP", lossless=True),
        "animated-webp": lambda: animations.webp(size, _frames()),
        "avif": partial(pictures.in_format, "AVIF"),
        "animated-avif": lambda: animations.avif(size, _frames()),
        "heic": partial(pictures.in_format, "HEIC"),
        "tiff": partial(pictures.in_format, "TIFF"),
        "bmp": partial(pictures.in_format, "BMP"),
    }
    for source, make in sources.items():
        for target, made in _TARGETS.items():
            yield Claim(
                name=f"{source}-to-{target}",
                given=f"a {source} of 96 by 64 pixels",
                make=make,
                recipe={"width": 60, "height": 60, "format": target},
                rule="every format that is taken becomes every format that is made",
                reason="docs/images.md: formats in and out",
                checks=(checks.is_a(made), checks.is_sized(60, 40), checks.is_upright(), animationchecks.is_a_still()),
            )


def _mpo() -> bytes:
    second = _scene().transpose(Image.Transpose.ROTATE_180)
    return images.encoded(_scene(), "MPO", save_all=True, append_images=[second], quality=92)


def _phones() -> Iterator[Claim]:
    cases: Mapping[str, tuple[str, Callable[[], bytes], str]] = {
        "gain-map": (
            "a JPEG with a gain map: a second, grey and smaller picture in an MPF segment",
            _gain_map,
            "python-pillow/Pillow#1138: it opens as MPO; ISO 21496-1: what has no use for a gain map takes the first",
        ),
        "motion-photo": (
            "a JPEG with a video after its end",
            lambda: pictures.in_format("JPEG") + b"\0\0\0\x18ftypmp42" + bytes(5000),
            "Android's motion photos: a video is appended to the JPEG",
        ),
        "mpf-points-nowhere": (
            "a JPEG with an MPF segment whose pictures are not there",
            _broken_mpf,
            "editors cut off what they do not know: python-pillow/Pillow#1334",
        ),
        "heic-thumbnail": (
            "a HEIC with an embedded thumbnail",
            lambda: images.heic(_scene().resize((192, 128)), thumbnails=[64]),
            "the primary item is the picture",
        ),
        "heic-tiles": (
            "a HEIC of six tiles",
            lambda: phoneheics.tiled(images.scene(192, 128)),
            "ISO/IEC 23008-12, 6.6.2.3: phones write grids; darktable-org/darktable#13306",
        ),
        **{
            f"heic-tiles-turned-{orientation}": (
                f"a HEIC of six tiles in orientation {orientation}, by irot and imir of the whole",
                partial(_turned_tiles, orientation),
                "ISO/IEC 23008-12, 6.6.2.3: the grid is turned, not its tiles; darktable-org/darktable#13306",
            )
            for orientation in range(2, 9)
        },
        "heic-mif1": (
            "a HEIC whose major brand is mif1",
            lambda: pictures.in_format("HEIC").replace(b"ftypheic", b"ftypmif1", 1),
            "ISO/IEC 23008-12, 10.2: mif1 is for any coding",
        ),
        "avif-mif1": (
            "an AVIF whose major brand is mif1, with avif among the compatible ones",
            lambda: pictures.in_format("AVIF").replace(b"ftypavif", b"ftypmif1", 1),
            "AV1 Image File Format 1.1: avif is a compatible brand",
        ),
    }
    for name, (given, make, reason) in cases.items():
        yield Claim(
            name=name,
            given=given,
            make=make,
            recipe={"width": 60, "height": 60, "animated": True, "format": "webp"},
            rule="what a phone writes is a still, and its first picture is the one",
            reason=reason,
            checks=(checks.is_sized(60, 40), checks.is_upright(), animationchecks.is_a_still()),
        )


def _turned_tiles(orientation: int) -> bytes:
    stored = images.stored(images.scene(192, 128), orientation)
    return phoneheics.tiled(stored, *phoneheics.turns(orientation))


def _large() -> Iterator[Claim]:
    yield Claim(
        name="webp-24-megapixels",
        given="a whole WebP of one colour, 6,000 by 4,000 pixels",
        make=partial(bombs.webp, 6000, 4000),
        recipe={"width": 60, "height": 60},
        rule="the sizes of current cameras are taken",
        reason="24 megapixels are the least that a camera has today",
        checks=(checks.is_sized(60, 40),),
    )
    yield Claim(
        name="heic-61-megapixels",
        given="a HEIC of 9,504 by 6,336 pixels in tiles of 512",
        make=lambda: phoneheics.repeated(Image.new("RGB", (512, 512), "teal"), 19, 13, (9504, 6336)),
        recipe={"width": 60, "height": 60},
        rule="the sizes of current cameras are taken",
        reason="Sony's and Canon's HIF have 45 to 61 megapixels",
        checks=(checks.is_sized(60, 40),),
    )


def _gain_map() -> bytes:
    grey = Image.new("L", (48, 32), 90)
    return images.encoded(_scene(), "MPO", save_all=True, append_images=[grey], quality=92)


def _broken_mpf() -> bytes:
    whole = _mpo()
    return whole[: whole.index(b"\xff\xd9\xff\xd8") + 2]
