"""Claims: renditions are coded as the preset says, and the same bytes each time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from conformance import checks, filechecks, pictures
from conformance.claims import Claim
from support.pictures import images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.claims import Check

_PRESET = "core/preset.py: what the options of a preset say"


def claims() -> Iterator[Claim]:
    yield from _chroma()
    yield from _jpeg_coding()
    yield from _lossless()
    yield from _trade_offs()
    yield from _same_bytes()


def _claim(name: str, recipe: dict[str, Any], rule: str, reason: str, *ways: Check, others: Any = ()) -> Claim:
    return Claim(
        name=name,
        given="a PNG of a photo, 96 by 64",
        make=partial(pictures.in_format, "PNG"),
        recipe={"fit": "none"} | recipe,
        others=tuple({"fit": "none"} | other for other in others),
        rule=rule,
        reason=reason,
        checks=(checks.is_sized(pictures.WIDTH, pictures.HEIGHT), *ways),
    )


def _chroma() -> Iterator[Claim]:
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "4:2:0"),
        ({"quality": 89}, "4:2:0"),
        ({"quality": 90}, "4:4:4"),
        ({"quality": 100}, "4:4:4"),
        ({"quality": 50, "chroma": "4:4:4"}, "4:4:4"),
        ({"quality": 95, "chroma": "4:2:0"}, "4:2:0"),
        ({"quality": 70, "chroma": "4:2:2"}, "4:2:2"),
    )
    for image_format, look in (("jpeg", filechecks.has_jpeg_chroma), ("avif", filechecks.has_avif_chroma)):
        for recipe, chroma in cases:
            words = "-".join(f"{name}-{value}" for name, value in recipe.items()).replace(":", "") or "default"
            yield _claim(
                f"chroma-{image_format}-{words}",
                {"format": image_format} | recipe,
                "colours have half the resolution below quality 90, unless the preset says otherwise",
                "chroma subsampling blurs red text and logos; who asks for 90 wants to see them",
                look(chroma),
            )
    yield _claim(
        "chroma-auto-format",
        {"format": "auto", "quality": 92},
        "auto's JPEG keeps the same rule",
        _PRESET,
        checks.is_a("JPEG"),
        filechecks.has_jpeg_chroma("4:4:4"),
    )


def _jpeg_coding() -> Iterator[Claim]:
    yield _claim(
        "baseline",
        {},
        "a JPEG is baseline unless the preset says otherwise",
        _PRESET,
        filechecks.has_segment(0xC0),
        filechecks.has_segment(0xC2, there=False),
    )
    yield _claim(
        "progressive",
        {"progressive": True},
        "a progressive JPEG has SOF2",
        "ITU-T T.81, B.2.2",
        filechecks.has_segment(0xC2),
        filechecks.has_segment(0xC0, there=False),
    )
    yield _claim(
        "progressive-auto",
        {"progressive": True, "format": "auto"},
        "auto's JPEG is progressive where the preset says so",
        "ITU-T T.81, B.2.2",
        filechecks.has_segment(0xC2),
    )
    for quality in (1, 30, 80, 95, 100):
        yield _claim(
            f"quality-{quality}",
            {"quality": quality},
            "quality is on the scale of the Independent JPEG Group",
            "libjpeg, jcparam.c: jpeg_quality_scaling",
            filechecks.has_quality(quality),
        )
    scene = pictures.rgb(images.scene(pictures.WIDTH, pictures.HEIGHT))
    for image_format in ("jpeg", "webp", "avif"):
        yield _claim(
            f"faithful-{image_format}",
            {"format": image_format, "quality": 95},
            "at quality 95 the picture is nearly the original",
            "a wrong range or matrix shows as a shift of all colours",
            checks.is_near(scene, 3.0),
        )


def _lossless() -> Iterator[Claim]:
    scene = pictures.rgb(images.scene(pictures.WIDTH, pictures.HEIGHT))
    yield _claim("lossless-png", {"format": "png"}, "PNG is exact", "PNG is lossless", checks.equals(scene))
    yield _claim(
        "lossless-webp",
        {"format": "webp", "lossless": True},
        "lossless WebP is exact, and is coded as such",
        "RFC 9649, 3: VP8L",
        checks.equals(scene),
        filechecks.has_chunk(b"VP8L"),
    )
    yield _claim(
        "lossy-webp", {"format": "webp"}, "WebP is lossy unless asked", "RFC 6386: VP8", filechecks.has_chunk(b"VP8 ")
    )
    yield Claim(
        name="lossless-hole",
        given="a PNG with a transparent right half",
        make=partial(images.encoded, pictures.with_hole(), "PNG"),
        recipe={"fit": "none", "format": "webp", "lossless": True},
        rule="lossless holds for alpha too",
        reason="RFC 9649, 3: VP8L",
        checks=(checks.equals(pictures.rgba(pictures.with_hole())),),
    )


def _trade_offs() -> Iterator[Claim]:
    for image_format in ("jpeg", "webp", "avif"):
        yield _claim(
            f"lower-quality-{image_format}",
            {"format": image_format, "quality": 40},
            "a lower quality gives a smaller file",
            _PRESET,
            filechecks.is_smaller_than_other(),
            others=({"format": image_format, "quality": 85},),
        )
    # More than 3 costs an AVIF ten times the time.
    for image_format, effort in (("webp", 9), ("png", 9), ("avif", 3)):
        yield _claim(
            f"effort-{image_format}",
            {"format": image_format, "effort": effort},
            "more effort makes a smaller file of the same picture",
            _PRESET,
            checks.is_a(image_format.upper()),
            filechecks.is_smaller_than_other(),
            checks.is_upright(),
            checks.others([checks.is_a(image_format.upper()), checks.is_upright()]),
            others=({"format": image_format, "effort": 0},),
        )


def _same_bytes() -> Iterator[Claim]:
    for recipe in (
        {"format": "jpeg"}, {"format": "jpeg", "progressive": True}, {"format": "png"},
        {"format": "webp"}, {"format": "webp", "lossless": True}, {"format": "avif"},
    ):  # fmt: skip
        yield _claim(
            f"same-bytes-{'-'.join(map(str, recipe.values())).lower()}",
            recipe,
            "the same original and preset give the same bytes",
            "keys are deterministic: doing a job twice must write the same objects",
            checks.is_upright(),
            filechecks.same_bytes_as_others(),
            others=(recipe, recipe),
        )
    for image_format, height, given, make in (
        ("jpeg", 30, "a JPEG of 400 by 300", partial(images.photo_jpeg, 400, 300)),
        ("png", 27, "a PNG with a transparent right half", partial(images.encoded, pictures.with_hole(), "PNG")),
    ):
        yield Claim(
            name=f"shared-decode-{image_format}",
            given=given,
            make=make,
            recipe={"width": 40, "height": 40, "background": "#3366cc"},
            others=(
                {"fit": "none", "format": "png"},
                {"width": 60, "height": 30, "fit": "cover", "format": "webp", "lossless": True, "sharpen": 80},
                {"width": 35, "height": 60, "fit": "fill", "quality": 95},
            ),
            alone=True,
            rule="presets that share a decode do not disturb each other",
            reason="an image that is changed in place shows in the next rendition",
            checks=(checks.is_a("JPEG"), checks.is_sized(40, height), filechecks.is_as_when_alone()),
        )
