"""Claims: more than 8 bits become 8 by their value."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from conformance import checks, pictures
from conformance.claims import Claim
from conformance.colour import colour_claim
from support.pictures import images
from support.pictures.containers import png

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_PNG: Final[Mapping[str, Any]] = {"fit": "none", "format": "png"}


def claims() -> Iterator[Claim]:
    yield from _deep()


def _deep() -> Iterator[Claim]:
    levels = np.rint(np.linspace(0, 65535, 512)).astype(np.uint16)
    rows = np.broadcast_to(levels, (8, 512))
    expected = np.repeat(np.rint(rows / 257).astype(np.uint8)[..., None], 3, axis=2)
    alpha = np.stack([rows, np.full_like(rows, 65535)], axis=-1)
    colour = np.stack([rows, rows[:, ::-1], rows // 2], axis=-1)
    ramps = {
        "png": png(512, 8, rows.astype(">u2").tobytes(), bits=16, kind=0),
        "tiff-ii": images.encoded(Image.frombytes("I;16", (512, 8), rows.astype("<u2").tobytes()), "TIFF"),
        "tiff-mm": images.encoded(Image.frombytes("I;16B", (512, 8), rows.astype(">u2").tobytes()), "TIFF"),
        "png-alpha": png(512, 8, alpha.astype(">u2").tobytes(), bits=16, kind=4),
    }
    for name, data in ramps.items():
        yield Claim(
            name=f"16-bit-grey-{name}",
            given=f"a grey ramp of 16 bits ({name})",
            make=partial(bytes, data),
            recipe=_PNG,
            rule="16 bits become 8 by their value, not by clipping: the ramp keeps 250 levels",
            reason="python-pillow/Pillow#1108: convert('L') leaves two levels",
            checks=(checks.has_levels(250), checks.equals(expected, within=1, what="the value by 257")),
        )
    yield Claim(
        name="16-bit-grey-resized",
        given="a grey ramp of 16 bits (PNG), to be halved",
        make=partial(bytes, ramps["png"]),
        recipe={"width": 256, "height": 4, "format": "png"},
        rule="16 bits can be resampled",
        reason="thumbnail() of a 16-bit grey raises in Pillow",
        checks=(checks.is_made_of(pictures.ramp_columns(0, 1, 256)),),
    )
    yield Claim(
        name="16-bit-rgb",
        given="a ramp of each colour in 16 bits (PNG)",
        make=partial(png, 512, 8, colour.astype(">u2").tobytes(), bits=16, kind=2),
        recipe=_PNG,
        rule="16 bits become 8 by their value",
        reason="PNG, third edition, 13.12: sample depth scaling",
        checks=(checks.equals(np.rint(colour / 257).astype(np.uint8), within=1, what="the value by 257"),),
    )
    yield colour_claim(
        "10-bit-heic",
        "squares in a HEIC of 10 bits",
        partial(_heic10),
        [(60, 180, 90), (200, 60, 50)],
        rule="10 bits become 8 by their value",
        reason="phones' HDR modes write 10 bits",
    )


def _heic10() -> bytes:
    colours = np.repeat(np.array([(60, 180, 90), (200, 60, 50)], dtype=np.uint16) * 257, 32, axis=0)
    pixels = np.ascontiguousarray(np.broadcast_to(colours, (32, 64, 3)))
    return images.heic_of_16_bits(pixels.tobytes(), (64, 32))
