"""Hostile files: small, cheap to make, and made to cost whoever decodes them gigabytes or minutes.

Each is built by hand from its format's parts, without ever holding what it claims to hold.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

from support.pictures.containers import png_file, riff_chunks, webp_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from support.pictures.containers import Part


@lru_cache(maxsize=1)
def bombs() -> Mapping[str, tuple[bytes, str]]:
    """Return every bomb by its name: the file, and the code that it is refused with.

    Those that are animations are refused when all of their frames are wanted. An APNG whose frames are not there is its
    default image, which these two lack, too.
    """
    return {
        "PNG of 65,536 a side": (png(65_536, 65_536), "too-large"),
        "APNG of a million frames": (apng(64, 64, frames=1_000_000), "truncated"),
        "APNG with a frame outside of it": (apng(64, 64, frame=(60_000, 60_000)), "truncated"),
        "progressive JPEG of 88 megapixels in 181 bytes": (scans_jpeg(9_400, 9_400), "too-large"),
        "JPEG of 2,010 scans": (scans_jpeg(4_000, 3_000, more_scans=2_006, run_bytes=340), "too-many-scans"),
        "JPEG of 150 scans": (scans_jpeg(4_000, 3_000, more_scans=146), "too-many-scans"),
        "progressive JPEG that ends after half of its scans": (scans_jpeg(640, 480, scans=2), "truncated"),
        "arithmetic-coded JPEG": (scans_jpeg(640, 480).replace(b"\xff\xc2", b"\xff\xca", 1), "unsupported-format"),
        "lossless JPEG": (scans_jpeg(640, 480).replace(b"\xff\xc2", b"\xff\xc3", 1), "unsupported-format"),
        "WebP of 9,400 a side": (webp(9_400, 9_400), "too-large"),
        "WebP of a picture larger than its canvas": (webp_canvas(16, 16, *riff_chunks(webp(9_400, 9_400))), "corrupt"),
        "WebP of 600 frames": (webp_animation(64, 64, frames=600), "too-many-frames"),
        "WebP with 400 frames of 4 megapixels": (webp_animation(2_000, 2_000, frames=400), "too-many-frames"),
        "GIF with a second frame of 60,000 a side": (gif(10, 10, second=(0, 0, 60_000, 60_000)), "too-large"),
        "GIF of 65,535 a side": (gif(65_535, 65_535), "too-large"),
        "GIF of 5,000 frames": (gif(10, 10, frames=5_000), "too-many-frames"),
        "AVIF that says 60,000 a side": (iso_media(b"avif", b"av01", said=(60_000, 60_000)), "too-large"),
        "AVIF of 64 a side that codes 15,000": (iso_media(b"avif", b"av01", coded=[(15_000, 15_000)]), "too-large"),
        "AVIF that codes 64 a side, and then 30,000": (
            iso_media(b"avif", b"av01", coded=[(64, 64), (30_000, 30_000)]),
            "too-large",
        ),
        "AVIF whose second size lies in two places": (
            iso_media(b"avif", b"av01", coded=[(64, 64), (30_000, 30_000)], cut_at=15),
            "too-large",
        ),
        "AVIF whose second frame codes 30,000 a side": (
            avif_sequence(64, 64, frames=2, coded=[(64, 64), (30_000, 30_000)]),
            "too-large",
        ),
        "AVIF of a million frames": (avif_sequence(64, 64, frames=1_000_000), "too-many-frames"),
        "HEIC that says 60,000 a side": (iso_media(b"heic", b"hvc1", said=(60_000, 60_000)), "too-large"),
        "TIFF of 60,000 a side": (tiff({256: 60_000, 257: 60_000, 259: 8}), "too-large"),
        "TIFF with a tile of 60,000 a side": (tiff({256: 8, 257: 8, 259: 5, 322: 60_000, 323: 60_000}), "too-large"),
        "TIFF whose tags are all the same bytes": (tiff_of_overlapping_tags(), "corrupt"),
        "TIFF of four billion strips": (tiff({256: 8, 257: 8}, strips=0xFFFF_FFFF), "corrupt"),
        "BMP of runs, 30,000 a side": (bmp(30_000, 30_000, compression=1), "too-large"),
        "EPS named .jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n", "unsupported-format"),
        "TGA of 828 megabytes": (tga(16_400, 16_800), "unsupported-format"),
        "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' width='99999' height='99999'/>", "unsupported-format"),
    }  # fmt: skip


def png(width: int, height: int) -> bytes:
    """Make an RGB PNG without pixels."""
    return png_file([_ihdr(width, height), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")])


def apng(width: int, height: int, *, frames: int = 2, frame: tuple[int, int] = (0, 0)) -> bytes:
    """Make an APNG that announces frames; all after the first lie at an offset."""
    there = min(frames, 600)
    first = (b"fcTL", struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 10, 0, 0))
    other = (b"fcTL", struct.pack(">IIIIIHHBB", 1, width, height, *frame, 1, 10, 0, 0))
    further = [other, (b"fdAT", bytes(4))] * (there - 1)
    before = [_ihdr(width, height), (b"acTL", struct.pack(">II", frames, 0)), first]
    return png_file([*before, (b"IDAT", zlib.compress(b"")), *further, (b"IEND", b"")])


def scans_jpeg(width: int, height: int, *, scans: int = 4, more_scans: int = 0, run_bytes: int = 0) -> bytes:
    """Make a progressive YCbCr JPEG of hardly any data.

    Four ``scans`` bring all coefficients; ``more_scans`` bring those of the first component again. ``run_bytes`` of
    data in each of these tell that the coefficients of millions of blocks are 0: a few bits for each long run of them,
    and yet a decoder visits every block.
    """
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes((1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0))
    # Code 0: no difference, or the end of a block; code 10: nothing more in 2^14 blocks and some, which 14 bits tell.
    means = _segment(0xC4, bytes((0x00, 1)) + bytes(15) + b"\x00")
    runs = _segment(0xC4, bytes((0x10, 1, 1)) + bytes(14) + b"\x00\xe0")
    header = b"\xff\xd8" + _segment(0xDB, b"\0" + b"\1" * 64) + _segment(0xC2, frame) + means + runs
    complete = [
        _scan((1, 2, 3), 0, 0, b""),
        *(_scan((component,), 1, 63, b"") for component in (1, 2, 3)),
    ]
    again = _scan((1,), 1, 63, b"\x9f\xfe" * (run_bytes // 2))
    return header + b"".join(complete[:scans]) + again * more_scans + b"\xff\xd9"


def webp(width: int, height: int) -> bytes:
    """Make a lossless WebP of one colour: five prefix codes of one symbol each, and no data."""
    bits = (width - 1) | (height - 1) << 14 | 0 << 28
    codes = sum(0b0001 << 4 * index for index in range(5))
    stream = b"\x2f" + struct.pack("<I", bits) + (codes << 3).to_bytes(4, "little")
    return webp_file([(b"VP8L", stream)])


def webp_canvas(width: int, height: int, *pictures: Part, animated: bool = False) -> bytes:
    """Make an extended WebP: a canvas, and chunks in it."""
    canvas = bytes((2 if animated else 0, 0, 0, 0)) + _int24(width - 1) + _int24(height - 1)
    return webp_file([(b"VP8X", canvas), *pictures])


def webp_animation(width: int, height: int, *, frames: int) -> bytes:
    """Make a WebP of equal frames."""
    place = bytes(6) + _int24(width - 1) + _int24(height - 1) + _int24(100) + b"\0"
    frame = (b"ANMF", place + webp(width, height)[12:])
    return webp_canvas(width, height, (b"ANIM", bytes(6)), *(frame,) * frames, animated=True)


def gif(width: int, height: int, *, frames: int = 1, second: tuple[int, int, int, int] | None = None) -> bytes:
    """Make a GIF of one colour; ``second`` is left, top, width and height of one more frame. Large ones lack pixels."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes((0, 0, 0, 255, 255, 255))
    data = _lzw(min(width * height, 100))
    first = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + data
    further = b"" if second is None else b"\x2c" + struct.pack("<HHHHB", *second, 0) + data
    return screen + first * frames + further + b"\x3b"


