from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from conformance import phoneheics
from support.patience import patience
from support.pictures import bombs, images
from thumbq.core.formats import ImageFormat
from thumbq.core.preset import THUMBNAIL, Preset
from thumbq.core.units import MIB
from thumbq.errors import RenderRefused
from thumbq.imaging import Limits, Refusal, admission, geometry, heap
from thumbq.imaging.admission import Rendition
from thumbq.imaging.costs import Cost, predict
from thumbq.imaging.formats.registry import OUTPUT_FORMATS, read_header
from thumbq.imaging.header import Header, JpegHeader
from thumbq.imaging.render import render
from thumbq.ports import Rendered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.figures import AtMost


BASELINE = JpegHeader(
    progressive=False,
    scans=1,
    stages=(),
    stops=(60_000_000,),
    pixels_at=60_000,
    sampling=((2, 2), (1, 1), (1, 1)),
    one_pass=True,
    kept_segments=((0, 60_000),),
)
PROGRESSIVE = replace(BASELINE, progressive=True, scans=10, one_pass=False)
PHONE = Header(ImageFormat.JPEG, 16_320, 12_240, file_bytes=60_000_000, jpeg=BASELINE)
HEIC = Header(ImageFormat.HEIF, 8_064, 6_048, file_bytes=10_000_000, scratch_bytes=8_064 * 6_048 * 3 // 2)
HEIF_OF_10_BITS = Header(
    ImageFormat.HEIF, 9_504, 6_336, bits=10, file_bytes=30_000_000, scratch_bytes=9_504 * 6_336 * 3
)
SONYS_TILES = replace(
    HEIF_OF_10_BITS,
    width=8_640,
    height=5_760,
    scratch_bytes=8_640 * 5_760 * 3,
    band_pixels=8_640 * 1_920,
    piece_pixels=2_880 * 1_920,
)
SONYS_61_MP = replace(
    HEIF_OF_10_BITS, scratch_bytes=9_504 * 6_336 * 4, band_pixels=9_600 * 2_112, piece_pixels=3_200 * 2_112
)
"""The A7CR's, as heif-info lists it (strukturag/libheif#1787): 3 by 3 tiles, 4:2:2."""

CANONS_45_MP = replace(
    HEIF_OF_10_BITS,
    width=8_192,
    height=5_464,
    scratch_bytes=8_192 * 5_464 * 4,
    band_pixels=8_192 * 2_752,
    piece_pixels=4_096 * 2_752,
)
"""2 by 2 tiles, 4:2:2, as lclevy/canon_cr3's heif.md has them."""

AVIF_OF_10_BITS = Header(
    ImageFormat.AVIF, 8_064, 6_048, bits=10, file_bytes=15_000_000, scratch_bytes=8_064 * 6_048 * 3
)
LARGE_TILES: dict[str, Any] = {"band_pixels": 8_192 * 2_048, "piece_pixels": 2_048 * 2_048}
PHONES_200_MP = replace(
    HEIC,
    width=16_320,
    height=12_240,
    file_bytes=45_000_000,
    scratch_bytes=16_320 * 12_240 * 3 // 2,
    band_pixels=16_384 * 512,
    piece_pixels=16 * 512 * 512,
)
PNG = Header(ImageFormat.PNG, 4_000, 3_000, file_bytes=20_000_000)


def admit(
    found: Header,
    *sides: int,
    formats: Sequence[str] = ("jpeg",),
    scale: int = 1,
    animated: bool = False,
    limits: Limits | None = None,
) -> None:
    """Ask for renditions that fit squares of some sides."""
    longest = max(found.width, found.height)
    renditions = [
        Rendition(round(found.width * side / longest) * round(found.height * side / longest), each)
        for side in sides
        for each in formats
    ]
    admission.admit(
        found,
        scale=scale,
        reducing_gap=longest / scale / max(sides),
        renditions=renditions,
        animated=animated,
        limits=limits or Limits(),
    )


def refusal(found: Header, *sides: int, **options: Any) -> tuple[str, str]:
    with pytest.raises(RenderRefused) as caught:
        admit(found, *sides, **options)
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize(
    ("found", "side", "scale"),
    [
        (PHONE, 100, 8),
        (PHONE, 1280, 8),
        (replace(PHONE, jpeg=PROGRESSIVE, width=8_000, height=6_000), 1280, 4),
        (HEIC, 100, 1),
        (HEIC, 1280, 1),
        (replace(HEIC, width=6_000, height=4_000, scratch_bytes=36_000_000), 1280, 1),
        (replace(PNG, channels=4), 100, 1),
        (replace(PNG, channels=4), 1280, 1),
        (replace(PNG, channels=4), 4_000, 1),
        (replace(PNG, width=8_660, height=5_774, file_bytes=90_000_000), 100, 1),
        (Header(ImageFormat.WEBP, 6_000, 4_000, channels=4, file_bytes=25_000_000), 1280, 1),
        (Header(ImageFormat.WEBP, 8_192, 4_608, file_bytes=5_000_000), 1280, 1),
        (Header(ImageFormat.AVIF, 8_064, 6_048, file_bytes=15_000_000, scratch_bytes=73_200_000), 1280, 1),
        (AVIF_OF_10_BITS, 1280, 1),
        (replace(AVIF_OF_10_BITS, width=8_192, height=4_352, scratch_bytes=8_192 * 4_352 * 6), 1280, 1),
        (replace(AVIF_OF_10_BITS, scratch_bytes=8_064 * 6_048 * 6, **LARGE_TILES), 1280, 1),
        (HEIF_OF_10_BITS, 100, 1),
        (HEIF_OF_10_BITS, 1280, 1),
        (replace(HEIF_OF_10_BITS, band_pixels=9_728 * 512, piece_pixels=16 * 512 * 512), 1280, 1),
        (SONYS_TILES, 1280, 1),
        (SONYS_61_MP, 1280, 1),
        (CANONS_45_MP, 1280, 1),
        (PHONES_200_MP, 100, 1),
        (PHONES_200_MP, 1280, 1),
        (Header(ImageFormat.TIFF, 6_000, 4_000, channels=4, file_bytes=96_000_000), 100, 1),
        (Header(ImageFormat.BMP, 6_000, 4_000, file_bytes=72_000_000), 1280, 1),
        (Header(ImageFormat.GIF, 10_000, 10_000, channels=1, palette=True, file_bytes=20_000_000), 100, 1),
    ],
)
def test_what_cameras_and_people_make_is_admitted(found: Header, side: int, scale: int) -> None:
    admit(found, side, scale=scale)


@pytest.mark.parametrize("second", [(60_000, 60_000, 10, 10), (0, 0, 60_000, 60_000)])
def test_a_gif_with_a_monstrous_second_frame_is_a_still_like_any_other(second: tuple[int, int, int, int]) -> None:
    made = render(bombs.gif(10, 10, second=second), [THUMBNAIL], Limits())
    assert isinstance(made, Rendered)
    assert (made.width, made.height) == (10, 10)


def test_frames_count_only_when_they_are_wanted() -> None:
    animation = replace(PNG, width=640, height=480, frames=501)
    admit(animation, 100)
    code, text = refusal(animation, 100, animated=True)
    assert code == "too-many-frames"
    assert "501 frames; the limit is 500" in text
    long = replace(animation, width=2_000, height=1_500, frames=100)
    code, text = refusal(long, 100, animated=True)
    assert code == "too-many-frames"
    assert "300,000,000 pixels" in text


def test_scans_are_counted() -> None:
    found = replace(PHONE, width=640, height=480, jpeg=replace(PROGRESSIVE, scans=101))
    assert refusal(found, 100, scale=4) == ("too-many-scans", "the JPEG has 101 scans; the limit is 100")
    admit(found, 100, scale=4, limits=Limits(max_scans=101))


def test_what_costs_too_much_memory_is_refused_with_numbers() -> None:
    code, text = refusal(replace(PNG, width=20_000, height=20_000), 100)
    assert code == "too-large"
    assert text.startswith("rendering these 20000 by 20000 pixels would take about 1,")
    assert text.endswith(f"the limit is {Limits().max_memory_bytes // MIB} MiB")
    admit(replace(PNG, width=20_000, height=20_000), 100, limits=Limits(max_memory_bytes=2_000 * MIB))


def test_what_costs_too_much_time_is_refused_with_numbers() -> None:
    slow = replace(PHONE, width=60_000, height=60_000)
    code, text = refusal(slow, 100, scale=8, limits=Limits(max_cpu_s=1))
    assert code == "too-large"
    assert text.endswith("s of CPU time; the limit is 1 s")
    admit(slow, 100, scale=8)


@pytest.mark.parametrize("compression", [1, 2])
def test_the_runs_of_a_bmp_take_their_pixels_twice_and_python_for_each_byte(compression: int) -> None:
    found = read_header(bombs.bmp(8_000, 8_000, compression=compression))
    cost = predict(found, scale=1, reducing_gap=80, renditions=[], animated=False)
    assert cost.memory_bytes > 2 * 64_000_000
    full = predict(replace(found, file_bytes=32 << 20), scale=1, reducing_gap=80, renditions=[], animated=False)
    assert full.cpu_s > 12
    assert refusal(read_header(bombs.bmp(30_000, 30_000, compression=compression)), 100)[0] == "too-large"


def test_a_jpeg_costs_what_it_is_after_its_shrinking() -> None:
    admit(PHONE, 1280, scale=8)
    assert refusal(PHONE, 16_320)[0] == "too-large"


def test_the_coefficients_of_a_progressive_jpeg_are_held_at_full_size() -> None:
    whole = replace(PHONE, jpeg=PROGRESSIVE)
    assert refusal(whole, 100, scale=8)[0] == "too-large"
    cost = [predict(each, scale=8, reducing_gap=20, renditions=[], animated=False) for each in (PHONE, whole)]
    assert cost[1].memory_bytes - cost[0].memory_bytes == pytest.approx(16_320 * 12_240 * 1.5 * 2, rel=0.01)


def test_without_tiles_the_largest_avif_of_all_colours_in_10_bits_is_too_large_but_for_a_larger_budget() -> None:
    found = replace(AVIF_OF_10_BITS, scratch_bytes=8_064 * 6_048 * 6)
    assert refusal(found, 1280)[0] == "too-large"
    admit(found, 1280, limits=Limits(max_memory_bytes=640 * MIB))


def test_a_grid_that_is_never_whole_costs_a_row_of_its_tiles() -> None:
    rows = predict(PHONES_200_MP, scale=1, reducing_gap=12, renditions=[], animated=False)
    whole = predict(
        replace(PHONES_200_MP, band_pixels=0, piece_pixels=0), scale=1, reducing_gap=12, renditions=[], animated=False
    )
    assert rows.memory_bytes < whole.memory_bytes / 4
    # Renditions of more than an eighth of its sides are made of all of its pixels.
    assert refusal(PHONES_200_MP, 2_560)[0] == "too-large"


def test_large_renditions_cost_more_in_some_formats_than_in_others() -> None:
    costs = {
        each: predict(
            PNG, scale=1, reducing_gap=1, renditions=[Rendition(12_000_000, each)], animated=False
        ).memory_bytes
        for each in ("jpeg", "png", "webp", "avif", "auto")
    }
    assert costs["jpeg"] < costs["png"] < costs["webp"] < costs["avif"]
    assert costs["auto"] == costs["jpeg"]
    assert refusal(PNG, 4_000, formats=["avif"], limits=Limits(max_memory_bytes=356 * MIB))[0] == "too-large"


LOSSLESS = Preset(name="lossless", fit="none", format="webp", lossless=True)
DEAR = Preset(name="dear", fit="none", format="avif", effort=9)
AVATAR = Preset(name="avatar", width=40)


def test_one_preset_over_the_budget_leaves_the_others_to_be_made() -> None:
    data = images.encoded(Image.new("RGB", (1_000, 700), "teal"), "PNG")
    made = render(data, [THUMBNAIL, DEAR, AVATAR], Limits())
    assert isinstance(made, Rendered)
    assert [image.preset for image in made.images] == ["thumbnail", "avatar"]
    assert [(each.preset, each.code) for each in made.not_made] == [("dear", "too-large")]
    assert "s of CPU time" in made.not_made[0].text


def test_of_presets_that_are_not_made_together_the_cheapest_are_made() -> None:
    data = images.encoded(Image.new("RGB", (1_000, 700), "teal"), "PNG")
    lossless = [LOSSLESS.model_copy(update={"name": f"lossless-{number}"}) for number in range(3)]
    one = predict(
        read_header(data),
        scale=1,
        reducing_gap=1,
        renditions=admission.renditions([geometry.target((1_000, 700), LOSSLESS)], [LOSSLESS]),
        animated=False,
    )
    made = render(data, [*lossless, AVATAR], Limits(max_cpu_s=2.5 * one.cpu_s))
    assert isinstance(made, Rendered)
    assert [image.preset for image in made.images] == ["lossless-0", "lossless-1", "avatar"]
    assert [each.preset for each in made.not_made] == ["lossless-2"]


def test_when_nothing_is_affordable_the_image_is_refused() -> None:
    made = render(bombs.webp(12_000, 12_000), [THUMBNAIL, DEAR], Limits())
    assert isinstance(made, Refusal)
    assert made.code == "too-large"


def test_an_animation_with_too_many_frames_costs_no_still() -> None:
    moving = Preset(name="moving", width=50, format="webp", animated=True)
    made = render(bombs.gif(10, 10, frames=600), [THUMBNAIL, moving], Limits())
    assert isinstance(made, Rendered)
    assert [image.preset for image in made.images] == ["thumbnail"]
    assert [each.code for each in made.not_made] == ["too-many-frames"]


def test_an_animated_webp_costs_its_encoded_frames_and_not_their_pixels() -> None:
    long = Header(ImageFormat.GIF, 472, 298, channels=2, palette=True, frames=380, file_bytes=25_000_000)
    costs = {
        each: predict(
            long, scale=1, reducing_gap=1, renditions=[Rendition(472 * 298, each)], animated=True
        ).memory_bytes
        for each in ("webp", "png")
    }
    assert costs["webp"] < 256 * MIB < costs["png"]


def test_the_first_frame_of_an_animation_is_held_as_it_is_resampled_from() -> None:
    animation = Header(ImageFormat.WEBP, 61, 262_191, channels=4, frames=3)
    small, large = Rendition(100_000, "webp"), Rendition(1_000_000, "jpeg")
    limits = Limits(max_memory_bytes=356 * MIB)
    admission.admit(animation, scale=1, reducing_gap=16, renditions=[small], animated=True, limits=limits)
    with pytest.raises(RenderRefused, match="MiB"):
        admission.admit(animation, scale=1, reducing_gap=4, renditions=[small, large], animated=True, limits=limits)


def test_effort_and_losslessness_cost_memory_and_time() -> None:
    def cost(**options: Any) -> Cost:
        preset = Preset(name="p", fit="none", **options)
        target = geometry.target((4_000, 3_000), preset)
        return predict(
            PNG, scale=1, reducing_gap=1, renditions=admission.renditions([target], [preset]), animated=False
        )

    for least, more in (
        ({"format": "webp"}, {"format": "webp", "effort": 9}),
        ({"format": "webp", "effort": 9}, {"format": "webp", "lossless": True}),
        ({"format": "avif"}, {"format": "avif", "effort": 4}),
        ({"format": "avif"}, {"format": "avif", "quality": 95}),
    ):
        assert cost(**more).memory_bytes > 1.2 * cost(**least).memory_bytes
        assert cost(**more).cpu_s > 1.2 * cost(**least).cpu_s
    assert cost(sharpen=100).memory_bytes > cost().memory_bytes
    assert cost(format="avif", effort=9).cpu_s > 50 * cost(format="avif").cpu_s > 300
    assert cost(format="webp", lossless=True).memory_bytes > Limits().max_memory_bytes
    assert cost(format="auto", lossless=True) == cost(format="jpeg")


def long_gif() -> bytes:
    """Make 380 frames of 472 by 298 pixels, which no encoder takes for fewer."""
    wide = images.scene(552, 298).quantize(64)
    frames = [wide.crop((at % 80, 0, at % 80 + 472, 298)) for at in range(380)]
    return images.encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=40)


