"""What is wrong with an ancillary chunk of a PNG costs that chunk and not the picture (W3C PNG, 3rd edition, 13.1)."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from support.pictures import images
from support.pictures.containers import PNG_SIGNATURE, png_chunks, png_file
from thumbq.core.preset import Preset
from thumbq.errors import RenderRefused
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.formats.registry import read_header
from thumbq.imaging.render import render

if TYPE_CHECKING:
    from collections.abc import Iterator

SCENE = images.scene(40, 30)
PROFILE = b"icc\0\0" + zlib.compress(images.display_p3_profile())
BODIES = {
    b"gAMA": struct.pack(">I", 100_000),
    b"cHRM": struct.pack(">8I", 34567, 35850, 73470, 26530, 27430, 71750, 16660, 890),
    b"sRGB": b"\0",
    b"iCCP": PROFILE,
    b"cICP": bytes([9, 16, 0, 1]),
    b"mDCV": bytes(24),
    b"cLLI": bytes(8),
    b"sBIT": b"\5\5\5",
    b"bKGD": bytes(6),
    b"hIST": bytes(6),
    b"tRNS": bytes(6),
    b"pHYs": struct.pack(">IIB", 100, 200, 1),
    b"sPLT": b"name\0\x08" + bytes(12),
    b"eXIf": b"MM\0\x2a\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0",
    b"tIME": bytes(7),
    b"iTXt": b"Comment\0\0\0\0\0words",
    b"acTL": struct.pack(">II", 2, 0),
    b"fcTL": bytes(26),
    b"fdAT": bytes(9),
    b"iDOT": bytes(28),
    b"prVt": b"private",
}


def shown(data: bytes) -> bytes | str:
    """Return the pixels of a PNG's rendition at its own size, or the code with which it is refused."""
    rendered = render(data, [Preset(name="same", fit="none", format="png")], Limits())
    if isinstance(rendered, Refusal):
        return rendered.code
    with Image.open(io.BytesIO(rendered.images[0].body)) as image:
        return image.convert("RGBA").tobytes()


def chunk(kind: bytes, body: bytes, *, checksum: int | None = None, length: int | None = None) -> bytes:
    right = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body) if length is None else length) + kind + body + struct.pack(">I", right)


def in_pieces(mode: str) -> list[bytes]:
    """Return the chunks of a PNG whose pixels are two."""
    image = SCENE.quantize(16) if mode == "P" else SCENE.convert(mode)
    parts = [part for part in png_chunks(images.encoded(image, "PNG")) if part[0] in {b"IHDR", b"PLTE", b"IDAT"}]
    *head, (_, pixels) = parts
    return [chunk(*part) for part in (*head, (b"IDAT", pixels[:90]), (b"IDAT", pixels[90:]), (b"IEND", b""))]