def iso_media(
    brand: bytes,
    kind: bytes,
    *,
    said: tuple[int, int] = (64, 64),
    coded: Sequence[tuple[int, int]] = ((64, 64),),
    cut_at: int = 0,
) -> bytes:
    """Make an AVIF or HEIC of one item; AV1 sequence headers say the coded sizes. It is cut in two with ``cut_at``."""
    file_type = _box(b"ftyp", brand, bytes(4), b"mif1", brand)
    extent = _full_box(b"ispe", struct.pack(">II", *said))
    properties = _box(b"iprp", _box(b"ipco", extent), _full_box(b"ipma", struct.pack(">IHBB", 1, 1, 1, 1)))
    entry = _full_box(b"infe", struct.pack(">HH", 1, 0), kind, b"\0", version=2)
    data = b"".join(_sequence_header(*size) for size in coded)

    def meta(start: int) -> bytes:
        parts = [(start, cut_at), (start + cut_at, len(data) - cut_at)][not cut_at :]
        places = b"".join(struct.pack(">II", *part) for part in parts)
        return _full_box(
            b"meta",
            _full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
            _full_box(b"pitm", struct.pack(">H", 1)),
            _full_box(b"iloc", b"\x44\0", struct.pack(">HHHH", 1, 1, 0, len(parts)), places),
            _full_box(b"iinf", struct.pack(">H", 1), entry),
            properties,
        )

    return file_type + meta(len(file_type) + len(meta(0)) + 8) + _box(b"mdat", data)


