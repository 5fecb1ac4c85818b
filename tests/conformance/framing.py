"""Claims: which part of the picture is kept, and that each pixel comes from its own place."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from conformance import checks, pictures
from conformance.claims import Check, Claim
from support.pictures import clean_aperture, images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.output import Output

Size = tuple[int, int]

_PRESET: Final = "core/preset.py: what the options of a preset say"


_GRAVITIES: Final = {
    "center": (0.5, 0.5), "north": (0.5, 0), "northeast": (1, 0), "east": (1, 0.5), "southeast": (1, 1),
    "south": (0.5, 1), "southwest": (0, 1), "west": (0, 0.5), "northwest": (0, 0),
}  # fmt: skip

_FOCAL_POINTS: Final = (0.0, 0.1, 0.25, 0.5, 0.6, 1.0)


def claims() -> Iterator[Claim]:
    yield from _crops()
    yield from _apertures()
    yield from _geometry()
    yield from _resampling()


def _crops() -> Iterator[Claim]:
    for gravity, (x, y) in _GRAVITIES.items():
        yield _crop(f"gravity-{gravity}-wide", (300, 100), {"gravity": gravity}, x, 0.5)
        yield _crop(f"gravity-{gravity}-tall", (100, 300), {"gravity": gravity}, 0.5, y)
    for share in _FOCAL_POINTS:
        place = min(max(share - 1 / 6, 0), 2 / 3) * 1.5
        yield _crop(f"focal-point-{share:g}-wide", (300, 100), {"focal_point": (share, 0.5)}, place, 0.5)
        yield _crop(f"focal-point-{share:g}-tall", (100, 300), {"focal_point": (0.5, share)}, 0.5, place)


def _crop(name: str, size: Size, recipe: dict[str, Any], x: float, y: float) -> Claim:
    """``x`` and ``y`` say where the kept square lies: 0 left or top, 1 right or bottom. Colours tell the place."""
    along = x if size[0] > size[1] else y
    kept = pictures.ramp_columns(2 / 3 * along, 2 / 3 * along + 1 / 3, 50)
    return Claim(
        name=f"cover-{name}",
        given=f"a PNG of {size[0]} by {size[1]} pixels from black to white along its longer side",
        make=partial(_ramp, *size),
        recipe={"width": 50, "height": 50, "fit": "cover", "format": "png"} | recipe,
        rule="cover keeps the part that the preset names, without distorting it",
        reason=_PRESET,
        checks=(checks.is_sized(50, 50), checks.is_made_of(kept) if size[0] > size[1] else _rows_are(kept)),
    )


def _apertures() -> Iterator[Claim]:
    scene = images.scene(pictures.WIDTH, pictures.HEIGHT)
    for image_format, orientation in product(("avif", "heic"), range(1, 9)):
        yield Claim(
            name=f"clean-aperture-{image_format}-{orientation}",
            given=f"an {image_format} in orientation {orientation} whose clap box cuts a white margin away",
            make=partial(clean_aperture.framed, image_format, scene, orientation),
            recipe={"fit": "none", "format": "png"},
            rule="what the clean aperture cuts away is not shown, and what it leaves stands upright",
            reason="ISO/IEC 14496-12, 12.1.4; MIAF 7.3.6.7: clap, then irot, then imir; Pillow shows all of it",
            checks=(checks.is_sized(96, 64), checks.is_upright()),
        )


def _ramp(width: int, height: int) -> bytes:
    if width > height:
        return images.encoded(pictures.ramp(width, height), "PNG")
    return images.encoded(pictures.ramp(height, width).transpose(Image.Transpose.TRANSPOSE), "PNG")


def _rows_are(expected: list[int]) -> Check:
    wanted = np.repeat(np.array(expected, dtype=np.uint8)[:, None, None], 3, axis=2)
    return checks.equals(np.broadcast_to(wanted, (len(expected), 50, 3)), within=3, what="the part that was to be kept")


def _geometry() -> Iterator[Claim]:
    sizes = ((300, 100), (301, 50), (203, 37), (1003, 60))
    for (width, count), image_format in product(sizes, ("PNG", "JPEG")):
        options: dict[str, object] = {"quality": 95} if image_format == "JPEG" else {}
        yield Claim(
            name=f"no-shift-{image_format.lower()}-{width}-to-{count}",
            given=f"a {image_format} of {width} by 301 pixels from black on the left to white on the right",
            make=partial(images.encoded, pictures.ramp(width, 301), image_format, **options),
            recipe={"width": count, "height": 40, "fit": "fill", "format": "png"},
            rule="each pixel comes from its own place: no half-pixel shift, no lost edge, also after shrinking on load",
            reason="lovell/sharp#848: shrink-on-load shifted and stretched; lovell/sharp#1185: borders",
            checks=(checks.is_made_of(pictures.ramp_columns(0, 1, count)),),
        )


def _resampling() -> Iterator[Claim]:
    stripes = np.zeros((400, 400), dtype=np.uint8)
    stripes[:, ::2] = 255
    made = Image.fromarray(stripes)
    kinds = {
        "grey": images.encoded(made, "PNG"),
        "1-bit": images.encoded(made.convert("1"), "PNG"),
        "palette": images.encoded(made.convert("RGB").quantize(2), "PNG"),
        "gif": images.encoded(made, "GIF"),
        "jpeg": images.jpeg(made, quality=98),
    }
    for name, data in kinds.items():
        yield Claim(
            name=f"no-aliasing-{name}",
            given=f"black and white columns of one pixel each ({name})",
            make=partial(bytes, data),
            recipe={"width": 57, "height": 57, "format": "png"},
            rule="fine detail becomes its mean, not a coarser pattern; a palette does not change that",
            reason="Pillow resamples modes P and 1 with NEAREST, whatever is asked for",
            checks=(checks.is_even(0, 108, 148),),
        )
    scene = images.scene(pictures.WIDTH, pictures.HEIGHT)
    yield Claim(
        name="fitting-image-untouched",
        given="a PNG of 96 by 64 pixels",
        make=partial(pictures.in_format, "PNG"),
        recipe={"width": 96, "height": 96, "format": "png"},
        rule="an image that has the right size already is not resampled",
        reason="resampling at scale 1 still blurs with most filters",
        checks=(checks.equals(pictures.rgb(scene)),),
    )
    yield Claim(
        name="sharpen",
        given="a picture of a grey step",
        make=partial(_step),
        recipe={"width": 60, "height": 60, "format": "png", "sharpen": 150},
        others=({"width": 60, "height": 60, "format": "png"},),
        rule="sharpening makes edges steeper, and none is done unasked",
        reason=_PRESET,
        checks=(_is_sharper_than_other(),),
    )
    yield Claim(
        name="several-presets",
        given="a JPEG of 800 by 600 pixels",
        make=partial(images.photo_jpeg, 800, 600),
        recipe={"width": 32, "height": 32},
        others=(
            {"width": 200, "height": 200, "format": "webp"},
            {"width": 64, "height": 64, "fit": "fill", "format": "png"},
            {"width": 100, "height": 80, "fit": "cover", "format": "avif"},
        ),
        rule="presets that share one decode each get their own size, format and place, in the order asked for",
        reason="one decode for all presets of a job",
        checks=(
            checks.is_sized(32, 24),
            checks.is_upright(),
            checks.others(
                [checks.is_sized(200, 150), checks.is_a("WEBP"), checks.is_upright()],
                [checks.is_sized(64, 64), checks.is_a("PNG"), checks.is_upright()],
                [checks.is_sized(100, 80), checks.is_a("AVIF"), checks.is_upright()],
            ),
        ),
    )


def _step() -> bytes:
    image = Image.new("RGB", (240, 240), (100, 100, 100))
    image.paste((160, 160, 160), (120, 0, 240, 240))
    return images.encoded(image, "PNG")


def _is_sharper_than_other() -> Check:
    def fault(output: Output) -> str | None:
        sharp, plain = (100 - int(each.rgb.min()) for each in (output, output.others[0]))
        return None if sharp >= plain + 5 else f"the dark side goes down by {sharp}, unsharpened by {plain}"

    return Check("the dark side of the step goes down by 5 more than without sharpening", fault)
