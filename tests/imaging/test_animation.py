"""Animations: each rule of the standards, and of browsers, on files that are written byte by byte."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from support.pictures import animations, images
from support.pictures.animations import Frame, composited, plain
from support.pictures.containers import boxes, png_chunks, png_file, riff_chunks
from support.pictures.leaks import leaks
from thumbq.core.preset import Preset
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.formats.gif import first_picture
from thumbq.imaging.formats.registry import read_header
from thumbq.imaging.render import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from thumbq.ports import RenderedImage

CANVAS = (24, 16)
RED, GREEN, BLUE, BLACK = (200, 30, 30), (30, 200, 30), (30, 30, 200), (0, 0, 0)
BASE = Frame(plain(CANVAS, RED))
PATCH = Frame(plain((8, 6), GREEN), (4, 4))
LAST = Frame(plain((8, 6), BLUE), (10, 8))

ShownFrames = list[tuple["NDArray[np.int16]", int]]


def rendition(original: bytes, **options: Any) -> RenderedImage:
    recipe: dict[str, Any] = {"fit": "none", "animated": True, "format": "webp", "lossless": True}
    preset = Preset(name="moving", **(recipe | options))
    rendered = render(original, [preset], Limits())
    assert not isinstance(rendered, Refusal), rendered
    return rendered.images[0]


def refusal(original: bytes, *, animated: bool = True) -> str:
    rendered = render(original, [Preset(name="any", width=8, animated=animated, format="webp")], Limits())
    assert isinstance(rendered, Refusal)
    return rendered.code


def shown_frames(body: bytes) -> ShownFrames:
    """Return each frame of a file, transparent pixels as zeros, and for how many milliseconds it is shown."""
    shown = []
    with Image.open(io.BytesIO(body)) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            shown.append((bare(np.asarray(image.convert("RGBA"))), round(image.info.get("duration", 0))))
    return shown


def bare(rgba: NDArray[Any]) -> NDArray[np.int16]:
    return np.where(rgba[..., 3:] > 0, rgba, 0).astype(np.int16)


def shows(body: bytes, expected: Sequence[NDArray[np.uint8]], within: int = 0) -> bool:
    seen = shown_frames(body)
    return len(seen) == len(expected) and all(
        np.abs(pixels - bare(wanted)).max() <= within for (pixels, _), wanted in zip(seen, expected, strict=True)
    )


def random_frames(seed: int, *, gif: bool) -> list[Frame]:
    random = np.random.default_rng(seed)
    frames = []
    for number in range(5):
        width, height = (int(random.integers(1, side + 1)) for side in CANVAS)
        x, y = (int(random.integers(0, side)) for side in CANVAS)
        if not gif:
            x, y = min(x, CANVAS[0] - width), min(y, CANVAS[1] - height)
        if not number:
            width, height, x, y = *CANVAS, 0, 0
        colours = np.array([(*BLACK, 0), (*RED, 255), (*GREEN, 255), (*BLUE, 255)], dtype=np.uint8)
        pixels = colours[random.integers(0, 4, (height, width))]
        pixels[0, 0] = (number, 99, 99, 255)
        disposal = random.choice(["keep", "background", "previous"])
        frames.append(Frame(pixels, (x, y), 100, disposal, over=gif or bool(random.integers(2))))
    return frames


@pytest.mark.parametrize("seed", range(6))
def test_gif_frames_lie_on_what_the_frames_before_have_left(seed: int) -> None:
    frames = random_frames(seed, gif=True)
    assert shows(rendition(animations.gif(CANVAS, frames)).body, list(composited(CANVAS, frames)))


@pytest.mark.parametrize("seed", range(6))
def test_apng_frames_lie_on_what_the_frames_before_have_left(seed: int) -> None:
    frames = random_frames(seed, gif=False)
    assert shows(rendition(animations.apng(CANVAS, frames)).body, list(composited(CANVAS, frames)))


def test_an_apng_frame_of_half_transparent_pixels_is_mixed_with_what_is_there() -> None:
    random = np.random.default_rng(1)
    first, second = (random.integers(0, 256, (16, 24, 4)).astype(np.uint8) for _ in range(2))
    first[:4, :, 3], second[:, :4, 3], second[:, 4:8, 3] = 0, 0, 255
    made = rendition(animations.apng(CANVAS, [Frame(first), Frame(second)]), format="png")
    (_, _), (seen, _) = shown_frames(made.body)
    below, above = first / 255, second / 255
    alpha = above[..., 3:] + below[..., 3:] * (1 - above[..., 3:])
    mixed = above[..., :3] * above[..., 3:] + below[..., :3] * below[..., 3:] * (1 - above[..., 3:])
    straight = np.divide(mixed, alpha, out=np.zeros_like(mixed), where=alpha > 0)
    assert np.abs(seen - bare(np.concatenate([straight, alpha], axis=-1) * 255)).max() <= 2


def test_a_gif_frame_that_names_no_disposal_stays() -> None:
    frames = [BASE, replace(PATCH, disposal="background"), LAST, PATCH]
    data = bytearray(animations.gif(CANVAS, frames))
    third = [at for at in range(len(data)) if data[at : at + 3] == b"\x21\xf9\x04"][2]
    data[third + 3] = 0
    assert shows(rendition(bytes(data)).body, list(composited(CANVAS, frames)))


def test_what_a_gif_says_of_a_frame_holds_for_that_frame_only() -> None:
    frames = [replace(BASE, delay_ms=70, disposal="background"), replace(PATCH, delay_ms=100), LAST]
    data = animations.gif(CANVAS, frames)
    second = [at for at in range(len(data)) if data[at : at + 3] == b"\x21\xf9\x04"][1]
    unsaid = data[:second] + data[second + 8 :]
    made = rendition(unsaid)
    assert shows(made.body, list(composited(CANVAS, frames)))
    assert [ms for _, ms in shown_frames(made.body)] == [70, 100, 100]


def test_a_gif_disposal_of_4_is_that_of_3() -> None:
    frames = [BASE, replace(PATCH, disposal="previous"), LAST]
    data = bytearray(animations.gif(CANVAS, frames))
    second = [at for at in range(len(data)) if data[at : at + 3] == b"\x21\xf9\x04"][1]
    data[second + 3] = 4 << 2
    assert shows(rendition(bytes(data)).body, list(composited(CANVAS, frames)))


def test_gif_frames_have_palettes_of_their_own_and_may_be_interlaced() -> None:
    scenes = [images.scene(48, 32).quantize(16), images.scene(48, 32).rotate(180).quantize(8)]
    data = images.encoded(scenes[0], "GIF", save_all=True, append_images=scenes[1:], duration=50, interlace=1)
    assert shows(rendition(data).body, [np.asarray(scene.convert("RGBA")) for scene in scenes])


def test_the_first_gif_frame_makes_the_canvas_larger_and_later_ones_are_clipped() -> None:
    frames = [
        Frame(plain((3, 1), RED), (1, 0)),
        Frame(plain((2, 2), GREEN), (0, 1)),
        Frame(plain((1, 1), BLUE), (9, 9)),
    ]
    made = rendition(animations.gif((2, 2), frames))
    assert (made.width, made.height, made.frames) == (4, 2, 2)
    assert shows(made.body, list(composited((4, 2), frames))[:2])


def test_a_gif_frame_of_no_size_is_nothing() -> None:
    data = animations.gif(CANVAS, [BASE, PATCH, LAST])
    second = [at for at in range(len(data)) if data[at : at + 3] == b"\x21\xf9\x04"][1] + 8
    assert data[second] == ord(",")
    nothing = data[: second + 5] + bytes(4) + data[second + 9 :]
    expected = list(composited(CANVAS, [BASE, LAST]))
    assert shows(rendition(nothing).body, expected)


def test_a_first_gif_frame_of_no_size_is_an_empty_canvas() -> None:
    clear = plain(CANVAS, (*RED, 0))
    data = animations.gif(CANVAS, [Frame(clear), BASE])
    nothing = bytearray(data)
    first = data.index(b"\x21\xf9\x04") + 8
    nothing[first + 5 : first + 9] = bytes(4)
    made = rendition(bytes(nothing), animated=False, format="png", lossless=False)
    assert shows(made.body, [clear])


def test_a_gif_may_have_extensions_without_data() -> None:
    data = animations.gif(CANVAS, [BASE, PATCH], more=b"\x21\xfe\0\x21\x41\0")
    assert shows(rendition(data).body, list(composited(CANVAS, [BASE, PATCH])))
    assert shows(rendition(data, animated=False).body, [BASE.pixels])


def test_around_a_small_first_gif_frame_is_nothing() -> None:
    small = animations.gif(CANVAS, [LAST, BASE])
    made = rendition(small, animated=False, format="png", lossless=False)
    assert shows(made.body, [next(composited(CANVAS, [LAST]))])
    assert rendition(small).frames == 2


@pytest.mark.parametrize("clear", [False, True])
def test_a_gif_that_covers_its_canvas_or_has_a_clear_colour_is_decoded_as_it_is(clear: bool) -> None:  # noqa: FBT001
    frame = BASE
    if clear:
        pixels = LAST.pixels.copy()
        pixels[0] = 0
        frame = replace(LAST, pixels=pixels)
    data = animations.gif(CANVAS, [frame, PATCH])
    assert first_picture(data, read_header(data)) is None
    made = rendition(data, animated=False, format="png", lossless=False)
    assert shows(made.body, [next(composited(CANVAS, [frame]))])


def packed(rows: NDArray[np.uint8]) -> bytes:
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))


def two_frames(
    kind: int, more: list[tuple[bytes, bytes]], *rows: NDArray[np.uint8], bits: int = 8, **changed: int
) -> bytes:
    """Write an APNG of two whole frames of 24 by 16 in a colour type, with ``changed`` parts of the second."""
    width, height = CANVAS
    first = {"sequence": 0, "width": width, "height": height, "x": 0, "y": 0, "num": 7, "den": 0, "end": 0, "mix": 0}
    second = first | {"sequence": 1} | changed
    return png_file(
        [
            (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)),
            *more,
            (b"acTL", struct.pack(">II", 2, 3)),
            (b"fcTL", struct.pack(">5I2H2B", *first.values())),
            (b"IDAT", packed(rows[0])),
            (b"fcTL", struct.pack(">5I2H2B", *second.values())),
            (b"fdAT", struct.pack(">I", 2) + packed(rows[1])),
            (b"IEND", b""),
        ]
    )


ONES = np.ones((16, 24), dtype=np.uint8)


def test_apng_frames_share_a_palette_and_its_transparency() -> None:
    more = [(b"PLTE", bytes([*RED, *GREEN, *BLUE])), (b"tRNS", b"\xff\xff\x80")]
    made = rendition(two_frames(3, more, ONES, 2 * ONES), format="png")
    assert shows(made.body, [plain(CANVAS, GREEN), plain(CANVAS, (*BLUE, 128))])


def test_a_grey_apng_stays_grey() -> None:
    made = rendition(two_frames(0, [(b"tRNS", b"\0\x07")], 90 * ONES, 7 * ONES), format="png")
    assert shows(made.body, [plain(CANVAS, (90, 90, 90)), plain(CANVAS, (0, 0, 0, 0))])
    with Image.open(io.BytesIO(made.body)) as image:
        assert image.mode == "LA"


def test_apng_frames_of_2_bits_have_their_transparent_grey() -> None:
    levels = [np.full((16, 6), 0b01010101 * level, dtype=np.uint8) for level in (1, 2)]
    made = rendition(two_frames(0, [(b"tRNS", b"\0\x02")], *levels, bits=2), format="png")
    assert shows(made.body, [plain(CANVAS, (85, 85, 85)), plain(CANVAS, (0, 0, 0, 0))])


@pytest.mark.parametrize(
    "changed",
    [{"sequence": 5}, {"end": 3}, {"mix": 2}, {"width": 25}, {"height": 0}, {"x": 1}],
    ids=["order", "disposal", "blend", "too-wide", "no-height", "outside"],
)
def test_an_apng_whose_frames_are_no_frames_is_its_default_image(changed: dict[str, int]) -> None:
    assert is_default_image(two_frames(0, [], 90 * ONES, ONES, **changed))


def test_an_apng_with_a_frame_that_does_not_decode_is_its_default_image() -> None:
    whole = two_frames(0, [], 90 * ONES, ONES)
    assert is_default_image(two_frames(0, [], 90 * ONES, ONES[:-2]))
    for cut in (13, 20, 40, 60):
        assert is_default_image(whole[:-cut])
    at = whole.index(b"fdAT") + 12
    assert is_default_image(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    garbage = [(kind, body[:4] + b"no zlib" if kind == b"fdAT" else body) for kind, body in png_chunks(whole)]
    assert is_default_image(png_file(garbage))


@pytest.mark.parametrize(
    "spoilt", [(b"acTL", 0, bytes(4)), (b"acTL", 8, b"\0"), (b"fcTL", 26, b"\0"), (b"fdAT", 0, b"\xff")], ids=repr
)
def test_an_apng_whose_animation_is_damaged_is_its_default_image(spoilt: tuple[bytes, int, bytes]) -> None:
    kind, at, byte = spoilt
    parts = png_chunks(two_frames(0, [], 90 * ONES, ONES))
    assert is_default_image(
        png_file((each, body[:at] + byte + body[at + len(byte) :] if each == kind else body) for each, body in parts)
    )


def is_default_image(data: bytes) -> bool:
    rendered = render(data, [Preset(name="any", fit="none", animated=True, format="png")], Limits())
    assert not isinstance(rendered, Refusal), rendered
    with Image.open(io.BytesIO(rendered.images[0].body)) as image:
        return (rendered.frames, image.convert("L").getextrema()) == (1, (90, 90))


def test_an_apng_announces_more_frames_than_it_has() -> None:
    data = two_frames(0, [], ONES, 2 * ONES)
    announced = png_file((kind, b"\0\0\1\0\0\0\0\0" if kind == b"acTL" else body) for kind, body in png_chunks(data))
    assert read_header(announced).frames == 2
    assert rendition(announced).frames == 2


def test_an_apng_delay_without_a_denominator_counts_hundredths() -> None:
    assert [ms for _, ms in shown_frames(rendition(two_frames(0, [], ONES, 2 * ONES)).body)] == [70, 70]


@pytest.mark.parametrize(("num", "den", "ms"), [(1, 3, 333), (2, 3, 667), (0, 7, 100), (5, 1000, 5), (3, 1, 3000)])
def test_apng_delays_are_rounded_to_milliseconds(num: int, den: int, ms: int) -> None:
    made = rendition(two_frames(0, [], ONES, 2 * ONES, num=num, den=den))
    assert [shown for _, shown in shown_frames(made.body)] == [70, ms]


def test_gif_delays_that_browsers_do_not_keep_are_what_they_make_of_them() -> None:
    frames = [replace(BASE, delay_ms=0), replace(PATCH, delay_ms=10), replace(LAST, delay_ms=20)]
    assert [ms for _, ms in shown_frames(rendition(animations.gif(CANVAS, frames)).body)] == [100, 100, 20]


@pytest.mark.parametrize("target", ["webp", "png"])
def test_a_delay_of_hours_is_kept_as_far_as_the_format_goes(target: str) -> None:
    made = rendition(two_frames(0, [], ONES, 2 * ONES, num=65_521, den=1), format=target)
    longest = {"webp": 16_777_215, "png": 16_777_000}
    assert [ms for _, ms in shown_frames(made.body)] == [70, longest[target]]


def test_gif_times_over_a_minute_fit_into_an_apng() -> None:
    frames = [replace(BASE, delay_ms=65_530), replace(BASE, delay_ms=590_010), PATCH]
    assert [ms for _, ms in shown_frames(rendition(animations.gif(CANVAS, frames), format="png").body)] == [
        655_500,
        100,
    ]


def looped(repeats: int, *, name: bytes = b"NETSCAPE2.0", at_end: bool = False) -> bytes:
    extension = b"\x21\xff\x0b" + name + b"\x03\x01" + struct.pack("<H", repeats) + b"\0"
    frames = [BASE, PATCH]
    if not at_end:
        return animations.gif(CANVAS, frames, repeats=None, more=extension)
    return animations.gif(CANVAS, frames, repeats=None)[:-1] + extension + b";"


def plays(body: bytes) -> int:
    with Image.open(io.BytesIO(body)) as image:
        return int(image.info["loop"])


@pytest.mark.parametrize("target", ["webp", "png"])
def test_a_gif_is_played_once_and_as_often_again_as_it_says(target: str) -> None:
    found = [plays(rendition(looped(repeats), format=target).body) for repeats in (0, 1, 4)]
    assert found == [0, 2, 5]
    assert plays(rendition(animations.gif(CANVAS, [BASE, PATCH], repeats=None), format=target).body) == 1


def test_a_gif_may_say_how_often_it_is_played_in_another_way() -> None:
    assert plays(rendition(looped(2, name=b"ANIMEXTS1.0", at_end=True)).body) == 3


def test_what_plays_more_often_than_a_webp_can_is_not_played_for_ever_or_never() -> None:
    assert plays(rendition(looped(65_535)).body) == 65_535
    assert plays(rendition(looped(65_535), format="png").body) == 65_536


@pytest.mark.parametrize("times", [0, 1, 2, 7])
def test_an_avif_is_played_as_often_as_the_original(times: int) -> None:
    data = animations.apng(CANVAS, [BASE, PATCH], plays=times)
    avif = rendition(data, format="avif", lossless=False, effort=0).body
    assert plays(rendition(avif).body) == times
    durations = {
        kind: int.from_bytes(avif[at + offset : at + offset + 8], "big")
        for kind, at, offset in ((kind, at, {b"mvhd": 24, b"tkhd": 28}.get(kind, 0)) for kind, at in avif_boxes(avif))
        if offset
    }
    assert set(durations.values()) == {200 * times or (1 << 64) - 1}


def test_an_avif_that_is_not_repeated_is_played_once() -> None:
    data = rendition(animations.apng(CANVAS, [BASE, PATCH], plays=7), format="avif", lossless=False, effort=0).body
    assert data.count(b"elst\1\0\0\1") == 1
    assert plays(rendition(data.replace(b"elst\1\0\0\1", b"elst\1\0\0\0")).body) == 1


def avif_boxes(body: bytes) -> list[tuple[bytes, int]]:
    found = []
    for kind, first, last in boxes(body):
        if kind == b"moov":
            for inner, at, end in boxes(body, first, last):
                found.append((inner, at))
                if inner == b"trak":
                    found += [(kind, at) for kind, at, _ in boxes(body, at, end)]
    return found


@pytest.mark.parametrize("target", ["webp", "png", "avif"])
def test_equal_neighbours_become_one_frame_and_no_time_is_lost(target: str) -> None:
    frames = [BASE, replace(BASE, delay_ms=250), PATCH, replace(PATCH, delay_ms=30), LAST]
    made = rendition(animations.gif(CANVAS, frames), format=target, lossless=target == "webp")
    assert [ms for _, ms in shown_frames(made.body)] == [350, 130, 100]
    assert (made.frames, made.steps.frames_dropped) == (3, 2)


@pytest.mark.parametrize("target", ["webp", "png", "avif"])
def test_an_animation_in_which_nothing_changes_is_a_still(target: str) -> None:
    made = rendition(animations.gif(CANVAS, [BASE, BASE, BASE]), format=target, lossless=False)
    assert (made.frames, made.steps.frames_dropped) == (1, 2)
    for trace in (b"acTL", b"fcTL", b"ANIM", b"ANMF", b"moov", b"avis"):
        assert trace not in made.body


@pytest.mark.parametrize(("lossless", "content_type"), [(False, "image/webp"), (True, "image/png")])
def test_auto_keeps_what_moves_moving(lossless: bool, content_type: str) -> None:  # noqa: FBT001
    made = rendition(animations.gif(CANVAS, [BASE, PATCH]), format="auto", lossless=lossless)
    assert (made.content_type, made.frames) == (content_type, 2)


def test_auto_makes_a_jpeg_of_an_animation_in_which_nothing_changes() -> None:
    made = rendition(animations.gif(CANVAS, [BASE, BASE]), format="auto", lossless=False)
    assert (made.content_type, made.frames) == ("image/jpeg", 1)


def test_frames_that_an_encoder_takes_for_one_are_counted_as_one() -> None:
    random = np.random.default_rng(3)
    noise = random.integers(60, 200, (16, 24, 3)).astype(np.uint8)
    alike = [Frame(np.dstack([noise + number % 2, ONES * 255])) for number in range(4)]
    made = rendition(animations.apng(CANVAS, [*alike, PATCH]), lossless=False, quality=40)
    assert made.frames == len(shown_frames(made.body)) == sum(kind == b"ANMF" for kind, _ in riff_chunks(made.body)) < 5
    still = rendition(animations.apng(CANVAS, alike), lossless=False, quality=40)
    assert (still.frames, b"ANMF" in still.body) == (1, False)


@pytest.mark.parametrize("target", ["webp", "png", "avif"])
def test_an_animation_holds_nothing_but_pixels_and_time(target: str) -> None:
    data = animations.gif(CANVAS, [BASE, PATCH, replace(LAST, disposal="background")])
    made = rendition(data, format=target, lossless=False)
    assert leaks(made.body) == []
    assert made.body == rendition(data, format=target, lossless=False).body


def test_a_webp_says_that_it_has_transparency_when_frames_are_cleared_away() -> None:
    frames = [BASE, replace(PATCH, disposal="background"), LAST]
    made = rendition(animations.gif(CANVAS, frames))
    assert made.body[12:16] == b"VP8X"
    assert made.body[20] & 0x10


@pytest.mark.parametrize("animated", [True, False])
def test_holes_in_a_webp_are_holes_also_where_it_says_that_there_are_none(animated: bool) -> None:  # noqa: FBT001
    frames = [replace(LAST, disposal="background"), PATCH]
    data = bytearray(animations.webp(CANVAS, frames))
    data[20] &= ~0x10
    expected = list(composited(CANVAS, frames))
    made = rendition(bytes(data), animated=animated)
    assert shows(made.body, expected if animated else expected[:1])
    assert read_header(bytes(data)).channels == 4


def test_a_webp_whose_frames_cover_each_other_has_no_holes() -> None:
    data = bytearray(animations.webp(CANVAS, [replace(BASE, disposal="background"), BASE, PATCH]))
    data[20] &= ~0x10
    assert read_header(bytes(data)).channels == 3


def test_a_later_frame_that_is_cut_costs_the_animation_and_not_the_still() -> None:
    data = animations.gif(CANVAS, [BASE, BASE])
    pixels_at = data.rindex(b",") + 11
    cut = data[:pixels_at] + b"\x14" + data[pixels_at + 1 : pixels_at + 21] + b"\0;"
    assert refusal(cut) == "truncated"
    assert rendition(cut, animated=False).frames == 1
