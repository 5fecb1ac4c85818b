"""The short form of the fuzz run (``run.py`` is the long one), and that its checks can fail."""

from __future__ import annotations

import io
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from PIL import Image, PngImagePlugin

from fuzz import campaign, canaries, fileparts, large, oracle
from fuzz.campaign import Campaign
from fuzz.health import PeakWatch, StallWatch
from fuzz.mutator import FORMATS, Input, mutated
from fuzz.seeds import Seed, seeds
from support.patience import until
from support.pictures import images
from support.processes.marked_pool import marked_pool
from thumbq.core.formats import ImageFormat, sniff
from thumbq.core.preset import Preset
from thumbq.errors import RenderRefused
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.formats.registry import read_header
from thumbq.imaging.render import render
from thumbq.ports import Rendered, RenderedImage

if TYPE_CHECKING:
    from fuzz.tally import Tally

_SHORT = 240


def every_seed() -> list[Seed]:
    return [seed for family in seeds().values() for seed in family]


@pytest.mark.parametrize("seed", [1, 2])
async def test_hostile_images_are_answered_within_limits_and_without_metadata(seed: int) -> None:
    tally = await campaign.run(mutated(seed, index) for index in range(_SHORT))
    assert tally.violations == []
    assert tally.killed == []
    assert tally.inputs == _SHORT
    assert {name for name, outcome in tally.outcomes if outcome == "rendered"} == {each.name for each in FORMATS}
    assert {name for name, outcome in tally.outcomes if outcome != "rendered"} == {each.name for each in FORMATS}


def test_what_mutations_begin_with_is_whole() -> None:
    small = Preset(name="small", width=20, height=20)
    made = {seed.name: render(seed.data, [small], Limits()) for seed in every_seed()}
    assert {name: answer for name, answer in made.items() if isinstance(answer, Refusal)} == {}


def test_files_come_apart_and_together_again() -> None:
    for seed in every_seed():
        assert fileparts.whole(seed.format, fileparts.parts_of(seed.format, seed.data)) == seed.data, seed.name
        assert sniff(seed.data) is seed.format


def test_every_format_that_holds_metadata_has_canaries() -> None:
    planted = {seed.format for seed in every_seed() if any(trace in seed.data for trace in canaries.TRACES)}
    assert planted == set(FORMATS)
    places = {"Make", "UserComment", "GPSAreaInformation", "XMP", "IPTC", "COM", "GIF", "tEXt", "udes"}
    assert {place for place in places if not any(_has(seed, place) for seed in every_seed())} == set()


def _has(seed: Seed, place: str) -> bool:
    return canaries.canary(place).encode() in seed.data


def test_an_input_can_be_made_again() -> None:
    assert [mutated(7, index) for index in range(50)] == [mutated(7, index) for index in range(50)]
    assert len({mutated(seed, 5).data for seed in range(50)}) > 40


def test_most_mutations_get_past_check_sums_and_lengths() -> None:
    files = [mutated(4, index).data for index in range(FORMATS.index(ImageFormat.PNG), 2000, len(FORMATS))]
    whole = [file for file in files if not any(part.spoilt or part.kind == b"rest" for part in _png(file))]
    assert len(files) / 2 < len(whole) < len(files)


def _png(file: bytes) -> list[fileparts.Part]:
    return fileparts.parts_of(ImageFormat.PNG, file)


def _texts() -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "a secret", zip=True)
    return texts


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("JPEG", {"comment": b"a secret"}),
        ("JPEG", {"exif": canaries.exif()}),
        ("JPEG", {"xmp": canaries.xmp()}),
        ("JPEG", {"icc_profile": canaries.icc()}),
        ("JPEG", {"dpi": (240, 240)}),
        ("PNG", {"pnginfo": _texts()}),
        ("PNG", {"icc_profile": canaries.icc()}),
        ("PNG", {"dpi": (240, 240)}),
        ("WEBP", {"exif": canaries.exif()}),
        ("WEBP", {"xmp": canaries.xmp()}),
        ("WEBP", {"icc_profile": canaries.icc()}),
        ("AVIF", {"exif": canaries.exif()}),
        ("AVIF", {"xmp": canaries.xmp()}),
        ("AVIF", {"icc_profile": canaries.icc()}),
    ],
)
def test_the_judge_sees_metadata(image_format: str, options: dict[str, Any]) -> None:
    picture = Image.new("RGB", (16, 16))
    assert list(oracle.faults(*_answer(images.encoded(picture, image_format)))) == []
    assert list(oracle.faults(*_answer(images.encoded(picture, image_format, **options)))) != []


