"""Claims: an output holds pixels. Canaries are planted wherever a file has room for words; none may come through."""

from __future__ import annotations

import io
import struct
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from PIL import ExifTags, Image

from conformance import animationchecks, checks, phoneheics, pictures
from conformance.claims import Check, Claim
from fuzz import canaries
from support.pictures import animations, images
from support.pictures.containers import EXIF, jpeg_with, png_with
from support.pictures.leaks import CANARY, OWN_CHOICES, leaks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from conformance.output import Output

WORD: Final = CANARY + b" was here"
_OUTPUTS: Final = ("jpeg", "png", "webp", "avif")
_WHY: Final = "where somebody lives is in a photo's metadata; AWS's own image handler keeps GPS"
_ARTIST, _COPYRIGHT = "Ann Author", "(c) 2026 Ann Author"


def claims() -> Iterator[Claim]:
    yield from _everything()
    yield from _thumbnails()
    yield from _copyright()


def _pixels_only() -> Check:
    def fault(output: Output) -> str | None:
        found = [leak for leak in leaks(output.body) if leak not in OWN_CHOICES]
        return "it holds " + ", ".join(found) if found else None

    return Check("every part of the file is one that pixels need, and no canary is anywhere in it", fault)


def pixels_claim(name: str, given: str, make: Callable[[], bytes], recipe: Mapping[str, Any], *more: Check) -> Claim:
    return Claim(
        name=name,
        given=given,
        make=make,
        recipe=recipe,
        rule="an output holds pixels and nothing else",
        reason=_WHY,
        checks=(_pixels_only(), *more),
    )


def _everything() -> Iterator[Claim]:
    sources: Mapping[str, Callable[[], bytes]] = {
        "jpeg": partial(_full, "JPEG"),
        "mpo": partial(_full, "MPO"),
        "png": partial(_full, "PNG"),
        "webp": partial(_full, "WEBP"),
        "tiff": _full_tiff,
        "avif": partial(_full, "AVIF"),
        "heic": partial(_full, "HEIC"),
    }
    for source, make in sources.items():
        for output in _OUTPUTS:
            yield pixels_claim(
                f"everything-{source}-to-{output}",
                f"a {source} with canaries in EXIF with GPS, XMP, IPTC, comments and the profile, where it has them",
                make,
                {"width": 60, "height": 60, "format": output},
                checks.is_upright(),
            )
    size = 20, 10
    frames = [animations.Frame(animations.plain(size, colour)) for colour in ((200, 0, 0), (0, 0, 200))]
    comment = b"\x21\xfe" + bytes([len(WORD)]) + WORD + b"\0"
    exif = canaries.exif().removeprefix(b"Exif\0\0")
    by_format: Mapping[str, Callable[[], bytes]] = {
        "gif": partial(animations.gif, size, frames, more=comment),
        "apng": lambda: png_with(animations.apng(size, frames), (b"tEXt", b"Comment\0" + WORD), (b"eXIf", exif)),
        "webp": partial(animations.webp, size, frames, more=[(b"EXIF", exif)]),
        "avif": lambda: _avif_with_metadata(frames),
    }
    for source, make in by_format.items():
        for output in _OUTPUTS[1:]:
            yield pixels_claim(
                f"animated-{source}-to-{output}",
                f"an animated {source} with canaries",
                make,
                {"fit": "none", "format": output, "animated": True},
                animationchecks.has_frames(2),
            )


def _full(image_format: str) -> bytes:
    scene = images.scene(pictures.WIDTH, pictures.HEIGHT)
    metadata: dict[str, Any] = {"exif": canaries.exif(), "xmp": canaries.xmp(), "icc_profile": canaries.icc()}
    if image_format == "HEIC":
        return images.heic(scene, **metadata)
    if image_format == "AVIF":
        return images.avif(scene, **metadata)
    if image_format == "PNG":
        del metadata["xmp"]
        more = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + canaries.xmp()), (b"tEXt", b"Comment\0" + WORD)
        return png_with(images.encoded(scene, "PNG", **metadata), *more)
    if image_format == "WEBP":
        return images.encoded(scene, "WEBP", quality=92, **metadata)
    metadata["comment"] = WORD
    if image_format == "MPO":
        metadata |= {"save_all": True, "append_images": [scene]}
    data = images.encoded(scene, image_format, quality=92, **metadata)
    return data if image_format == "MPO" else jpeg_with(data, (0xED, b"Photoshop 3.0\0" + canaries.photoshop()))


def _full_tiff() -> bytes:
    base = ExifTags.Base
    texts: dict[int, Any] = dict.fromkeys((base.ImageDescription, base.Make, base.Software, base.Artist), WORD.decode())
    blobs = {700: canaries.xmp(), 33723: canaries.iptc(), 34377: canaries.photoshop()}
    scene = images.scene(pictures.WIDTH, pictures.HEIGHT)
    return images.encoded(scene, "TIFF", tiffinfo=texts | blobs, icc_profile=canaries.icc())


def _avif_with_metadata(frames: list[animations.Frame]) -> bytes:
    first, second = (Image.fromarray(frame.pixels) for frame in frames)
    metadata: dict[str, Any] = {"exif": canaries.exif(), "xmp": canaries.xmp()}
    return images.avif(first, save_all=True, append_images=[second], duration=100, **metadata)


