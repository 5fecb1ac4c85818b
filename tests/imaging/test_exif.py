from __future__ import annotations

import io
import struct
from typing import Literal

import pytest
from PIL import Image

from support.pictures import images
from support.pictures.containers import EXIF, jpeg_with
from thumbq.core.preset import Preset
from thumbq.imaging import Limits, exif
from thumbq.imaging.render import render
from thumbq.ports import Rendered

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
MAKE, ORIENTATION, ARTIST, COPYRIGHT = 271, 274, 315, 33432
ASCII, SHORT, LONG, UTF8 = 2, 3, 4, 129


def block(*tags: tuple[int, int, int, bytes], order: str = ">") -> bytes:
    """Write EXIF with tags: number, type, count and value."""
    at = 8 + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for number, kind, count, value in tags:
        inline = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(order + "I", at + len(values))
        entries += struct.pack(order + "HHI", number, kind, count) + inline
        values += value if len(value) > 4 else b""
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "IH", 8, len(tags))
    return b"Exif\0\0" + head + entries + bytes(4) + values


def text(number: int, value: bytes, kind: int = ASCII) -> tuple[int, int, int, bytes]:
    return number, kind, len(value), value


def with_exif(data: bytes | None) -> Image.Image:
    image = Image.new("RGB", (1, 1))
    if data is not None:
        image.info["exif"] = data
    return image


def saved(image_format: str) -> bytes:
    return images.encoded(Image.new("RGB", (40, 30), (9, 90, 9)), image_format, xmp=XMP)


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP", "AVIF"])
def test_an_orientation_in_xmp_turns_nothing(image_format: str) -> None:
    data = saved(image_format)
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.getexif()[ORIENTATION] == 6, "Pillow would turn it"
    made = render(data, [Preset(name="whole", fit="none")], Limits())
    assert isinstance(made, Rendered), made
    assert (made.width, made.height) == (40, 30)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "code"), [(SHORT, "H"), (LONG, "I")])
def test_orientation_is_read_in_either_byte_order(order: str, kind: int, code: str) -> None:
    tags = text(MAKE, b"Maker\0"), (ORIENTATION, kind, 1, struct.pack(order + code, 6))
    image = with_exif(block(*tags, order=order))
    assert exif.orientation(image) == 6


@pytest.mark.parametrize("length", range(0, 60, 3))
def test_a_block_that_is_cut_turns_nothing_it_does_not_say(length: int) -> None:
    whole = block(text(MAKE, b"Maker\0"), (ORIENTATION, SHORT, 1, b"\0\6"), text(ARTIST, b"Somebody\0"))
    image = with_exif(whole[:length])
    assert exif.orientation(image) == (6 if length >= 40 else 1)
    assert exif.copyright_only(image, exif.text) == b""


@pytest.mark.parametrize("data", [None, b"", b"Exif\0\0", b"Exif\0\0II", b"nonsense, and more of it"])
def test_no_block_says_nothing(data: bytes | None) -> None:
    image = with_exif(data)
    assert (exif.orientation(image), exif.copyright_only(image, exif.text)) == (1, b"")


@pytest.mark.parametrize(
    ("kind", "artist"),
    [
        (ASCII, "Jürgen Müller\0".encode()),
        (ASCII, "Jürgen Müller\0".encode("latin-1")),
        (ASCII, b"one\0two\0"),
        (ASCII, b"Al\0"),
        (UTF8, "高橋\0".encode()),
    ],
    ids=["utf-8 as ascii", "latin-1", "photographer and editor", "short", "utf-8 of exif 3.0"],
)
def test_the_bytes_of_artist_and_copyright_stay_as_they_are(kind: int, artist: bytes) -> None:
    tags = text(MAKE, b"Maker\0"), text(ARTIST, artist, kind), text(COPYRIGHT, b"(c) \xc3\xa9\0")
    kept = exif.copyright_only(with_exif(block(*tags)), exif.text)
    assert kept == exif.copyright_only(with_exif(kept), exif.text), "what was written is read again"
    (count,) = struct.unpack_from("<H", kept, 14)
    fields = {}
    for entry in range(16, 16 + 12 * count, 12):
        number, written, length, at = struct.unpack_from("<HHII", kept, entry)
        start = entry + 8 if length <= 4 else 6 + at
        fields[number] = (written, kept[start : start + length])
    assert fields == {ARTIST: (kind, artist), COPYRIGHT: (ASCII, b"(c) \xc3\xa9\0")}


def test_the_artist_of_a_tiff_stays_as_it_is() -> None:
    data = images.encoded(Image.new("RGB", (4, 4)), "TIFF", tiffinfo={ARTIST: "Jürgen".encode()})
    image = Image.open(io.BytesIO(data))
    image.load()
    assert "Jürgen\0".encode() in exif.copyright_only(image, exif.text_of_tiff)


@pytest.mark.parametrize("artist", [b" \0", b"\0\0\0\0\0\0", b"x" * 20_000])
def test_what_is_no_name_is_not_kept(artist: bytes) -> None:
    assert exif.copyright_only(with_exif(block(text(ARTIST, artist))), exif.text) == b""


@pytest.mark.parametrize("output", ["jpeg", "png", "webp", "avif"])
def test_names_outside_ascii_reach_every_format(output: Literal["jpeg", "png", "webp", "avif"]) -> None:
    artist = "Jürgen Müller\0".encode()
    data = jpeg_with(images.small_jpeg(), (EXIF, block(text(ARTIST, artist))))
    made = render(data, [Preset(name="kept", width=20, format=output, keep_copyright=True)], Limits())
    assert isinstance(made, Rendered), made
    assert artist in made.images[0].body