def peak_inputs() -> dict[str, tuple[bytes, Preset]]:
    scene = images.scene(1600, 1200)
    clear = scene.convert("RGBA")
    clear.putalpha(120)
    small, whole = THUMBNAIL, Preset(name="whole", fit="none", format="webp")
    animation = [scene.resize((400, 300)).rotate(turn) for turn in (0, 20, 40)]
    return {
        "progressive JPEG": (images.photo_jpeg(1600, 1200, progressive=True), small),
        "RGBA PNG": (images.encoded(clear, "PNG", compress_level=1), Preset(name="p", width=640)),
        "PNG to WebP, lossless": (
            images.encoded(scene.resize((1200, 900)), "PNG", compress_level=1),
            Preset(name="p", fit="none", format="webp", lossless=True, effort=9),
        ),
        "PNG to WebP": (images.encoded(scene, "PNG", compress_level=1), whole),
        "palette with a hole": (images.encoded(scene.quantize(64), "PNG", transparency=3), Preset(name="p", width=640)),
        "WebP": (images.encoded(clear, "WEBP", method=0), small),
        "AVIF": (images.encoded(scene, "AVIF", speed=10), small),
        "HEIC": (images.heic(scene, quality=30), small),
        "HEIC of tiles": (phoneheics.repeated(images.scene(512, 512), 6, 5), small),
        "HEIC of tiles, whole": (phoneheics.repeated(images.scene(512, 512), 3, 3), Preset(name="p", width=640)),
        "TIFF of one strip": (images.encoded(scene, "TIFF", compression="tiff_lzw", strip_size=1 << 30), small),
        "animation": (
            images.encoded(animation[0], "PNG", save_all=True, append_images=animation[1:]),
            Preset(name="animation", width=300, format="webp", animated=True),
        ),
    }


