from __future__ import annotations

import io
import struct

import pytest
from PIL import Image, ImageChops

from conformance import phoneheics
from fuzz import heifwriter
from support.pictures import images
from thumbq.core.preset import Preset
from thumbq.imaging import Limits
from thumbq.imaging.formats.heif.tilerows import grid, tile_rows
from thumbq.imaging.render import render
from thumbq.ports import Rendered

SIZE = 576, 320
"""Nine tiles by five; no number of rows that are averaged to one divides a tile, but for 8."""


def picture() -> Image.Image:
    # Of one colour a block, so that nothing depends on how chroma is resampled, or where a row of tiles ends.
    return images.scene(SIZE[0] // 16, SIZE[1] // 16).resize(SIZE, Image.Resampling.NEAREST)


def decoded_whole(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=["HEIF"])
    image.load()
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_grid_row_by_row_comes_out_as_from_the_whole(orientation: int) -> None:
    data = phoneheics.tiled(images.stored(picture(), orientation), *phoneheics.turns(orientation))
    png = images.encoded(decoded_whole(data), "PNG", compress_level=1, exif=b"")
    for width in (576, 288, 64, 37, 24, 11):
        recipe = Preset(name="p", width=width, format="png")
        made, whole = render(data, [recipe], Limits()), render(png, [recipe], Limits())
        assert isinstance(made, Rendered)
        assert isinstance(whole, Rendered)
        assert (made.width, made.height) == SIZE
        one, other = (Image.open(io.BytesIO(each.images[0].body)) for each in (made, whole))
        assert not any(sum(band.histogram()[13:]) for band in ImageChops.difference(one, other).split()), width


def test_no_more_than_a_row_of_tiles_is_decoded_at_once() -> None:
    data = phoneheics.tiled(picture())
    found = grid(data)
    assert found is not None
    assert [row.size for row in tile_rows(data, found)] == [(576, 64)] * 5
    assert found.row_pixels == 576 * 64


def test_what_is_cut_from_the_last_tiles_is_not_there() -> None:
    data = phoneheics.repeated(images.scene(512, 512), 2, 2, (800, 700))
    found = grid(data)
    assert found is not None
    assert [row.size for row in tile_rows(data, found)] == [(800, 512), (800, 188)]


@pytest.mark.parametrize(
    "data",
    [
        images.heic(picture()),
        heifwriter.heic([heifwriter.grid(1, 1, 2, heifwriter.box(b"clap", bytes(32))), heifwriter.picture()]),
        heifwriter.heic([heifwriter.grid(1, 1, 2), heifwriter.picture(heifwriter.box(b"irot", b"\1"))]),
        heifwriter.heic([heifwriter.grid(2, 1, 2), heifwriter.picture()]),
        heifwriter.heic(
            [
                heifwriter.Item(
                    b"grid", struct.pack(">BBBBHH", 0, 0, 0, 0, 64, 600), (heifwriter.extent(64, 600),), (b"dimg", (2,))
                ),
                heifwriter.picture(),
            ]
        ),
    ],
    ids=["no grid", "an aperture", "a turned tile", "a missing tile", "a picture beyond its tiles"],
)
def test_what_is_unusual_is_left_to_the_decoder(data: bytes) -> None:
    assert grid(data) is None
