from __future__ import annotations

import io
import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from support.pictures import containers, images
from thumbq.core.preset import Preset
from thumbq.errors import RenderRefused
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.formats.jpeg.stream import load, open_jpeg
from thumbq.imaging.formats.registry import read_header
from thumbq.imaging.render import render

if TYPE_CHECKING:
    from thumbq.imaging.header import JpegHeader

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


def coding_of(data: bytes | mmap.mmap) -> JpegHeader:
    coding = read_header(data).jpeg
    assert coding is not None
    return coding


def loaded(data: bytes | mmap.mmap, scale: int = 1, *, dc_only: bool = False) -> Image.Image:
    """Load a JPEG as thumbq does."""
    coding = coding_of(data)
    image = open_jpeg(data, coding)
    _draft(image, scale)
    load(image, data, coding, coding.stages[0].end if dc_only else coding.end)
    return image


def by_pillow(data: bytes, scale: int = 1) -> Image.Image:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    _draft(image, scale)
    image.load()
    return image


def _draft(image: Image.Image, scale: int) -> None:
    if scale > 1:
        image.draft(None, (max(1, image.width // scale), max(1, image.height // scale)))


def same(data: bytes, scale: int = 1) -> bool:
    direct, fed = by_pillow(data, scale), loaded(data, scale)
    return (direct.size, direct.mode, direct.tobytes()) == (fed.size, fed.mode, fed.tobytes())


def refusal(data: bytes, scale: int = 1) -> str:
    with pytest.raises(RenderRefused) as refused:
        loaded(data, scale)
    return refused.value.code


def header_of(data: bytes) -> bytes:
    """Return what the decoder is given before the pixels."""
    return b"".join(data[start:end] for start, end in coding_of(data).kept_segments)


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
    assert loaded(file.getvalue()).size == SCENE.size


def test_a_mapped_file_loads_like_its_bytes() -> None:
    data = images.photo_jpeg(333, 250)
    with mmap.mmap(-1, len(data)) as mapped:
        mapped[:] = data
        assert loaded(mapped).tobytes() == by_pillow(data).tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_jpeg_that_was_cut_and_closed_again_is_refused(kind: str, share: float) -> None:
    data = images.jpeg(SCENE, **KINDS[kind])
    coding = coding_of(data)
    cut = data[: coding.pixels_at + int(share * (coding.end - coding.pixels_at))].rstrip(b"\xff") + END
    for scale in (1, 8):
        by_pillow(cut, scale)  # Pillow alone takes it for whole
        assert refusal(cut, scale) == "truncated"


def test_of_two_pictures_the_first_one_cut_is_refused_too() -> None:
    file = io.BytesIO()
    SCENE.save(file, "MPO", save_all=True, append_images=[NOISE])
    data = file.getvalue()
    coding = coding_of(data)
    middle = (coding.pixels_at + coding.end) // 2
    assert refusal(data[:middle].rstrip(b"\xff") + data[coding.end :]) == "truncated"


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_means_alone_give_nearly_the_same_eighth(mode: str) -> None:
    data = images.jpeg(images.scene(1600, 1200).convert(mode), progressive=True, quality=90)
    means, whole = loaded(data, 8, dc_only=True), by_pillow(data, 8)
    assert means.size == whole.size == (200, 150)
    assert decibels(means, whole) > 36


def test_the_means_are_read_from_the_start_of_the_file_only() -> None:
    data = images.photo_jpeg(640, 480, progressive=True)
    end = coding_of(data).stages[0].end
    assert end < len(data) / 5
    spoilt = data[:end] + data[end:].replace(b"\0", b"\xff\x01")
    whole = coding_of(data)
    image = open_jpeg(data, whole)
    _draft(image, 8)
    load(image, spoilt, whole, end)
    assert image.tobytes() == loaded(data, 8, dc_only=True).tobytes()


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
        assert containers.jpeg_with(picture, *read).startswith(header_of(data))
    image = open_jpeg(junk, coding_of(junk))
    assert (image.info["exif"], len(image.applist)) == (first, 5)


def test_megabytes_of_metadata_cost_the_decoder_nothing() -> None:
    """Pillow joins the segments of EXIF one after the other, so that four times as many take 16 times as long."""
    data = containers.jpeg_with(images.jpeg(SCENE), *[(0xE1, EXIF.ljust(60_000))] * 200)
    assert len(header_of(data)) < 100_000
    assert read_header(data).scratch_bytes < 200_000
    profiles = containers.jpeg_with(images.jpeg(SCENE), *[(0xE2, PROFILE.ljust(60_000))] * 100)
    assert 4_000_000 < len(header_of(profiles)) < 4 << 20


@pytest.mark.parametrize("transforms", [(0, 1), (1, 0)])
def test_of_several_adobe_segments_the_decoder_sees_the_last(transforms: tuple[int, int]) -> None:
    adobes = [(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform])) for transform in transforms]
    assert same(containers.jpeg_with(images.jpeg(SCENE, quality=90), *adobes))


def test_an_empty_exif_segment_does_not_stand_for_the_one_behind_it() -> None:
    data = containers.jpeg_with(images.jpeg(SCENE, exif=images.exif(6)), (0xE1, b"Exif\0\0"))
    assert loaded(data).getexif()[274] == 6


@pytest.mark.parametrize(
    "options",
    [{"progressive": True}, {"progressive": True, "restart_marker_rows": 4}, {"restart_marker_rows": 1}],
    ids=["scans", "restarts in scans", "restarts"],
)
def test_a_stretch_that_lacks_half_of_its_data_is_heard_in_the_middle_too(options: dict[str, Any]) -> None:
    data = images.jpeg(SCENE, quality=90, **options)
    coding = coding_of(data)
    tries, unheard = 0, []
    for start, stop in zip([coding.pixels_at, *coding.stops], coding.stops[:-1], strict=False):
        begin = start if start == coding.pixels_at else data.index(b"\0", start + 2)  # behind the marker or the header
        if stop - begin < 200:
            continue
        spoilt = data[: (begin + stop) // 2].rstrip(b"\xff") + data[stop:]
        by_pillow(spoilt)  # Pillow alone takes it for whole
        tries += 1
        rendered = render(spoilt, [Preset(name="same", fit="none", format="png")], Limits())
        if isinstance(rendered, Refusal):
            assert rendered.code == "corrupt"
        else:
            unheard.append(spoilt)
    assert tries > 3
    # What is lacking may happen to be a run of empty blocks.
    assert len(unheard) <= tries / 10
    assert all(decibels(loaded(spoilt), loaded(data)) > 30 for spoilt in unheard)


def test_restart_markers_that_are_missing_or_out_of_order_are_heard() -> None:
    data = images.jpeg(SCENE, restart_marker_rows=1)
    assert refusal(data.replace(b"\xff\xd3", b"\xff\xd5", 1)) == "corrupt"
    first, second = data.index(b"\xff\xd3"), data.index(b"\xff\xd4")
    assert refusal(data[:first] + data[second:]) == "corrupt"
    last = max(data.rindex(bytes([0xFF, 0xD0 + number])) for number in range(8))
    assert refusal(data[:last] + END) == "truncated"
    assert same(data[:-2] + data[last : last + 2] + END)


def test_of_very_many_restart_markers_only_the_end_is_looked_at() -> None:
    data = images.jpeg(images.scene(640, 480), restart_marker_blocks=1)
    assert coding_of(data).stops == (len(data) - 2,)
    assert same(data)
    assert refusal(data[: len(data) // 2].rstrip(b"\xff") + END) == "truncated"
    rows = images.jpeg(images.scene(1600, 1200), restart_marker_blocks=40)
    assert len(coding_of(rows).stops) == (75 * 100 // 40) // 2 + 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_end_marker_is_needed_when_all_of_the_picture_is_there(kind: str) -> None:
    data = images.jpeg(SCENE, **KINDS[kind])
    whole = by_pillow(data).tobytes()
    video = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20 + b"\xff\xda\xff\xc4\xff\xd0"
    for after in (b"", video, bytes(900), images.small_jpeg(), images.jpeg(SCENE, progressive=True)):
        assert loaded(data[:-2] + after).tobytes() == whole


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_components_may_share_an_identifier(options: dict[str, Any]) -> None:
    data = bytearray(images.jpeg(SCENE, **options))
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    scan = data.index(b"\xff\xda")
    for at in (frame + 13, frame + 16, scan + 7, scan + 9):
        data[at] = data[frame + 10]
    if options:  # libjpeg takes the later scans, which have one component each, for those of the first one
        assert refusal(bytes(data)) == "corrupt"
    else:
        assert same(bytes(data))


@pytest.mark.parametrize("length", range(14))
def test_segments_that_are_too_short_or_odd_are_passed_over(length: int) -> None:
    data = images.jpeg(SCENE)
    starts = [
        (0xE0, b"JFIF\0\1\1"),
        (0xE1, b"Exif\0\0II*\0"),
        (0xE2, b"ICC_PROFILE\0\1\1"),
        (0xE2, b"MPF\0"),
        (0xED, b"Photoshop 3.0\x008BIM"),
        (0xEE, b"Adobe\0d"),
    ]
    for marker, start in starts:
        segment = (marker, start.ljust(length, b"\xfe")[:length])
        assert loaded(containers.jpeg_with(data, segment)).tobytes() == by_pillow(data).tobytes(), segment
        first = data[:2] + containers.jpeg_with(b"\xff\xd8", segment)[2:] + data[20:]
        assert loaded(first).tobytes() == by_pillow(data).tobytes(), segment