def large_inputs() -> dict[str, bytes]:
    """Make files of the sizes of current cameras and phones, of one colour or of one tile again and again."""
    ten_bits = images.heic_of_16_bits(bytes(512 * 512 * 6), (512, 512))
    return {
        "WebP of 24 megapixels": bombs.webp(6_000, 4_000),
        "AVIF of 48 megapixels": images.encoded(Image.new("RGB", (8_000, 6_000), "teal"), "AVIF", speed=10),
        "HEIF of 61 megapixels and 10 bits": phoneheics.repeated(ten_bits, 19, 13, (9_504, 6_336)),
        "HEIC of 200 megapixels": phoneheics.repeated(
            images.heic(images.scene(512, 512), quality=40), 32, 24, (16_320, 12_240)
        ),
    }


@pytest.mark.measured
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_largest_files_of_cameras_and_phones_are_rendered_within_the_default_limits(
    tmp_path: Path, at_most: AtMost
) -> None:
    for name, data in large_inputs().items():
        peak, predicted = peak_of(tmp_path, data, THUMBNAIL)
        at_most(f"MiB for a thumbnail of a {name}", peak / MIB, predicted / MIB)


@pytest.mark.measured
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_an_animation_is_encoded_without_all_of_its_frames_in_memory(tmp_path: Path, at_most: AtMost) -> None:
    preset = Preset(name="animation", width=480, format="webp", animated=True)
    peak, predicted = peak_of(tmp_path, long_gif(), preset)
    assert peak < predicted
    at_most("MiB for 380 frames of 472 by 298 pixels as a WebP", peak / MIB, 128)