def _thumbnails() -> Iterator[Claim]:
    yield Claim(
        name="exif-thumbnail-is-another-picture",
        given="a JPEG whose EXIF thumbnail shows another picture",
        make=_jpeg_with_thumbnail,
        recipe={"width": 60, "height": 60},
        rule="the thumbnail that a camera put into EXIF is not the picture",
        reason="it may show what was cropped or blurred away",
        checks=(checks.is_sized(60, 40), checks.is_upright()),
    )
    other = images.scene(128, 128).transpose(Image.Transpose.ROTATE_180)
    yield Claim(
        name="heic-thumbnail-is-another-picture",
        given="a HEIC whose embedded thumbnail shows another picture",
        make=partial(phoneheics.with_thumbnail, images.scene(256, 256), other),
        recipe={"width": 60, "height": 60},
        rule="an embedded thumbnail serves only where it shows the image, or the preset takes it as it is",
        reason="it may show what was cropped or blurred away",
        checks=(checks.is_sized(60, 60), checks.is_upright()),
    )
    yield Claim(
        name="heic-thumbnail-too-small",
        given="a HEIC whose embedded thumbnail, of 128 by 128, shows another picture",
        make=partial(phoneheics.with_thumbnail, images.scene(256, 256), other),
        recipe={"width": 200, "height": 200, "embedded_thumbnail": True},
        rule="an embedded thumbnail serves only where it is large enough",
        reason="core/preset.py: embedded_thumbnail",
        checks=(checks.is_sized(200, 200), checks.is_upright()),
    )


def _jpeg_with_thumbnail() -> bytes:
    thumbnail = images.jpeg(
        images.scene(pictures.WIDTH, pictures.HEIGHT).transpose(Image.Transpose.ROTATE_180).resize((60, 40))
    )
    tags = struct.pack("<H", 0) + struct.pack("<I", 14)
    second = (
        struct.pack("<H", 2) + struct.pack("<HHII", 513, 4, 1, 44) + struct.pack("<HHII", 514, 4, 1, len(thumbnail))
    )
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + tags + second + bytes(4)
    return jpeg_with(pictures.in_format("JPEG"), (EXIF, exif + thumbnail))


def _copyright() -> Iterator[Claim]:
    sources: Mapping[str, Callable[..., bytes]] = {
        "jpeg": partial(images.encoded, image_format="JPEG"),
        "png": partial(images.encoded, image_format="PNG"),
        "webp": partial(images.encoded, image_format="WEBP"),
        "heic": images.heic,
        "avif": images.avif,
    }
    scene = images.scene(pictures.WIDTH, pictures.HEIGHT)
    pairs = [(source, "jpeg") for source in sources] + [("jpeg", output) for output in _OUTPUTS[1:]]
    for source, output in pairs:
        yield Claim(
            name=f"copyright-{source}-to-{output}",
            given=f"a {source} whose EXIF names artist and copyright, and has a place and a canary",
            make=partial(sources[source], scene, exif=_signed()),
            recipe={"width": 60, "height": 60, "format": output, "keep_copyright": True},
            rule="with keep_copyright artist and copyright stay, and nothing else does",
            reason="core/preset.py: keep_copyright; 17 U.S.C. 1202: copyright management information",
            checks=(_is_signed(), checks.is_upright()),
        )
    for encoding in ("utf-8", "latin-1"):
        artist = "Jürgen Müller".encode(encoding)
        yield Claim(
            name=f"copyright-in-{encoding}",
            given=f"a JPEG whose EXIF names Jürgen Müller as the artist in {encoding}",
            make=partial(_jpeg_by, artist),
            recipe={"width": 60, "height": 60, "keep_copyright": True},
            rule="with keep_copyright the bytes of a name stay as they are",
            reason="EXIF 3.0 has UTF-8, and programs have long written it as ASCII; Pillow writes J??rgen",
            checks=(Check("the name's bytes are in the file", partial(_lacks, artist)),),
        )
    yield pixels_claim(
        "copyright-unasked",
        "a JPEG whose EXIF names artist and copyright",
        partial(images.jpeg, scene, exif=_signed()),
        {"width": 60, "height": 60},
    )
    yield pixels_claim(
        "copyright-without-any",
        "a JPEG whose EXIF names neither artist nor copyright",
        partial(images.jpeg, scene, exif=images.exif(1)),
        {"width": 60, "height": 60, "keep_copyright": True},
    )


def _jpeg_by(artist: bytes) -> bytes:
    tag = struct.pack(">HHII", ExifTags.Base.Artist, 2, len(artist) + 1, 26)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + tag + bytes(4) + artist + b"\0"
    return jpeg_with(pictures.in_format("JPEG"), (EXIF, exif))


def _lacks(artist: bytes, output: Output) -> str | None:
    return None if artist + b"\0" in output.body else "the name's bytes are not there"


def _signed() -> bytes:
    tags = Image.Exif()
    tags.load(canaries.exif())
    tags[ExifTags.Base.Artist], tags[ExifTags.Base.Copyright] = _ARTIST, _COPYRIGHT
    return tags.tobytes()


def _is_signed() -> Check:
    wanted = {ExifTags.Base.Artist: _ARTIST, ExifTags.Base.Copyright: _COPYRIGHT}

    def fault(output: Output) -> str | None:
        with Image.open(io.BytesIO(output.body)) as image:
            found = dict(image.getexif())
        found = {tag: value for tag, value in found.items() if (tag, value) != (ExifTags.Base.Orientation, 1)}
        return None if found == wanted else f"its EXIF is {found}"

    return Check("its EXIF is artist and copyright", fault)
