from __future__ import annotations

import io
import mmap
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from support.pictures import containers, images
from thumbq.errors import RenderRefused
from thumbq.imaging.formats.jpeg.stream import open_jpeg
from thumbq.imaging.formats.registry import read_header

SCENE = images.scene(333, 250)
NOISE = Image.fromarray(np.random.default_rng(seed=5).integers(0, 256, (90, 130, 3), dtype=np.uint8))
END = b"\xff\xd9"

KINDS: dict[str, dict[str, Any]] = {
    "4:2:0": {"subsampling": "4:2:0"},
    "4:2:2": {"subsampling": "4:2:2"},
    "4:4:4": {"subsampling": "4:4:4"},
    "best": {"quality": 100, "subsampling": "4:4:4"},
    "worst": {"quality": 1},
    "optimized": {"optimize": True},
    "restarts": {"restart_marker_blocks": 3},
    "restart rows": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
}
SIZES = [(333, 250), (64, 64), (17, 33), (8, 8), (1, 1), (3, 200), (200, 3)]


def stream(data: bytes | mmap.mmap, *, dc_only: bool = False) -> IO[bytes]:
    coding = read_header(data).jpeg
    assert coding is not None
    return open_jpeg(data, coding, dc_only=dc_only)


def loaded(file: IO[bytes], scale: int = 1) -> Image.Image:
    image = JpegImagePlugin.JpegImageFile(file)
    if scale > 1:
        image.draft(None, (max(1, image.width // scale), max(1, image.height // scale)))
    image.load()
    return image


def same(data: bytes, scale: int = 1) -> bool:
    direct, streamed = loaded(io.BytesIO(data), scale), loaded(stream(data), scale)
    return (direct.size, direct.mode, direct.tobytes()) == (streamed.size, streamed.mode, streamed.tobytes())


def decibels(one: Image.Image, other: Image.Image) -> float:
    """Return the peak signal-to-noise ratio."""
    error = np.asarray(one, dtype=float) - np.asarray(other, dtype=float)
    return float(10 * np.log10(255**2 / max(1e-9, np.mean(error**2))))


@pytest.mark.parametrize("kind", KINDS)
def test_whole_jpegs_load_to_the_last_row_as_they_are(kind: str) -> None:
    for picture in (SCENE, NOISE):
        for size in SIZES:
            data = images.jpeg(picture.resize(size), **KINDS[kind])
            assert all(same(data, scale) for scale in (1, 2, 4, 8))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_load_too(mode: str) -> None:
    data = images.jpeg(SCENE.convert(mode))
    assert all(same(data, scale) for scale in (1, 2, 4, 8))


@pytest.mark.parametrize(
    "after", [bytes(1000), b"\xff" * 1000, END, images.small_jpeg(), b"\xff\xd9 a clip \xff\xd9"], ids=repr
)
def test_what_follows_the_picture_is_no_matter(after: bytes) -> None:
    assert same(images.photo_jpeg(333, 250) + after)


@pytest.mark.parametrize("before", [bytes(100), b"\xff" * 9, b"junk"], ids=repr)
def test_junk_before_the_end_is_no_matter(before: bytes) -> None:
    assert same(images.photo_jpeg(333, 250)[:-2] + before + END)


def test_the_first_picture_of_several_loads() -> None:
    file = io.BytesIO()
    SCENE.save(file, "MPO", save_all=True, append_images=[NOISE])
    assert loaded(stream(file.getvalue())).size == SCENE.size


def test_a_mapped_file_loads_like_its_bytes() -> None:
    data = images.photo_jpeg(333, 250)
    with mmap.mmap(-1, len(data)) as mapped:
        mapped[:] = data
        assert loaded(stream(mapped)).tobytes() == loaded(io.BytesIO(data)).tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_jpeg_that_was_cut_and_closed_again_is_refused(kind: str, share: float) -> None:
    data = images.jpeg(SCENE, **KINDS[kind])
    coding = read_header(data).jpeg
    assert coding is not None
    end = data.rindex(b"\xff\xda") if coding.progressive else coding.end
    cut = data[: coding.pixels_at + int(share * (end - coding.pixels_at))].rstrip(b"\xff") + END
    for scale in (1, 8):
        if coding.one_pass:
            loaded(io.BytesIO(cut), scale)  # Pillow alone takes it for whole
        with pytest.raises((OSError, RenderRefused), match=r"truncated|not all|ends in"):
            loaded(stream(cut), scale)


def test_a_cut_within_the_last_progressive_scan_cannot_be_told_but_costs_the_last_bits_only() -> None:
    data = images.jpeg(SCENE, progressive=True, quality=90)
    last = data.rindex(b"\xff\xda")
    cut = data[: last + 20] + END
    assert decibels(loaded(stream(cut)), loaded(stream(data))) > 32
    assert decibels(loaded(stream(cut), 8), loaded(stream(data), 8)) > 45


def test_of_two_pictures_the_first_one_cut_is_refused_too() -> None:
    file = io.BytesIO()
    SCENE.save(file, "MPO", save_all=True, append_images=[NOISE])
    data = file.getvalue()
    coding = read_header(data).jpeg
    assert coding is not None
    middle = (coding.pixels_at + coding.end) // 2
    with pytest.raises(OSError, match="truncated"):
        loaded(stream(data[:middle].rstrip(b"\xff") + data[coding.end :]))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_means_alone_give_nearly_the_same_eighth(mode: str) -> None:
    data = images.jpeg(images.scene(1600, 1200).convert(mode), progressive=True, quality=90)
    means, whole = loaded(stream(data, dc_only=True), 8), loaded(io.BytesIO(data), 8)
    assert means.size == whole.size == (200, 150)
    assert decibels(means, whole) > 36


def test_the_means_are_read_from_the_start_of_the_file_only() -> None:
    data = images.photo_jpeg(640, 480, progressive=True)
    file = stream(data, dc_only=True)
    assert file.read() == data[: file.seek(0, io.SEEK_END) - 2] + END
    assert file.tell() < len(data) / 5


EXIF = b"Exif\0\0MM\0\x2a\0\0\0\x08" + bytes(6)
PROFILE = b"ICC_PROFILE\0\1\1"
XMP = b"http://ns.adobe.com/xap/1.0/\0"


def test_metadata_that_nobody_reads_and_junk_are_left_out() -> None:
    picture = images.jpeg(SCENE)
    first, second = EXIF + b"first", EXIF + b"second"
    read = [(0xE1, first), (0xE1, XMP), (0xE2, PROFILE), (0xEE, b"Adobe" + bytes(7))]
    more = [(0xE1, second), (0xED, b"Photoshop 3.0\0"), (0xE2, b"MPF\0"), (0xE1, XMP), (0xFE, b"made by")]
    whole = containers.jpeg_with(picture, *read, *more)
    junk = whole.replace(b"\xff\xdb", b"junk" * 1000 + b"\xff" * 1000 + b"\xff\xdb", 1)
    for data in (whole, junk):
        assert stream(data).read().startswith(containers.jpeg_with(picture, *read)[:-2])
    image = JpegImagePlugin.JpegImageFile(stream(junk))
    assert (image.info["exif"], len(image.applist)) == (first, 5)


def test_megabytes_of_metadata_cost_the_decoder_nothing() -> None:
    """Pillow joins the segments of EXIF one after the other, so that four times as many take 16 times as long."""
    data = containers.jpeg_with(images.jpeg(SCENE), *[(0xE1, EXIF.ljust(60_000))] * 200)
    assert stream(data).seek(0, io.SEEK_END) < 100_000
    assert read_header(data).scratch_bytes < 200_000
    profiles = containers.jpeg_with(images.jpeg(SCENE), *[(0xE2, PROFILE.ljust(60_000))] * 100)
    assert 4_000_000 < stream(profiles).seek(0, io.SEEK_END) < 4 << 20


def test_it_seeks_and_reads_like_a_file() -> None:
    data = images.photo_jpeg(333, 250)
    file = stream(containers.jpeg_with(data, (0xE2, b"preview" * 100)))
    whole = file.read()
    assert (file.readable(), file.seekable(), file.tell()) == (True, True, len(whole))
    assert whole.startswith(data[:-2])
    assert (file.seek(-3, io.SEEK_END), file.read(100)) == (len(whole) - 3, whole[-3:])
    assert (file.seek(7), file.read(2), file.seek(1, io.SEEK_CUR), file.read(1)) == (7, data[7:9], 10, data[10:11])
    assert (file.seek(0), b"".join(iter(lambda: file.read(777), b""))) == (0, whole)


@pytest.mark.parametrize("transforms", [(0, 1), (1, 0)])
def test_of_several_adobe_segments_the_decoder_sees_the_last(transforms: tuple[int, int]) -> None:
    adobes = [(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform])) for transform in transforms]
    assert same(containers.jpeg_with(images.jpeg(SCENE, quality=90), *adobes))


def test_an_empty_exif_segment_does_not_stand_for_the_one_behind_it() -> None:
    data = containers.jpeg_with(images.jpeg(SCENE, exif=images.exif(6)), (0xE1, b"Exif\0\0"))
    assert loaded(stream(data)).getexif()[274] == 6
