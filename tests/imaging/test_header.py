from __future__ import annotations

import contextlib
import io
import mmap
import random
import struct
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from fuzz import heifwriter
from support.pictures import bombs, containers, images
from thumbq.core.preset import THUMBNAIL
from thumbq.errors import RenderRefused
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.formats.registry import read_header
from thumbq.imaging.header import Header, JpegHeader
from thumbq.imaging.render import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.figures import AtMost

RGB = images.scene(96, 64)


def coding(data: bytes) -> JpegHeader:
    found = read_header(data).jpeg
    assert found is not None
    return found


def refused(data: bytes) -> str:
    with pytest.raises(RenderRefused) as caught:
        read_header(data)
    return caught.value.code


def animated(image_format: str, **options: Any) -> bytes:
    frames = [RGB.rotate(20 * turn) for turn in range(5)]
    return images.encoded(frames[0], image_format, save_all=True, append_images=frames[1:], duration=50, **options)


def rgba() -> Image.Image:
    image = RGB.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


GREY_16 = Image.fromarray(np.asarray(RGB.convert("L")).astype(np.uint16) * 257)

KINDS: dict[str, tuple[Callable[[], bytes], dict[str, Any]]] = {
    "JPEG": (lambda: images.jpeg(RGB), {"channels": 3}),
    "grey JPEG": (lambda: images.jpeg(RGB.convert("L")), {"channels": 1}),
    "CMYK JPEG": (lambda: images.jpeg(RGB.convert("CMYK")), {"channels": 4}),
    "MPO": (lambda: animated("MPO"), {"frames": 1}),
    "PNG": (lambda: images.encoded(RGB, "PNG"), {"channels": 3, "bits": 8}),
    "PNG, RGBA": (lambda: images.encoded(rgba(), "PNG"), {"channels": 4}),
    "PNG, 16 bits": (lambda: images.encoded(GREY_16, "PNG"), {"channels": 1, "bits": 16}),
    "PNG, 1 bit": (lambda: images.encoded(RGB.convert("1"), "PNG"), {"channels": 1, "bits": 1}),
    "PNG, palette": (lambda: images.encoded(RGB.quantize(200), "PNG"), {"channels": 1, "palette": True}),
    "PNG, transparent colour": (
        lambda: images.encoded(RGB, "PNG", transparency=(1, 2, 3)),
        {"channels": 4, "color_key": True},
    ),
    "APNG": (lambda: animated("PNG"), {"frames": 5}),
    "GIF": (lambda: images.encoded(RGB, "GIF"), {"channels": 1, "palette": True, "frames": 1}),
    "animated GIF": (lambda: animated("GIF"), {"frames": 5, "animated_size": None}),
    "WebP": (lambda: images.encoded(RGB, "WEBP"), {"channels": 3}),
    "WebP, RGBA": (lambda: images.encoded(rgba(), "WEBP"), {"channels": 4}),
    "WebP, lossless": (lambda: images.encoded(RGB, "WEBP", lossless=True), {"channels": 3}),
    "WebP with EXIF": (lambda: images.encoded(RGB, "WEBP", exif=images.exif(6)), {"channels": 3}),
    "animated WebP": (lambda: animated("WEBP"), {"frames": 5}),
    "AVIF": (lambda: images.encoded(RGB, "AVIF"), {"channels": 3, "bits": 8, "scratch_bytes": 96 * 64 * 3 // 2}),
    "AVIF, RGBA": (lambda: images.encoded(rgba(), "AVIF"), {"channels": 4}),
    "AVIF, 4:4:4": (lambda: images.encoded(RGB, "AVIF", subsampling="4:4:4"), {"scratch_bytes": 96 * 64 * 3}),
    "AVIF, grey": (lambda: images.encoded(RGB.convert("L"), "AVIF", subsampling="4:0:0"), {"channels": 1}),
    "animated AVIF": (lambda: animated("AVIF"), {"frames": 5}),
    "HEIC": (lambda: images.heic(RGB), {"channels": 3, "bits": 8, "frames": 1}),
    "HEIC, RGBA": (lambda: images.heic(rgba()), {"channels": 4}),
    "TIFF": (lambda: images.encoded(RGB, "TIFF"), {"channels": 3, "scratch_bytes": 0}),
    "TIFF, one strip": (
        lambda: images.encoded(RGB, "TIFF", compression="tiff_lzw"),
        {"channels": 3, "bits": 8},
    ),
    "TIFF, 16 bits": (lambda: images.encoded(GREY_16, "TIFF"), {"channels": 1, "bits": 16}),
    "BMP": (lambda: images.encoded(RGB, "BMP"), {"channels": 3}),
    "BMP, palette": (lambda: images.encoded(RGB.convert("P"), "BMP"), {"channels": 1, "palette": True}),
}


@lru_cache
def made(kind: str) -> bytes:
    return KINDS[kind][0]()


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_tells_size_kind_and_frames(kind: str) -> None:
    data, expected = made(kind), KINDS[kind][1]
    found = read_header(data)
    assert (found.width, found.height) == (96, 64)
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.file_bytes == len(data)


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_size_is_that_of_the_stored_pixels(orientation: int) -> None:
    for image_format in ("JPEG", "PNG", "WEBP", "TIFF"):
        found = read_header(images.encoded(RGB, image_format, exif=images.exif(orientation)))
        assert (found.width, found.height) == (96, 64)


def test_a_mapped_file_reads_like_its_bytes() -> None:
    for data in map(made, KINDS):
        with mmap.mmap(-1, len(data)) as mapped:
            mapped[:] = data
            assert read_header(mapped) == read_header(data)


@pytest.mark.measured
def test_reading_the_header_of_a_large_photo_takes_as_long_as_a_search_for_its_markers(at_most: AtMost) -> None:
    photo = images.photo_jpeg(4000, 3000, quality=92)
    with mmap.mmap(-1, len(photo)) as mapped:
        mapped[:] = photo
        start = time.process_time()
        for _ in range(10):
            read_header(mapped)
        at_most("seconds of CPU a megabyte", (time.process_time() - start) / 10 / (len(photo) / 1e6), 0.0006)


def test_where_a_jpeg_begins_and_ends() -> None:
    data = images.photo_jpeg(640, 480)
    found = coding(data)
    assert data[found.end :] == b"\xff\xd9"
    assert data[found.pixels_at - 14 : found.pixels_at - 12] == b"\xff\xda"
    assert (found.progressive, found.scans, found.one_pass, found.stages) == (False, 1, True, ())
    assert found.sampling == ((2, 2), (1, 1), (1, 1))


def test_of_several_pictures_in_a_jpeg_the_first_one_ends_at_its_own_end() -> None:
    data = animated("MPO")
    assert coding(data).end == data.index(b"\xff\xd9", coding(data).pixels_at) < len(data) // 2


@pytest.mark.parametrize("after", [bytes(5000), b"clip" * 5000, images.small_jpeg()[:300]])
def test_what_follows_the_end_of_a_jpeg_does_not_count(after: bytes) -> None:
    data = images.photo_jpeg(640, 480)
    assert coding(data + after).end == len(data) - 2


def test_a_preview_in_the_metadata_is_not_the_picture() -> None:
    data = images.photo_jpeg(640, 480)
    whole = containers.jpeg_with(data, (0xE2, images.small_jpeg()))
    assert (read_header(whole).width, coding(whole).end) == (640, len(whole) - 2)
    assert isinstance(render(whole[: len(whole) // 2], [THUMBNAIL], Limits()), Refusal)


def test_the_means_of_a_progressive_jpeg_end_where_finer_scans_begin() -> None:
    data = images.photo_jpeg(640, 480, progressive=True)
    found = coding(data)
    assert (found.progressive, found.scans, found.one_pass) == (True, 10, False)
    means, lowest, exact = found.stages
    assert data[means.end : means.end + 2] == b"\xff\xc4"
    assert means.end < len(data) // 5
    assert [stage[1:] for stage in found.stages] == [(1, False), (1, True), (0, True)]
    assert means.end < lowest.end < exact.end < found.end


@pytest.mark.parametrize("scans", range(1, 10))
def test_a_progressive_jpeg_that_lacks_scans_is_truncated(scans: int) -> None:
    data = images.photo_jpeg(320, 240, progressive=True)
    at = coding(data).pixels_at
    for _ in range(scans - 1):
        at = data.index(b"\xff\xda", at) + 2
    assert refused(data[: at + 30] + b"\xff\xd9") == "truncated"


def test_sequential_scans_of_one_component_each_are_counted_and_missed() -> None:
    scans = [_sequential_scan(component) for component in (1, 2, 3)]
    assert coding(_sequential(*scans)).scans == 3
    assert not coding(_sequential(*scans)).one_pass
    assert refused(_sequential(*scans[:2])) == "truncated"


def _sequential(*scans: bytes) -> bytes:
    frame = struct.pack(">BHHB", 8, 8, 8, 3) + bytes((1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0))
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame + b"".join(scans) + b"\xff\xd9"


def _sequential_scan(component: int) -> bytes:
    return b"\xff\xda\x00\x08\x01" + bytes((component, 0, 0, 63, 0)) + b"\x12\xff\x00\x34"


def test_a_jpeg_of_more_tables_than_there_can_be_is_corrupt() -> None:
    data = images.jpeg(RGB)
    table = b"\xff\xdb\xff\xff" + (b"\0" + b"\1" * 64) * 1008 + b"\0" * 13
    read_header(data.replace(b"\xff\xdb", table * 10 + b"\xff\xdb", 1))
    assert refused(data.replace(b"\xff\xdb", table * 20 + b"\xff\xdb", 1)) == "corrupt"


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_fill_bytes_of_which_a_decoder_makes_minutes_are_refused(options: dict[str, Any]) -> None:
    data = images.jpeg(RGB, **options)
    for fill, taken in ((30_000, True), (66_000, False), (1 << 20, False)):
        file = data[:-2] + b"\xff" * fill + b"\xff\xd9"
        if taken:
            read_header(file)
        else:
            assert refused(file) == "corrupt"


@pytest.mark.parametrize("kind", [b"grid", b"iovl"])
@pytest.mark.parametrize("long", [0, 1])
def test_an_image_of_several_is_as_large_as_the_file_says_or_refused(kind: bytes, long: int) -> None:
    for side, taken in ((64, True), (12_000, False)):
        fill = bytes(2 if kind == b"grid" else 8)
        data = bytes((0, long)) + fill + struct.pack(">II" if long else ">HH", side, side) + bytes(8)
        made = heifwriter.Item(kind, data, (heifwriter.extent(),), (b"dimg", (2,)))
        file = heifwriter.heic([made, heifwriter.picture()])
        if taken:
            assert read_header(file).scratch_bytes == 64 * 64 * 3 // 2
        else:
            assert refused(file) == "corrupt"


def test_tiles_and_what_they_are_made_of_count_by_the_largest() -> None:
    tile = heifwriter.Item(b"iden", b"", (heifwriter.extent(),), (b"dimg", (3,)))
    large = heifwriter.Item(b"hvc1", b"", (heifwriter.coded()[1], heifwriter.extent(9_000, 9_000)))
    file = heifwriter.heic([heifwriter.grid(1, 1, 2), tile, large])
    assert read_header(file).scratch_bytes >= 9_000 * 9_000


def test_a_later_frame_larger_than_a_gif_is_told_of() -> None:
    assert read_header(bombs.gif(10, 10, second=(0, 0, 700, 500))).animated_size == (700, 500)
    found = read_header(bombs.gif(10, 10, second=(0, 0, 10, 10)))
    assert (found.width, found.height, found.frames, found.animated_size) == (10, 10, 2, None)


def test_the_first_frame_of_a_gif_may_reach_over_its_screen() -> None:
    data = bytearray(bombs.gif(20, 10))
    data[6:10] = struct.pack("<HH", 5, 5)
    with Image.open(io.BytesIO(data)) as image:
        assert (read_header(bytes(data)).width, read_header(bytes(data)).height) == image.size == (20, 10)


def test_a_compressed_strip_of_a_tiff_is_told_of_and_an_uncompressed_one_costs_nothing() -> None:
    striped = images.encoded(RGB, "TIFF", compression="tiff_lzw", strip_size=1 << 20)
    assert read_header(striped).scratch_bytes == len(striped) + 96 * 64 * 3
    assert read_header(images.encoded(RGB, "TIFF")).scratch_bytes == 0


def test_a_tiff_whose_strips_or_tiles_do_not_cover_it_is_truncated() -> None:
    assert read_header(bombs.tiff({256: 96, 257: 64, 278: 64})).height == 64
    assert refused(bombs.tiff({256: 96, 257: 6_400, 278: 64})) == "truncated"
    assert refused(bombs.tiff({256: 96, 257: 64, 322: 16, 323: 16})) == "truncated"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_file_that_is_cut_is_truncated(image_format: str, share: float) -> None:
    whole = images.encoded(RGB, image_format)
    rendered = render(whole[: int(len(whole) * share)], [THUMBNAIL], Limits())
    assert isinstance(rendered, Refusal)
    assert rendered.code == "truncated"


def test_an_animation_that_is_cut_is_truncated() -> None:
    for image_format in ("GIF", "WEBP", "AVIF"):
        whole = animated(image_format)
        assert refused(whole[: int(len(whole) * 0.8)]) == "truncated"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"II*\0", b"\x89PNG\r\n\x1a\n"])
def test_the_mere_beginning_of_a_format_is_refused(data: bytes) -> None:
    assert refused(data) in {"truncated", "corrupt", "unsupported-format"}


def test_hostile_bytes_only_ever_get_an_image_refused() -> None:
    for data in _hostile(4000):
        with contextlib.suppress(RenderRefused):
            assert isinstance(read_header(data), Header)


@pytest.mark.measured
def test_hostile_bytes_are_refused_quickly(at_most: AtMost) -> None:
    slowest = 0.0
    for data in _hostile(4000):
        start = time.process_time()
        with contextlib.suppress(RenderRefused):
            read_header(data)
        slowest = max(slowest, time.process_time() - start)
    at_most("seconds of CPU for the slowest", slowest, 0.05)


def _hostile(number: int) -> Iterator[bytes]:
    seeds = [*map(made, KINDS)] + [data for data, _ in bombs.bombs().values() if len(data) < 5000]
    source = random.Random(4)
    for _ in range(number):
        yield _mutated(source.choice(seeds), source)


def _mutated(seed: bytes, source: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(source.choice((1, 2, 4, 12))):
        at = source.randrange(min(len(data), source.choice((60, 400, len(data)))))
        match source.randrange(5):
            case 0:
                data[at] = source.randrange(256)
            case 1:
                data[at : at + 4] = source.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\0\1\0\0"))
            case 2:
                data[at : at + 1] = source.choice((b"\xff", b"\0", b"\xff\xda", b"\xff\xd9", b"\x21", b"\x2c"))
            case 3:
                data[at:at] = data[at : at + source.choice((4, 40))] * source.choice((1, 1, 50, 1000))
            case _:
                del data[at : at + source.choice((1, 4, 60))]
        data = data or bytearray(seed)
    return bytes(data)
