from __future__ import annotations

import io
import struct
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image

from support.pictures import images, profiles
from support.pictures.containers import png
from thumbq.core.preset import Preset
from thumbq.imaging import Limits, colour
from thumbq.imaging.render import render
from thumbq.ports import Rendered

LIMITS: Final = Limits()
RAMP: Final = np.rint(np.linspace(0, 65_535, 512)).astype(np.uint16)


def rendered(data: bytes, **recipe: Any) -> Image.Image:
    """Render a file at its own size, as PNG unless told otherwise."""
    preset = Preset.model_validate({"name": "p", "fit": "none", "format": "png"} | recipe)
    result = render(data, [preset], LIMITS)
    assert isinstance(result, Rendered), result
    image = Image.open(io.BytesIO(result.images[0].body))
    image.load()
    return image


def tiff(width: int, strip: bytes, *, bits: int, photometric: int = 1, sample_format: int = 1) -> bytes:
    """Make a TIFF of one grey row, byte by byte: Pillow does not write all that it reads."""
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 1}
    tags |= {279: len(strip), 339: sample_format}
    strip += bytes(len(strip) % 2)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return struct.pack("<2sHI", b"II", 42, 8 + len(strip)) + strip + struct.pack("<H", len(tags)) + entries + bytes(4)


def row(image: Image.Image) -> list[int]:
    assert image.mode == "L"
    return list(image.tobytes())


@pytest.mark.parametrize("kind", ["PNG", "TIFF, little-endian", "TIFF, big-endian"])
def test_a_16_bit_grey_ramp_keeps_at_least_250_levels(kind: str) -> None:
    if kind == "PNG":
        data = png(512, 1, RAMP.astype(">u2").tobytes(), bits=16, kind=0)
    else:
        mode, order = ("I;16B", ">u2") if "big" in kind else ("I;16", "<u2")
        data = images.encoded(Image.frombytes(mode, (512, 1), RAMP.astype(order).tobytes()), "TIFF")
    levels = row(rendered(data))
    assert len(set(levels)) >= 250
    assert np.abs(np.array(levels) - RAMP / 257).max() <= 1


def test_a_16_bit_ramp_keeps_its_levels_when_it_is_resampled() -> None:
    ramp = np.tile(np.rint(np.linspace(0, 65_535, 2048)).astype(">u2"), (8, 1))
    levels = np.asarray(rendered(png(2048, 8, ramp.tobytes(), bits=16, kind=0), fit="contain", width=512))[0]
    assert len(set(levels.tolist())) >= 250


def test_12_bits_are_a_sixteenth_of_16() -> None:
    ramp = [0, 1000, 2048, 4095]
    packed = b"".join(((ramp[at] << 12) + ramp[at + 1]).to_bytes(3, "big") for at in (0, 2))
    assert row(rendered(tiff(4, packed, bits=12))) == [value >> 4 for value in ramp]


def test_16_bits_may_count_from_white() -> None:
    assert row(rendered(tiff(3, struct.pack("<3H", 0, 0x4000, 0xFFFF), bits=16, photometric=0))) == [255, 191, 0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.25, 0.5, 1.0], [0, 64, 128, 255]),
        ([-1.0, 0.0, 100.0, 255.0], [0, 0, 100, 255]),
        ([0.0, 257.0, 25_700.0, 65_535.0], [0, 1, 100, 255]),
        ([0.0, 2.0**31, 2.0**32, float("inf")], [0, 128, 255, 255]),
    ],
)
def test_the_largest_of_floating_point_values_tells_what_is_white(values: list[float], expected: list[int]) -> None:
    assert row(rendered(tiff(4, struct.pack("<4f", *values), bits=32, sample_format=3))) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 1, 100, 255], [0, 1, 100, 255]), ([-5, 257, 25_700, 65_535], [0, 1, 100, 255])],
)
def test_the_largest_of_32_bit_integers_does_too(values: list[int], expected: list[int]) -> None:
    assert row(rendered(tiff(4, struct.pack("<4i", *values), bits=32, sample_format=2))) == expected


def test_floating_point_is_resampled_before_its_range_is_found() -> None:
    edge = Image.fromarray(np.repeat(np.array([[0.0, 1.0]], dtype=np.float32), 40, axis=1).repeat(20, axis=0))
    small = np.asarray(rendered(images.encoded(edge, "TIFF"), fit="contain", width=20), dtype=int)
    assert small[2, 2] == 0
    assert small[2, 17] == 255


KEYED = [
    ("1 bit", 1, 0, bytes([0b01010000]), 1, [0, 255, 0, 255]),
    ("2 bits", 2, 0, bytes([0b00011011]), 1, [0, 85, 170, 255]),
    ("4 bits", 4, 0, bytes([0x05, 0xAF]), 5, [0, 85, 170, 255]),
    ("8 bits", 8, 0, bytes([0, 85, 170, 255]), 85, [0, 85, 170, 255]),
    ("16 bits", 16, 0, struct.pack(">4H", 0, 0x5555, 0xAAAA, 0xFFFF), 0x5555, [0, 85, 170, 255]),
    ("16 bits of one high byte", 16, 0, struct.pack(">4H", 0x5500, 0x5501, 0x5502, 0x5503), 0x5501, [85] * 4),
]


