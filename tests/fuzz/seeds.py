"""Where mutations begin: a small valid file of every input format and variant, each with canaries planted in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, PngImagePlugin

from conformance import avifkinds
from fuzz import canaries, fileparts, handmade, heifwriter
from fuzz.canaries import canary
from support.pictures import bmps, images, profiles, tiffs
from thumbq.core.formats import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SIZE: Final = (61, 47)
_FRAMES: Final = 3


@dataclass(frozen=True, slots=True)
class Seed:
    name: str
    format: ImageFormat
    data: bytes


@lru_cache
def seeds() -> Mapping[ImageFormat, tuple[Seed, ...]]:
    """Make all seeds, the same in every process."""
    return {
        image_format: tuple(Seed(f"{image_format.name.lower()}-{name}", image_format, data) for name, data in maker())
        for image_format, maker in _MAKERS.items()
    }


def _picture(mode: str = "RGB") -> Image.Image:
    scene = images.scene(*_SIZE)
    if mode == "I;16":
        return scene.convert("L").convert("I").point(lambda value: value * 257).convert("I;16")
    if "A" in mode:
        scene = scene.convert("RGBA")
        scene.putalpha(scene.getchannel("R"))
    converted = scene.convert(mode)
    converted.info.clear()  # a profile with today's date, for LAB
    return converted


def _frames(mode: str = "RGB") -> list[Image.Image]:
    """Make frames that differ in a part of the picture, so that encoders write partial ones."""
    frames = [_picture(mode) for _ in range(_FRAMES)]
    for number, frame in enumerate(frames):
        frame.paste(frame.crop((0, 0, 20, 20)), (5 * number, 9))
    return frames


def _saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    return images.encoded(_picture(mode), kind, **options)


def _animated(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    first, *others = _frames(mode)
    return images.encoded(first, kind, save_all=True, append_images=others, **({"duration": 70, "loop": 2} | options))


def _jpegs() -> Iterator[tuple[str, bytes]]:
    comment = canary("COM").encode()
    metadata: Any = {"exif": canaries.exif(6), "icc_profile": canaries.icc(), "comment": comment, "xmp": canaries.xmp()}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "baseline": ("RGB", {}),
        "progressive": ("RGB", {"progressive": True}),
        "444": ("RGB", {"subsampling": "4:4:4", "quality": 95}),
        "grey": ("L", {"icc_profile": None}),
        "grey-progressive": ("L", {"progressive": True, "icc_profile": None}),
        "cmyk": ("CMYK", {"icc_profile": None}),
        "cmyk-progressive": ("CMYK", {"progressive": True}),
        "restarts": ("RGB", {"restart_marker_blocks": 2}),
        "restarts-progressive": ("RGB", {"restart_marker_rows": 1, "progressive": True}),
        "optimized": ("RGB", {"optimize": True, "quality": 20, "subsampling": "4:1:1"}),
        "p3": ("RGB", {"icc_profile": profiles.rgb_profile(profiles.DISPLAY_P3, 2.2), "keep_rgb": True}),
    }
    resources = b"Photoshop 3.0\0" + canaries.photoshop()
    iptc = b"\xff\xed" + (2 + len(resources)).to_bytes(2, "big") + resources
    for name, (mode, options) in kinds.items():
        file = _saved("JPEG", mode, **{**metadata, **options})
        yield name, file[:2] + iptc + file[2:]
    yield "mpo", _animated("MPO", exif=canaries.exif(3), comment=comment)


def _png_texts() -> list[tuple[bytes, bytes]]:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", canary("tEXt"))
    texts.add_text("Author", canary("zTXt"), zip=True)
    texts.add_itxt("XML:com.adobe.xmp", canaries.xmp().decode())
    texts.add_itxt("Title", canary("iTXt"), lang="en", tkey=canary("key"), zip=True)
    texts.add(b"eXIf", canaries.exif(8).removeprefix(b"Exif\0\0"))
    texts.add(b"tIME", b"\x07\xea\x01\x02\x03\x04\x05")
    texts.add(b"pHYs", b"\0\0\x0b\x13\0\0\x0b\x13\1")
    return [(kind, body) for kind, body, *_ in texts.chunks]


def _pngs() -> Iterator[tuple[str, bytes]]:
    transparent = {0: b"\0\7", 2: b"\0\7\0\7\0\7", 3: bytes(range(8))}
    for number, (colour, depth) in enumerate(handmade.PNG_KINDS):
        chunks = [*_png_texts(), (b"gAMA", b"\0\0\xb1\x8f")]
        yield f"{colour}-{depth}", handmade.png(_SIZE, colour, depth, interlaced=bool(number % 2), chunks=chunks)
        if colour in transparent:
            chunks.append((b"tRNS", transparent[colour][: 1 << depth]))
            yield f"{colour}-{depth}-trns", handmade.png(_SIZE, colour, depth, interlaced=not number % 2, chunks=chunks)
    texts = PngImagePlugin.PngInfo()
    for kind, body in _png_texts():
        texts.add(kind, body)
    metadata: Any = {"pnginfo": texts, "icc_profile": canaries.icc()}
    yield "rgb", _saved("PNG", **metadata)
    yield "rgba", _saved("PNG", "RGBA", **metadata)
    yield "apng", _animated("PNG", **metadata, blend=0, disposal=1)
    yield "apng-alpha", _animated("PNG", "RGBA", **metadata, blend=1, disposal=2)
    yield "apng-hidden-first", _animated("PNG", **metadata, default_image=True)


def _gifs() -> Iterator[tuple[str, bytes]]:
    comment = canary("GIF").encode()
    xmp = b"!\xff\x0bXMP DataXMP" + canaries.xmp() + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    files = {
        "still": _saved("GIF", "P", comment=comment),
        "grey": _saved("GIF", "L", comment=comment, interlace=0),
        "transparent": _saved("GIF", "P", comment=comment, transparency=3),
        "animated": _animated("GIF", comment=comment),
        "animated-background": _animated("GIF", "RGBA", comment=comment, disposal=2, duration=[0, 20, 500]),
        "animated-previous": _animated("GIF", "P", comment=comment, disposal=3, transparency=5, optimize=False),
    }
    for name, file in files.items():
        at = 13 + (3 << ((file[10] & 7) + 1) if file[10] & 0x80 else 0)
        yield name, file[:at] + xmp + file[at:]


def _webps() -> Iterator[tuple[str, bytes]]:
    metadata: Any = {"exif": canaries.exif(5), "xmp": canaries.xmp(), "icc_profile": canaries.icc(), "method": 0}
    yield "lossy", _saved("WEBP", **metadata)
    yield "lossy-plain", _saved("WEBP", method=0)
    yield "lossless", _saved("WEBP", lossless=True, **metadata)
    yield "lossless-plain", _saved("WEBP", "RGBA", lossless=True, method=0)
    yield "alpha", _saved("WEBP", "RGBA", **metadata)
    yield "animated", _animated("WEBP", **metadata)
    yield "animated-alpha", _animated("WEBP", "RGBA", **metadata, allow_mixed=True, background=(9, 8, 7, 0))
    yield "animated-lossless", _animated("WEBP", "RGBA", **metadata, lossless=True, kmin=0, kmax=0)


def _avifs() -> Iterator[tuple[str, bytes]]:
    metadata: Any = {"exif": canaries.exif(7), "xmp": canaries.xmp(), "icc_profile": canaries.icc(), "speed": 10}
    yield "420", _saved("AVIF", **metadata)
    yield "444", _saved("AVIF", **metadata, subsampling="4:4:4", range="limited")
    yield "grey", _saved("AVIF", "L", speed=10, subsampling="4:0:0")
    yield "alpha", _saved("AVIF", "RGBA", **metadata)
    yield "premultiplied", _saved("AVIF", "RGBA", **metadata, alpha_premultiplied=True)
    # libavif 1.4.2 crashes when it writes a sequence that has an orientation.
    metadata["exif"] = canaries.exif(1)
    yield "sequence", undated(_animated("AVIF", **metadata))
    yield "sequence-alpha", undated(_animated("AVIF", "RGBA", **metadata))
    turned = heifwriter.box(b"irot", b"\3")
    yield "grid", avifkinds.tiled(images.scene(128, 128), 64, turned)
    yield "grid-column", avifkinds.tiled(images.scene(64, 192), 64)


def undated(avif: bytes) -> bytes:
    """Take the time of its making out of a sequence, so that it is always the same."""
    parts = fileparts.parts_of(ImageFormat.AVIF, avif)
    for part in fileparts.every(parts):
        if part.kind in {b"mvhd", b"tkhd", b"mdhd"}:
            end = 20 if part.body[0] else 12
            part.body = part.body[:4] + bytes(end - 4) + part.body[end:]
    return fileparts.whole(ImageFormat.AVIF, parts)


def _heics() -> Iterator[tuple[str, bytes]]:
    exif = heifwriter.Item(b"Exif", bytes(4) + canaries.exif(6).removeprefix(b"Exif\0\0"), (), (b"cdsc", (1,)))
    xmp = heifwriter.Item(b"mime", canaries.xmp(), (), (b"cdsc", (1,)), b"application/rdf+xml\0")
    profile = heifwriter.box(b"colr", b"prof", canaries.icc())
    description = heifwriter.full_box(b"udes", *(canary("udes").encode() + b"\0" for _ in range(4)))
    turned, mirrored = heifwriter.box(b"irot", b"\3"), heifwriter.box(b"imir", b"\1")
    alpha = heifwriter.full_box(b"auxC", b"urn:mpeg:hevc:2015:auxid:1\0")
    tile, metadata = heifwriter.picture(), [exif, xmp]
    yield "phone", images.turned_heic()
    yield "still", heifwriter.heic([heifwriter.picture(profile, description), *metadata])
    yield "turned", heifwriter.heic([heifwriter.picture(turned, mirrored), *metadata])
    encoded: Any = {"exif": canaries.exif(5), "xmp": canaries.xmp(), "icc_profile": canaries.icc()}
    yield "encoded", images.heic(_picture(), **encoded)
    yield "encoded-alpha", images.heic(_picture("RGBA"), **encoded)
    yield "encoded-grey", images.heic(_picture("L"), exif=canaries.exif(2), xmp=canaries.xmp())
    yield "encoded-16", images.heic(_picture("I;16"), **encoded)
    yield "encoded-444", images.heic(_picture(), **encoded, chroma=444)
    yield "grid", heifwriter.heic([heifwriter.grid(3, 2, 4, turned, profile), *metadata, *[tile] * 6])
    yield "grid-column", heifwriter.heic([heifwriter.grid(1, 3, 2, profile), *[tile] * 3])
    yield "thumbnail", heifwriter.heic([heifwriter.picture(), *metadata, heifwriter.picture(refers=(b"thmb", (1,)))])
    yield "alpha", heifwriter.heic([heifwriter.picture(), *metadata, heifwriter.picture(alpha, refers=(b"auxl", (1,)))])


def _tiffs() -> Iterator[tuple[str, bytes]]:
    info = {270: canary("ImageDescription"), 271: canary("Make"), 315: canary("Artist"), 33432: canary("Copyright")}
    blobs = {700: canaries.xmp(), 33723: canaries.iptc(), 34377: canaries.photoshop()}
    metadata: Any = {"tiffinfo": {**info, **blobs}, "icc_profile": canaries.icc()}
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "tiff_deflate", "zstd", "lzma"):
        yield compression, _saved("TIFF", **metadata, compression=compression)
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield compression, _saved("TIFF", "1", compression=compression, tiffinfo=metadata["tiffinfo"])
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "LAB", "YCbCr", "I;16", "I;16B", "I", "F"):
        source = "I;16" if mode.startswith("I;") else mode
        yield f"raw-{mode}", _saved("TIFF", source, tiffinfo={**info, **blobs, 274: 6}, big_endian=mode == "I;16B")
    yield "pages", _animated("TIFF", **metadata, compression="tiff_lzw")
    basics = {256: [64], 257: [48], 274: [3], 284: [1], 339: [1, 1, 1]}
    colour = {**basics, 258: [8, 8, 8], 259: [1], 262: [2], 277: [3]}
    grey = {**basics, 258: [16], 259: [1], 262: [1], 277: [1], 339: [1]}
    tiles = {322: [32], 323: [16]}
    yield "tiled", handmade.tiff({**colour, **tiles}, handmade.noise_blocks(6, 32 * 16 * 3), tiled=True)
    yield "tiled-16", handmade.tiff({**grey, **tiles}, handmade.noise_blocks(6, 32 * 16 * 2), tiled=True, order=">")
    planes = handmade.noise_blocks(3, 64 * 48)
    yield "planes", handmade.tiff({**colour, 284: [2], 278: [48]}, planes, tiled=False, order=">")
    wide = {**colour, 258: [16, 16, 16], 278: [12]}
    yield "strips-16", handmade.tiff(wide, handmade.noise_blocks(4, 64 * 12 * 6), tiled=False)
    yield from _odd_tiffs()


def _odd_tiffs() -> Iterator[tuple[str, bytes]]:
    """Yield TIFFs that Pillow is not given as they are."""
    scene = np.asarray(images.scene(*_SIZE))
    four = np.concatenate([scene, scene[..., :1]], axis=2)
    told: dict[int, Sequence[int] | bytes] = {270: canary("ImageDescription").encode(), 700: canaries.xmp()}
    rgb = tiffs.Layout(photometric=tiffs.RGB, tags=told, rows=10)
    kinds = {
        "big": (scene, replace(rgb, big=True, compression=tiffs.LZW)),
        "big-big-endian": (scene, replace(rgb, big=True, order=">")),
        "planar-16": (scene.astype("u2") * 257, replace(rgb, planar=2)),
        "planar-alpha": (four, replace(rgb, planar=2, extra=[1], compression=tiffs.DEFLATE, tile=(32, 16))),
        "cmyk-alpha": (np.concatenate([four, four[..., :1]], axis=2), replace(rgb, photometric=tiffs.CMYK, extra=[2])),
        "lab-planar": (scene, replace(rgb, photometric=tiffs.LAB, planar=2)),
        "ycbcr": (scene, replace(rgb, photometric=tiffs.YCBCR, tags=told | {530: [2, 2]})),
        "grey-32": (scene[..., 0].astype("u4") << 24, replace(rgb, photometric=tiffs.BLACK_IS_ZERO)),
        "grey-alpha-16": (four[..., :2].astype("u2"), replace(rgb, photometric=tiffs.BLACK_IS_ZERO, extra=[2])),
        "signed": (scene[..., 0].astype("i2") * 128, replace(rgb, photometric=tiffs.BLACK_IS_ZERO, order=">")),
        "palette-8-bit": (
            scene[..., 0] >> 4,
            replace(rgb, photometric=tiffs.PALETTE, bits=4, tags=told | {320: [*range(48)]}),
        ),
    }
    for name, (samples, layout) in kinds.items():
        yield name, tiffs.tiff(samples, layout)


def _bmps() -> Iterator[tuple[str, bytes]]:
    for bits in (1, 4, 8, 16, 24, 32):
        yield f"{bits}", handmade.bmp(_SIZE, bits)
    yield "8-rle", handmade.bmp(_SIZE, 8, compression=1)
    yield "4-rle", handmade.bmp(_SIZE, 4, compression=2)
    yield "16-masks", handmade.bmp(_SIZE, 16, header_bytes=56, compression=3)
    yield "32-masks", handmade.bmp(_SIZE, 32, header_bytes=124, compression=3)
    yield "os2", handmade.bmp(_SIZE, 24, header_bytes=12)
    yield "top-down", handmade.bmp((_SIZE[0], -_SIZE[1]), 24) + canary("after the end").encode()
    noise = handmade.noise_blocks(1, 64 * 4 * 47)[0]
    odd: Any = {"compression": bmps.BITFIELDS, "masks": (0x3FF, 0xFFC00, 0x3FF00000, 0xC0000000)}
    yield "10-bits", bmps.bmp(_SIZE, 32, noise, header=bmps.V4, space=bmps.CALIBRATED, ends=[0.3] * 9, gamma=2, **odd)
    yield "profile", bmps.bmp(_SIZE, 24, noise, header=bmps.V5, space=bmps.EMBEDDED, profile=canaries.icc())
    yield "os2-short", bmps.bmp(_SIZE, 24, noise, header=bmps.OS2_SHORT, reserved=7)
    codes = ((9, 1), (0, 0), (0, 2, 5, 3), (0, 5, 1, 2, 3, 1, 2, 0), (0, 0), (200, 3), (0, 1))
    yield "runs", bmps.bmp(_SIZE, 8, bmps.runs(codes), palette=[(9, 8, 7)] * 4, compression=bmps.RLE8)


_MAKERS: Final = {
    ImageFormat.JPEG: _jpegs,
    ImageFormat.PNG: _pngs,
    ImageFormat.GIF: _gifs,
    ImageFormat.WEBP: _webps,
    ImageFormat.AVIF: _avifs,
    ImageFormat.HEIF: _heics,
    ImageFormat.TIFF: _tiffs,
    ImageFormat.BMP: _bmps,
}
