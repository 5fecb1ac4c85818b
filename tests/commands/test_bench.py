"""The benchmark: that it renders what it says, compares what it says, and prints figures that mean something."""

from __future__ import annotations

import io
import json
import logging
import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import numpy as np
import pytest
import structlog
from click.testing import CliRunner
from PIL import ExifTags, Image

from support.pictures import images
from support.replicas.replica import THUMBQ
from support.servers.emulators import without_aws
from thumbq.bench import samples
from thumbq.bench.cases import CASES, SRCSET, Case
from thumbq.bench.figures import LEGEND, NOT_GENERATED, Measured, Memory, Timing
from thumbq.bench.references import references
from thumbq.bench.timing import timed
from thumbq.cli import main
from thumbq.core.preset import THUMBNAIL, Preset
from thumbq.core.units import MIB
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.render import render
from thumbq.ports import Rendered, RenderedImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from subprocess import CompletedProcess


async def bench(*arguments: str, cwd: Path) -> CompletedProcess[bytes]:
    command = [THUMBQ, "bench", "render", *arguments]
    return await anyio.run_process(command, cwd=cwd, env=without_aws(os.environ), check=False)


@pytest.fixture
def _logs_stay_as_they_are() -> Iterator[None]:
    """Undo what a command that runs in this process does to the logs: other tests read them."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def sample(case: Case) -> bytes:
    return samples.make(b"", [THUMBNAIL], case=case).images[0].body


def timing_of(original: bytes, presets: Sequence[Preset]) -> Timing:
    done = timed(original, presets, runs=2, limits=Limits())
    assert isinstance(done, Rendered)
    return Timing(**json.loads(done.images[0].body))


def is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


async def test_a_quick_run_prints_all_that_was_measured_as_json(tmp_path: Path) -> None:
    done = await bench("--quick", "--json", "--only", "jpeg-12mp", "--only", "srcset", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    document = json.loads(done.stdout)
    assert {"thumbq", "python", "pillow", "libjpeg_turbo", "libheif"} <= set(document["versions"])
    assert document["machine"]["cpu"]
    assert (document["runs"], document["quick"]) == (2, True)
    assert document["legend"] == dict(LEGEND)
    assert document["not_generated"] == dict(NOT_GENERATED)
    one, several = document["results"]
    assert (one["class"], one["format"], one["width"], one["height"]) == ("jpeg-12mp", "JPEG", 336, 252)
    assert [image["preset"] for image in one["renditions"]] == ["thumbnail"]
    assert [image["preset"] for image in several["renditions"]] == [preset.name for preset in SRCSET]
    for result, names in ((one, ["bare", "thumbnail"]), (several, ["bare", "naive"])):
        assert list(result["cpu_ms"]) == ["thumbq", *names]
        assert list(result["ratio"]) == names
        check_figures(result)


def check_figures(result: dict[str, Any]) -> None:
    assert result["failed_references"] == {}
    for name, runs in result["cpu_ms"].items():
        assert len(runs) == 2
        assert all(is_positive(value) for value in runs)
        assert result["best_ms"][name] == min(runs)
    assert all(is_positive(ratio) for ratio in result["ratio"].values())
    memory = result["memory"]
    assert memory["above_idle_bytes"] == memory["peak_bytes"] - memory["idle_bytes"] > 0


async def test_a_file_gets_its_row_and_what_is_no_image_a_line_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(images.encoded(Image.new("RGB", (2000, 1500), "teal"), "PNG"))
    (tmp_path / "notes.txt").write_text("no image")
    done = await bench("notes.txt", "missing.jpg", "wide.png", "--runs", "1", cwd=tmp_path)
    assert done.returncode == 1
    header, row, empty, *legend = done.stdout.decode().splitlines()
    assert header.split()[0] == "class"
    assert row.split()[0] == "wide.png"
    assert row.split()[2] == "3.00", "megapixels"
    peak_mib = float(row.split()[-1])
    assert peak_mib > 2000 * 1500 * 4 / MIB - 1, "the decoded picture, four bytes a pixel, is at the peak"
    assert empty == ""
    assert [line.split()[0] for line in legend] == list(LEGEND)
    unsupported, missing = done.stderr.decode().splitlines()
    assert unsupported.startswith("notes.txt: unsupported-format: ")
    assert missing == "missing.jpg: unreadable: No such file or directory"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "jpeg-13mp"], "no class 'jpeg-13mp'; there are: jpeg-12mp, "),
        (["--preset", "nothing"], "no preset 'nothing'; there are: thumbnail"),
        (["--only", "gif", "photo.jpg"], "leave them out, or the files"),
        (["--runs", "0"], "0 is not in the range"),
    ],
)
@pytest.mark.usefixtures("_logs_stay_as_they_are")
def test_a_wrong_argument_is_named_before_anything_is_measured(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(main, ["bench", "render", *arguments])
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("name", CASES)
def test_every_class_is_an_image_of_its_kind_that_renders(name: str) -> None:
    case = CASES[name].quick()
    rendered = render(sample(case), case.presets or [THUMBNAIL], Limits())
    assert isinstance(rendered, Rendered), rendered
    assert (rendered.format, rendered.width, rendered.height) == (case.format, case.width, case.height)
    assert (rendered.frames > 1) == (case.picture == "animation")


def test_photos_are_as_phones_write_them() -> None:
    file = sample(replace(CASES["jpeg-12mp"], width=1024, height=768))
    photo = Image.open(io.BytesIO(file))
    assert photo.getexif()[ExifTags.Base.Make]
    assert photo.info["icc_profile"]
    assert "progressive" not in photo.info
    assert 0.2 < len(file) / (1024 * 768) < 0.5, "bytes a pixel"
    assert "progressive" in Image.open(io.BytesIO(sample(CASES["jpeg-progressive-12mp"].quick()))).info


def test_the_same_class_is_the_same_picture_every_time() -> None:
    one, other = (Image.open(io.BytesIO(sample(CASES["png-screenshot"].quick()))) for _ in range(2))
    assert one.tobytes() == other.tobytes()


def test_classes_are_as_large_as_their_names_say() -> None:
    for case in CASES.values():
        _, found, megapixels = case.name.removesuffix("mp").rpartition("-")
        if found and megapixels.isdecimal():
            assert abs(case.width * case.height / 1_000_000 - int(megapixels)) < 1


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_bare_decode_is_the_cheapest_that_covers_the_rendition(orientation: int) -> None:
    original = images.photo_jpeg(1600, 1200, orientation)
    rendered = render(original, [THUMBNAIL], Limits())
    assert isinstance(rendered, Rendered)
    bare = references(original, [THUMBNAIL], rendered)["bare"]()
    assert isinstance(bare, Image.Image)
    assert sorted(bare.size) == [150, 200]


def test_a_preset_without_a_size_is_compared_with_the_naive_way() -> None:
    timing = timing_of(images.small_jpeg(), [Preset(name="png", fit="none", format="png")])
    assert list(timing.cpu_ms) == ["thumbq", "bare", "naive"]


def test_a_reference_that_cannot_cope_with_an_image_is_left_out_with_its_reason() -> None:
    grey = Image.fromarray(np.zeros((512, 512), dtype=np.uint16))
    timing = timing_of(images.encoded(grey, "PNG"), [THUMBNAIL])
    assert list(timing.cpu_ms) == ["thumbq", "bare"]
    assert timing.failed["thumbnail"].startswith("ValueError: ")


def test_what_the_limits_refuse_is_decoded_by_no_reference_either() -> None:
    refused = timed(images.small_jpeg(), [THUMBNAIL], runs=1, limits=Limits(max_memory_bytes=1))
    assert isinstance(refused, Refusal)
    assert refused.code == "too-large"


def test_a_ratio_is_that_of_the_best_runs_and_absent_for_what_did_not_run() -> None:
    image = RenderedImage("thumbnail", b"four", 100, 75, "image/jpeg")
    timing = Timing({"thumbq": [3.0, 2.0], "bare": [5.0, 1.0]}, {"thumbnail": "ValueError: no"}, {})
    measured = Measured("photo.jpg", None, 9, Rendered("JPEG", 400, 300, (image,)), timing, Memory(10, 25))
    assert measured.ratio("bare") == 2.0
    assert measured.ratio("thumbnail") is None
    document = measured.document()
    assert document["ratio"] == {"bare": 2.0}
    assert document["memory"] == {"idle_bytes": 10, "peak_bytes": 25, "above_idle_bytes": 15}
    assert document["renditions"][0]["bytes"] == 4