def with_faults(kind: bytes, body: bytes, mode: str) -> Iterator[tuple[str, bytes]]:
    pieces = in_pieces(mode)
    before = len(pieces) - 3

    def with_one(place: int, fault: bytes) -> bytes:
        return PNG_SIGNATURE + b"".join((*pieces[:place], fault, *pieces[place:]))

    for place in range(1, len(pieces)):
        yield f"checksum at {place}", with_one(place, chunk(kind, body, checksum=1))
    if kind not in {b"eXIf", b"iCCP"}:  # these are of any length
        for wrong in (b"", b"\7", body + b"more", body[: len(body) // 2]):
            if len(wrong) != len(body):
                yield f"{len(wrong)} bytes", with_one(1, chunk(kind, wrong))
    for length in (0, 1, len(body) + 3, len(body) + 300, 1 << 20, (1 << 32) - 1):
        if length != len(body):
            yield f"length {length}", with_one(before, chunk(kind, body, length=length))
    if kind != b"tRNS":
        yield "zeros", with_one(1, chunk(kind, bytes(len(body))))
        yield "ones", with_one(1, chunk(kind, b"\xff" * len(body)))
    if kind != b"eXIf":
        yield "between the pixels", with_one(before + 1, chunk(kind, body))
        yield "behind the pixels", with_one(before + 2, chunk(kind, body))


@pytest.mark.parametrize("kind", BODIES, ids=bytes.decode)
def test_no_fault_in_an_ancillary_chunk_costs_the_picture(kind: bytes) -> None:
    mode = "P" if kind in {b"tRNS", b"gAMA"} else "RGB"
    plain = shown(PNG_SIGNATURE + b"".join(in_pieces(mode)))
    assert isinstance(plain, bytes)
    for fault, data in with_faults(kind, BODIES[kind], mode):
        assert shown(data) == plain, fault


@pytest.mark.parametrize("kind", [b"gAMA", b"cHRM", b"iCCP", b"cICP", b"eXIf", b"tRNS"], ids=bytes.decode)
def test_a_chunk_that_is_as_it_should_be_counts_and_the_first_one_of_several(kind: bytes) -> None:
    head, *pieces = in_pieces("RGB")
    good = b"".join(
        chunk(each, BODIES[each]) for each in {b"gAMA": (b"gAMA",), b"cHRM": (b"gAMA", b"cHRM")}.get(kind, (kind,))
    )
    other = chunk(kind, BODIES[kind][::-1])
    spoilt = chunk(kind, BODIES[kind], checksum=1)
    once = shown(PNG_SIGNATURE + b"".join((head, good, *pieces)))
    assert once != shown(PNG_SIGNATURE + b"".join((head, *pieces))) or kind == b"tRNS"
    assert shown(PNG_SIGNATURE + b"".join((head, spoilt, good, other, *pieces))) == once


def test_without_its_end_chunk_a_png_is_whole_when_all_rows_are_there() -> None:
    for mode in ("RGB", "P", "L", "1"):
        whole = PNG_SIGNATURE + b"".join(in_pieces(mode))
        for cut in range(1, 21):  # IEND, and of the pixels their checksums
            assert shown(whole[:-cut]) == shown(whole), (mode, cut)
        for cut in (60, 100, 150):
            assert shown(whole[:-cut]) == "truncated", (mode, cut)


def test_pixels_without_their_palette_are_no_picture() -> None:
    parts = [part for part in png_chunks(images.encoded(SCENE.quantize(16), "PNG")) if part[0] != b"PLTE"]
    assert shown(png_file(parts)) == "corrupt"


def test_a_damaged_critical_chunk_costs_the_picture() -> None:
    for kind in (b"PLTE", b"ABCD"):
        head, _, *pieces = in_pieces("P")
        palette = chunk(b"PLTE", bytes(48))
        damaged = chunk(kind, bytes(48), checksum=1)
        given = (head, damaged, *pieces) if kind == b"PLTE" else (head, palette, damaged, *pieces)
        assert shown(PNG_SIGNATURE + b"".join(given)) == "corrupt"


def test_nobody_can_tell_what_an_unknown_critical_chunk_means() -> None:
    head, *pieces = in_pieces("RGB")
    assert shown(PNG_SIGNATURE + b"".join((head, chunk(b"ABCD", bytes(4)), *pieces))) == "unsupported-format"
    assert shown(PNG_SIGNATURE + b"".join((head, chunk(b"aBCD", bytes(4)), *pieces))) == shown(
        PNG_SIGNATURE + b"".join((head, *pieces))
    )


def test_a_suggested_palette_is_nobodys_business() -> None:
    head, *pieces = in_pieces("RGB")
    with_palette = PNG_SIGNATURE + b"".join((head, chunk(b"PLTE", bytes(5), checksum=1), *pieces))
    assert shown(with_palette) == shown(PNG_SIGNATURE + b"".join((head, *pieces)))


def test_the_pngs_of_iphone_apps_are_a_kind_of_their_own() -> None:
    crushed = PNG_SIGNATURE + b"".join((chunk(b"CgBI", b"P\0 \2"), *in_pieces("RGB")))
    with pytest.raises(RenderRefused) as refused:
        read_header(crushed)
    assert refused.value.code == "unsupported-format"


def test_hostile_lengths_do_not_make_the_reader_search_for_ever() -> None:
    lures = b"\xff\xff\xff\xffIDAT" * 100_000
    assert shown(PNG_SIGNATURE + in_pieces("RGB")[0] + lures) in {"corrupt", "truncated"}
