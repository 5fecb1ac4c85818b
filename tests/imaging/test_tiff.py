"""What ``tests/conformance/tiffkinds.py`` claims of whole renders; here is what does not show in a picture."""

from __future__ import annotations

import os
import struct
import sys
from contextlib import suppress

import numpy as np
import pytest

from support.pictures import images
from support.pictures.tiffs import CMYK, LZW, PALETTE, RGB, YCBCR, Layout, tiff
from thumbq.core.preset import Preset
from thumbq.errors import RenderRefused
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.formats.registry import read_header
from thumbq.imaging.render import render
from thumbq.imaging.standarderror import heard
from thumbq.ports import Rendered

SCENE = np.asarray(images.scene(45, 34))
PRESET = Preset.model_validate({"name": "p", "fit": "none", "format": "png", "keep_copyright": True})


def rendered(data: bytes) -> Rendered:
    result = render(data, [PRESET], Limits())
    assert isinstance(result, Rendered), result
    return result


def refused(data: bytes) -> str:
    result = render(data, [PRESET], Limits())
    assert isinstance(result, Refusal)
    return result.code


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_big_tiff_has_the_same_header(order: str) -> None:
    small, big = (
        read_header(tiff(SCENE, Layout(photometric=RGB, order=">" if order == ">" else "<", big=big)))
        for big in (False, True)
    )
    assert (small.width, small.height, small.channels, small.bits) == (45, 34, 3, 8)
    assert (big.width, big.height, big.channels, big.bits) == (45, 34, 3, 8)


def test_a_big_tiff_of_more_tags_than_its_file_holds_is_refused() -> None:
    whole = tiff(SCENE, Layout(photometric=RGB, big=True))
    (at,) = struct.unpack_from("<Q", whole, 8)
    for count, code in ((1 << 63, "corrupt"), (1_999, "truncated")):
        with pytest.raises(RenderRefused) as caught:
            read_header(whole[:at] + struct.pack("<Q", count) + whole[at + 8 :])
        assert caught.value.code == code


def test_pixels_that_are_not_compressed_must_all_be_there_whatever_the_byte_counts_say() -> None:
    strips = Layout(photometric=RGB, rows=10)
    for told in (1, 9_999_999):
        assert rendered(tiff(SCENE, Layout(photometric=RGB, tags={279: [told]}))).width == 45
    cut = tiff(SCENE[:, :, :1], strips)
    at = cut.index(struct.pack("<HHI", 277, 3, 1))
    assert refused(cut[: at + 8] + struct.pack("<I", 200) + cut[at + 12 :]) == "truncated"


def test_what_is_rewritten_keeps_its_profile_its_turn_and_its_copyright() -> None:
    tags = {274: [6], 33432: b"nobody\0", 34675: images.display_p3_profile()}
    cmyk = np.concatenate([SCENE, SCENE[..., :2]], axis=2)
    for layout in (
        Layout(photometric=RGB, big=True, tags=tags),
        Layout(photometric=RGB, planar=2, compression=LZW, tags=tags),
        Layout(photometric=CMYK, extra=[2], order=">", tags=tags),
    ):
        result = rendered(tiff(cmyk if layout.photometric == CMYK else SCENE, layout))
        assert (result.width, result.height) == (34, 45)
        assert result.images[0].steps.profile == ("default-cmyk" if layout.photometric == CMYK else "embedded")


@pytest.mark.parametrize("told", [True, False])
def test_colours_at_half_the_size_are_read_also_where_the_file_does_not_say_so(told: bool) -> None:  # noqa: FBT001
    blocks = np.zeros((8, 8, 6), dtype=np.uint8)
    blocks[:] = 76, 76, 76, 76, 85, 255  # red: four of light, then one of each colour
    tags = {256: [16], 257: [16], 258: [8, 8, 8], 277: [3], 278: [16], 339: [1, 1, 1]} | ({530: [2, 2]} if told else {})
    data = tiff(blocks, Layout(photometric=YCBCR, tags=tags))
    result = rendered(data)
    assert (result.width, result.height, result.dominant_color) == (16, 16, "#fe0000")


def test_a_palette_that_is_not_there_or_too_short_is_corrupt() -> None:
    for values in ([0], [1, 2, 3]):
        assert refused(tiff(SCENE[..., 0] & 15, Layout(photometric=PALETTE, bits=4, tags={320: values}))) == "corrupt"


def test_a_decoder_that_talks_on_is_not_kept_waiting() -> None:
    sys.stderr.flush()
    with heard() as said, suppress(BlockingIOError):
        while True:
            os.write(2, b"x" * 4096)
    assert set(said.words) == {ord("x")}
    with heard() as said:
        pass
    assert said.words == b""