def peak_of(tmp_path: Path, data: bytes, preset: Preset) -> tuple[int, int]:
    """Return the bytes that a render took at its peak in a process of its own, and the bytes that were predicted."""
    (tmp_path / "original").write_bytes(data)
    argv = [sys.executable, "-c", PEAK_SCRIPT, str(tmp_path / "original"), preset.model_dump_json(exclude_unset=True)]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=True, timeout=patience(60), env=os.environ | heap.ENVIRONMENT
    )
    peak, predicted = json.loads(done.stdout)
    return peak, predicted


@pytest.mark.measured
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_no_render_takes_more_memory_than_was_predicted(tmp_path: Path, at_most: AtMost) -> None:
    """One process each, as a heap that was used before hides what is taken from it."""
    for name, (data, preset) in peak_inputs().items():
        peak, predicted = (number / MIB for number in peak_of(tmp_path, data, preset))
        at_most(f"MiB for {name}", peak, predicted)
        # Nor is it predicted out of all proportion: what is small would be refused then.
        at_most(f"MiB predicted for {name}", predicted, 2 * peak + 20)


PEAK_SCRIPT = """
import io, json, sys
from pathlib import Path
from PIL import Image
from thumbq.core.preset import THUMBNAIL, Preset
from thumbq.imaging import Limits, admission
from thumbq.imaging.render import render
from thumbq.ports import Rendered

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

predicted = []
predict = admission.predict
admission.predict = lambda *args, **kwargs: predicted.append(predict(*args, **kwargs)) or predicted[-1]
file = io.BytesIO()
Image.new("RGB", (256, 256)).save(file, "PNG")
assert isinstance(render(file.getvalue(), [THUMBNAIL], Limits()), Rendered)  # so that everything is loaded
idle = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
made = render(Path(sys.argv[1]).read_bytes(), [Preset.model_validate_json(sys.argv[2])], Limits())
assert isinstance(made, Rendered), made
print(json.dumps([status("VmHWM") - idle, predicted[-1].memory_bytes]))
"""