@pytest.mark.parametrize(
    ("bits", "kind", "pixels", "key", "greys"), [case[1:] for case in KEYED], ids=[c[0] for c in KEYED]
)
def test_a_transparent_grey_is_that_grey_and_no_other(
    bits: int, kind: int, pixels: bytes, key: int, greys: list[int]
) -> None:
    image = rendered(png(4, 1, pixels, bits=bits, kind=kind, more=[(b"tRNS", struct.pack(">H", key))]))
    assert image.mode == "LA"
    alpha = list(image.getchannel("A").tobytes())
    assert alpha == ([255, 0, 255, 0] if bits == 1 else [255, 0, 255, 255])
    assert [grey for grey, seen in zip(image.getchannel("L").tobytes(), alpha, strict=True) if seen] == [
        grey for grey, seen in zip(greys, alpha, strict=True) if seen
    ]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_transparent_rgb_colour_is_compared_at_its_own_depth(bits: int) -> None:
    scale, packing = (257, ">H") if bits == 16 else (1, "B")
    values = [200, 100, 50, 50, 100, 200]
    data = b"".join(struct.pack(packing, value * scale) for value in values)
    key = struct.pack(">3H", *(value * scale for value in values[:3]))
    image = rendered(png(2, 1, data, bits=bits, kind=2, more=[(b"tRNS", key)]))
    assert list(image.getchannel("A").tobytes()) == [0, 255]
    assert image.getpixel((1, 0)) == (50, 100, 200, 255)


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [
        ("1", "L"), ("L", "L"), ("LA", "LA"), ("La", "LA"), ("P", "RGB"), ("PA", "RGBA"), ("RGB", "RGB"),
        ("RGBA", "RGBA"), ("CMYK", "CMYK"), ("YCbCr", "RGB"), ("LAB", "LAB"), ("I", "I"), ("F", "F"), ("I;16", "L"),
        ("I;16B", "L"),
    ],
)  # fmt: skip
def test_every_mode_that_a_decoder_gives_can_be_resampled_and_becomes_srgb(mode: str, becomes: str) -> None:
    expanded = colour.expanded(Image.new(mode, (40, 30)))
    assert expanded.mode == becomes
    small = expanded.resize((4, 3), Image.Resampling.LANCZOS, reducing_gap=2)
    assert colour.to_srgb(small, None)[0].mode in {"L", "LA", "RGB", "RGBA"}


@pytest.mark.parametrize("mode", ["I;16", "P", "RGB", "L"])
def test_a_band_is_expanded_as_it_is_in_the_whole(mode: str) -> None:
    source = images.scene(64, 48)
    if mode == "I;16":
        whole = Image.frombytes(mode, (64, 48), np.arange(64 * 48, dtype="<u2").tobytes())
        whole.info["transparency"] = 1000
    else:
        whole = source.convert(mode) if mode != "P" else source.quantize(16)
        whole.info["transparency"] = {"P": 3, "L": 120}.get(mode, source.getpixel((30, 30)))
    band = (0, 10, 64, 25)
    assert colour.expanded(whole.crop(band)).tobytes() == colour.expanded(whole).crop(band).tobytes()


def test_cielab_becomes_the_srgb_that_it_measures() -> None:
    lab = Image.new("LAB", (2, 2), (128, 128 + 40, 128 - 20))
    image = rendered(images.encoded(lab, "TIFF"))
    y = (128 / 2.55 + 16) / 116
    xyz = np.array([y + 40 / 500, y, y + 20 / 200]) ** 3 * np.array(profiles.D50)
    assert np.abs(np.asarray(image, dtype=int)[0, 0] - profiles.srgb_of(np.linalg.inv(profiles.SRGB) @ xyz)).max() <= 3


def test_flattening_mixes_by_alpha_and_shows_nothing_hidden() -> None:
    clear, half = Image.new("RGBA", (1, 1), (255, 0, 0, 0)), Image.new("RGBA", (1, 1), (200, 10, 90, 128))
    assert colour.flattened(clear, "#0000ff").getpixel((0, 0)) == (0, 0, 255)
    assert colour.flattened(half, "#0000ff").getpixel((0, 0)) == (100, 5, 172)
    opaque = Image.new("RGB", (1, 1))
    assert colour.flattened(opaque, "#0000ff") is opaque


@pytest.mark.parametrize(("background", "expected"), [("#404040", 77), ("#0000ff", (45, 45, 172))])
def test_flattened_grey_stays_grey_on_a_grey_ground(background: str, expected: object) -> None:
    assert colour.flattened(Image.new("LA", (1, 1), (90, 128)), background).getpixel((0, 0)) == expected


def bmp(alpha: int) -> bytes:
    """Make a BMP of one pixel whose masks (version 4 header) give alpha a byte."""
    masks = struct.pack("<4I4s", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs")
    header = struct.pack("<IiiHHIIiiII", 108, 1, 1, 1, 32, 3, 4, 0, 0, 0, 0) + masks + bytes(48)
    return struct.pack("<2sIII", b"BM", 14 + 108 + 4, 0, 14 + 108) + header + bytes([50, 100, 200, alpha])


def test_a_bmp_may_have_alpha() -> None:
    assert rendered(bmp(255)).getpixel((0, 0)) == (200, 100, 50)
    assert rendered(bmp(0), format="jpeg", background="#0000ff", quality=100).getpixel((0, 0)) == (0, 0, 254)