@pytest.mark.parametrize("code", ["ascii", "utf-16-le", "utf-16-be"])
def test_the_judge_sees_a_canary_anywhere(code: str) -> None:
    marked = images.encoded(Image.new("RGB", (16, 16)), "WEBP") + canaries.canary("somewhere").encode(code)
    assert "as: a canary" in list(oracle.faults(*_answer(marked)))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"width": 17}, "announced as 17 by 16"),
        ({"frames": 2}, "announced as 2"),
        ({"content_type": "image/png"}, "announced as image/png"),
        ({"preset": "another"}, "renditions ['another']"),
    ],
)
def test_the_judge_sees_what_is_not_as_announced(change: dict[str, Any], fault: str) -> None:
    rendered, presets, original = _answer(images.encoded(Image.new("RGB", (16, 16)), "JPEG"))
    changed = replace(rendered, images=(replace(rendered.images[0], **change),))
    assert any(fault in found for found in oracle.faults(changed, presets, original))


def _answer(body: bytes) -> tuple[Rendered, list[Preset], bytes]:
    """Make the answer to a file that is its own rendition."""
    found = sniff(body)
    assert found is not None
    with Image.open(io.BytesIO(body)) as image:
        size = image.size
    preset = Preset.model_validate({"name": "as", "width": 16, "height": 16, "format": found.name.lower()})
    return Rendered(found.name, *size, (RenderedImage("as", body, *size, found.content_type),)), [preset], body


@pytest.mark.parametrize(
    ("mark", "outcome", "violated", "killed"),
    [
        (b"refuse corrupt", "corrupt", "", ""),
        (b"refuse tired", "tired", "refused as tired", ""),
        (b"ok", "rendered", "became a TEXT", ""),
        (b"raise", "render-crashed", "the render failed", "the render failed"),
        (b"signal SIGSEGV", "render-crashed", "", "killed by SIGSEGV"),
        (b"leak 600", "rendered", "MiB in memory", ""),
    ],
)
async def test_a_campaign_sees_faults_of_processes(mark: bytes, outcome: str, violated: str, killed: str) -> None:
    tally = await _tallied(mark)
    assert tally.outcomes == {("JPEG", outcome): 1}
    assert bool(tally.violations) == bool(violated)
    assert violated in " ".join(tally.violations)
    assert bool(tally.killed) == bool(killed)
    assert killed in " ".join(tally.killed)


async def _tallied(mark: bytes) -> Tally:
    async with marked_pool(memory_limit_bytes=1 << 30) as pool:
        tested = Campaign(pool)
        await tested.run([Input(0, 0, every_seed()[0], mark)])
    return tested.tally


async def test_a_loop_that_stands_still_is_seen() -> None:
    watch = StallWatch()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.run)
        await anyio.sleep(0.01)
        with watch.watching():
            await anyio.sleep(0.02)
            time.sleep(0.1)  # noqa: ASYNC251 - which is what must not happen
            await anyio.sleep(0.01)
        assert watch.longest_s > 0.05
        tasks.cancel_scope.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
async def test_the_peak_of_a_process_that_has_ended_is_known() -> None:
    watch = PeakWatch()
    script = "held = b'x' * (90 << 20); print('held', flush=True); input()"
    async with (
        await anyio.open_process([sys.executable, "-c", script]) as process,
        anyio.create_task_group() as tasks,
    ):
        assert process.stdout is not None
        tasks.start_soon(watch.run)
        with watch.watching(process.pid):
            await process.stdout.receive()
            await until(lambda: (watch.peak_bytes or 0) > 90 << 20, within_s=5, what="90 MiB")
            process.kill()
            await process.wait()
        assert watch.peak_bytes is not None
        assert watch.peak_bytes >= 90 << 20
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("image_format", FORMATS)
def test_large_inputs_are_images_whose_header_can_be_read_or_that_lie(image_format: ImageFormat) -> None:
    for name, make in large.KINDS[image_format].items():
        file = make((128, 96))
        assert sniff(file) is image_format
        if name.endswith("-lie"):
            with pytest.raises(RenderRefused, match="two sizes"):
                read_header(file)
        else:
            assert read_header(file).scratch_bytes >= 0
    if image_format is ImageFormat.AVIF:
        twice = read_header(large.KINDS[image_format]["twice"]((640, 480)))
        assert (twice.width, twice.scratch_bytes) == (64, 640 * 480 * 3 // 2)