@pytest.mark.parametrize("error", [MemoryError(), OSError("encoding error 6"), RuntimeError("no"), ValueError("no")])
@pytest.mark.parametrize("animated", [False, True])
def test_a_preset_whose_encoder_gives_up_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, error: Exception, *, animated: bool
) -> None:
    def give_up(*_: object) -> bytes:
        raise error

    avif = replace(OUTPUT_FORMATS["avif"], save=give_up)
    monkeypatch.setitem(OUTPUT_FORMATS, "avif", avif)  # type: ignore[index, unused-ignore]
    bad = Preset(name="bad", width=5, format="avif", animated=animated)
    good = Preset(name="good", width=5, format="webp", animated=animated)
    original = images.encoded(Image.new("RGB", (20, 20), "teal"), "PNG")
    if animated:
        first, second = (Image.new("RGB", (20, 20), colour) for colour in ("teal", "red"))
        original = images.encoded(first, "GIF", save_all=True, append_images=[second])
    made = render(original, [bad, good, THUMBNAIL], Limits())
    assert isinstance(made, Rendered)
    assert [image.preset for image in made.images] == ["good", "thumbnail"]
    assert [(each.preset, each.code) for each in made.not_made] == [("bad", "out-of-memory")]
    assert made.images[0].frames == 1 + animated
    alone = render(original, [bad], Limits())
    assert isinstance(alone, Refusal)
    assert alone.code == "out-of-memory"