def avif_sequence(width: int, height: int, *, frames: int, coded: Sequence[tuple[int, int]] = ()) -> bytes:
    """Make an AVIF sequence of a track whose table announces frames, of which there are those with a coded size."""
    file_type = _box(b"ftyp", b"avis", bytes(4), b"avif", b"avis")
    data = [_sequence_header(*size) for size in coded] or [b"\0"]
    table = _box(
        b"stbl",
        _full_box(b"stsz", struct.pack(">II", len(data[0]), frames)),
        _full_box(b"stsc", struct.pack(">IIII", 1, 1, frames, 1)),
        _full_box(b"stco", struct.pack(">II", 1, len(file_type) + 8)),
    )
    media = _box(b"mdia", _full_box(b"hdlr", bytes(4), b"pict", bytes(13)), _box(b"minf", table))
    track = _full_box(b"tkhd", bytes(72), struct.pack(">II", width << 16, height << 16))
    return file_type + _box(b"mdat", *data) + _box(b"moov", _box(b"trak", track, media))


def tiff(numbers: Mapping[int, int], *, strips: int = 1) -> bytes:
    """Make an RGB TIFF of a few tags and one byte of pixels, which is said to be compressed."""
    tags = {258: 8, 259: 5, 262: 2, 277: 3, **numbers}
    entries = [(tag, 4, 1, value) for tag, value in tags.items()]
    entries += [(324 if 322 in tags else 273, 4, strips, 8), (325 if 322 in tags else 279, 4, strips, 1)]
    return _tiff(entries, b"\0" * 8)


def tiff_of_overlapping_tags() -> bytes:
    """Make a TIFF of 800 tags, each of which is the same 64 KiB: a reader that copies them holds 50 MiB."""
    body = bytes(1 << 16)
    entries = [(256, 4, 1, 8), (257, 4, 1, 8), *((tag, 7, len(body), 8) for tag in range(40_000, 40_800))]
    return _tiff(entries, body)


def bmp(width: int, height: int, *, compression: int) -> bytes:
    """Make a BMP of 8 bits, or of runs of 4, without pixels."""
    depth = 4 if compression == 2 else 8
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, compression, 0, 0, 0, 256, 0)
    return struct.pack("<2sIII", b"BM", 0, 0, 54 + 1024) + header + bytes(1024) + b"\0\1"


def tga(width: int, height: int) -> bytes:
    """Make a TGA of runs, which has no magic bytes: nearly anything opens as one."""
    return struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, width, height, 24, 0)


def _ihdr(width: int, height: int) -> Part:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _scan(components: Sequence[int], first: int, last: int, data: bytes) -> bytes:
    which = b"".join(bytes((component, 0)) for component in components)
    return _segment(0xDA, bytes((len(components),)) + which + bytes((first, last, 0))) + data


def _lzw(pixels: int) -> bytes:
    """Code some pixels of 2 bits: the clear code (4) before each two, so that no code grows, and the end code (5)."""
    codes = [code for _ in range(-(-pixels // 2)) for code in (4, 1, 1)] + [5]
    bits = sum(code << 3 * index for index, code in enumerate(codes))
    data = bits.to_bytes(-(-3 * len(codes) // 8), "little")
    return bytes((2, len(data))) + data + b"\0"


def _int24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def _box(kind: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I", 8 + len(body)) + kind + body


def _full_box(kind: bytes, *bodies: bytes, version: int = 0) -> bytes:
    return _box(kind, bytes((version, 0, 0, 0)), *bodies)


def _sequence_header(width: int, height: int) -> bytes:
    """Make the unit that an AV1 stream begins with: profile 0, a reduced still picture header, 16 bits a side."""
    bits = f"{0:03b}11{0:05b}{15:04b}{15:04b}{width - 1:016b}{height - 1:016b}".ljust(64, "0")
    body = int(bits, 2).to_bytes(8, "big")
    return bytes((0x0A, len(body))) + body


def _tiff(entries: Sequence[tuple[int, int, int, int]], body: bytes) -> bytes:
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body + directory + bytes(4)
