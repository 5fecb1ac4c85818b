from __future__ import annotations

import io
import struct
from unittest.mock import ANY

import pytest
from PIL import Image, ImageChops, ImageOps

from conformance import avifkinds, phoneheics
from fuzz import heifwriter
from support.pictures import images
from thumbq.core.formats import ImageFormat
from thumbq.core.preset import Preset
from thumbq.imaging import Limits, Refusal
from thumbq.imaging.formats.isomedia import tiles
from thumbq.imaging.formats.isomedia.tiles import grid, pieces
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
    for width in (576, 288, 64, 37, 24, 11) if orientation in {1, 6} else (576, 37):
        recipe = Preset(name="p", width=width, format="png")
        made, whole = render(data, [recipe], Limits()), render(png, [recipe], Limits())
        assert isinstance(made, Rendered)
        assert isinstance(whole, Rendered)
        assert (made.width, made.height) == SIZE
        one, other = (Image.open(io.BytesIO(each.images[0].body)) for each in (made, whole))
        assert not any(sum(band.histogram()[13:]) for band in ImageChops.difference(one, other).split()), width


def test_no_more_than_a_row_of_tiles_is_decoded_at_once() -> None:
    data = phoneheics.tiled(picture())
    found = grid(data, ImageFormat.HEIF)
    assert found is not None
    assert [(piece.size, at) for piece, at in pieces(data, found, ImageFormat.HEIF)] == [
        ((576, 64), (0, 64 * row)) for row in range(5)
    ]
    assert found.row_pixels == 576 * 64


def test_what_is_cut_from_the_last_tiles_is_not_there() -> None:
    data = phoneheics.repeated(images.scene(512, 512), 2, 2, (800, 700))
    found = grid(data, ImageFormat.HEIF)
    assert found is not None
    assert [piece.size for piece, _ in pieces(data, found, ImageFormat.HEIF)] == [(800, 512), (800, 188)]


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
    assert grid(data, ImageFormat.HEIF) is None


@pytest.mark.parametrize("width", [576, 64, 37])
@pytest.mark.parametrize("orientation", [1, 2, 5, 6])
def test_an_avif_of_tiles_comes_out_as_from_the_whole(orientation: int, width: int) -> None:
    data = avifkinds.tiled(images.stored(picture(), orientation), 128, *phoneheics.turns(orientation))
    assert grid(data, ImageFormat.AVIF) is not None
    recipe = Preset(name="p", width=width, format="png")
    made = render(data, [recipe], Limits())
    at_once = Image.open(io.BytesIO(data), formats=["AVIF"])
    at_once.load()
    whole = render(
        images.encoded(ImageOps.exif_transpose(at_once), "PNG", compress_level=1, exif=b""), [recipe], Limits()
    )
    assert isinstance(made, Rendered)
    assert isinstance(whole, Rendered)
    assert (made.width, made.height) == SIZE
    one, other = (Image.open(io.BytesIO(each.images[0].body)) for each in (made, whole))
    assert not any(sum(band.histogram()[13:]) for band in ImageChops.difference(one, other).split())


@pytest.mark.parametrize("pixels_together", [64 * 64, 3 * 64 * 64])
def test_pieces_of_one_tile_or_of_some_give_the_same_picture(
    pixels_together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = phoneheics.tiled(picture())
    recipe = Preset(name="p", width=64, format="png")
    usual = render(data, [recipe], Limits())
    monkeypatch.setattr(tiles, "_PIECE_PIXELS", pixels_together)
    found = grid(data, ImageFormat.HEIF)
    assert found is not None
    assert found.piece_pixels == pixels_together
    assert render(data, [recipe], Limits()) == usual


def test_a_tile_that_announces_more_than_it_states_is_left_to_the_decoder() -> None:
    data = avifkinds.tiled(picture(), 128)
    extent, lie = (struct.pack(">4sIII", b"ispe", 0, *size) for size in ((128, 128), (64, 64)))
    assert grid(data.replace(extent, lie), ImageFormat.AVIF) is None


def test_tiles_of_several_kinds_are_left_to_the_decoder() -> None:
    data = bytearray(avifkinds.tiled(picture(), 128))
    assert grid(bytes(data), ImageFormat.AVIF) is not None
    # A unit with a size, whose last byte but one has bits of the samples of its frames: depth, colours.
    start = data.index(b"\x0a", data.rindex(b"mdat"))
    data[start + data[start + 1]] ^= 0x10
    assert grid(bytes(data), ImageFormat.AVIF) is None
    assert render(bytes(data), [Preset(name="p", width=64)], Limits()) == Refusal("corrupt", ANY)


def test_tiles_with_properties_of_several_kinds_are_left_to_the_decoder() -> None:
    tile, other = heifwriter.picture(), heifwriter.picture(heifwriter.full_box(b"pixi", b"\3\10\10\10"))
    assert grid(heifwriter.heic([heifwriter.grid(2, 1, 2), tile, tile]), ImageFormat.HEIF) is not None
    assert grid(heifwriter.heic([heifwriter.grid(2, 1, 2), tile, other]), ImageFormat.HEIF) is None
