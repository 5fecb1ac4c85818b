from __future__ import annotations

import io
import struct
import zlib
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from support.pictures import images, profiles
from support.pictures.containers import icc_segments, jpeg_with, png_with
from thumbq.core.preset import Preset
from thumbq.imaging import Limits, colour
from thumbq.imaging.colour import conversion, sanitising
from thumbq.imaging.render import render
from thumbq.ports import Rendered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LIMITS = Limits()
P3 = images.display_p3_profile()
ADOBE_RGB = profiles.rgb_profile(profiles.ADOBE_RGB, profiles.ADOBE_GAMMA)
GREEN = (60, 180, 90)
GREEN_FROM_P3 = (0, 183, 78)


def in_srgb(data: bytes, **recipe: Any) -> tuple[NDArray[np.int_], str | None]:
    """Render a file at its own size; return the pixels as a flat list of colours, and the profile that was used."""
    preset = Preset.model_validate({"name": "p", "fit": "none", "format": "png"} | recipe)
    result = render(data, [preset], LIMITS)
    assert isinstance(result, Rendered), result
    (made,) = result.images
    pixels = np.asarray(Image.open(io.BytesIO(made.body)), dtype=int)
    return pixels.reshape(pixels.shape[0] * pixels.shape[1], -1), made.steps.profile


def off_by(pixels: NDArray[np.int_], expected: object) -> int:
    return int(np.abs(pixels - np.asarray(expected)).max())


def noise(mode: str, size: tuple[int, int] = (24, 16)) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    data = np.random.default_rng(seed=5).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    return Image.frombytes(mode, size, data.tobytes())


def flat_png(*chunks: tuple[bytes, bytes], of: tuple[int, int, int] = GREEN) -> bytes:
    return png_with(images.encoded(Image.new("RGB", (4, 4), of), "PNG"), *chunks)


def test_display_p3_becomes_srgb_as_numpy_says() -> None:
    source = noise("RGB")
    pixels, profile = in_srgb(images.encoded(source, "PNG", icc_profile=P3))
    expected = [
        profiles.in_srgb(pixel, profiles.DISPLAY_P3, profiles.srgb_to_light)
        for pixel in np.asarray(source).reshape(-1, 3).tolist()
    ]
    assert profile == "embedded"
    assert off_by(pixels, expected) <= 3


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_with_a_profile_stays_grey_and_takes_its_curve(mode: str) -> None:
    source = noise(mode)
    converted, used = colour.to_srgb(source, profiles.grey_profile(1.0))
    assert (converted.mode, used) == (mode, "embedded")
    expected = [profiles.srgb_of(np.full(3, grey / 255))[0] for grey in source.getchannel("L").tobytes()]
    assert off_by(np.frombuffer(converted.getchannel("L").tobytes(), np.uint8).astype(int), expected) <= 1
    if mode == "LA":
        assert converted.getchannel("A").tobytes() == source.getchannel("A").tobytes()


def test_grey_takes_the_curve_of_an_rgb_profile_too() -> None:
    source = noise("L")
    pixels, profile = in_srgb(images.encoded(source, "TIFF", icc_profile=ADOBE_RGB))
    expected = [profiles.srgb_of(np.full(3, (grey / 255) ** profiles.ADOBE_GAMMA))[0] for grey in source.tobytes()]
    assert profile == "embedded"
    assert off_by(pixels[:, 0], expected) <= 1


def test_a_toned_grey_gets_its_tone() -> None:
    swapped = profiles.rgb_profile(profiles.SRGB * np.array([1.0, 0.8, 0.5]), 2.2)
    (warm,), profile = in_srgb(images.encoded(Image.new("L", (1, 1), 128), "PNG", icc_profile=swapped))
    assert profile == "embedded"
    assert off_by(warm, profiles.in_srgb([128] * 3, profiles.SRGB * np.array([1.0, 0.8, 0.5]), 2.2)) <= 3


def press(inks: profiles.Inks) -> profiles.Colour:
    c, m, y, k = (ink // 255 for ink in inks)
    return (0, 0, 0) if k else (255 * (1 - y), 255 * (1 - c), 255 * (1 - m))


def corner_inks() -> list[tuple[int, int, int, int]]:
    return [cast("profiles.Inks", inks) for inks in product((0, 255), repeat=4)]


def cmyk_squares(inks: Sequence[tuple[int, ...]], side: int = 16) -> Image.Image:
    row = np.repeat(np.array(inks, dtype=np.uint8), side, axis=0)
    return Image.frombytes("CMYK", (len(row), side), np.broadcast_to(row, (side, *row.shape)).tobytes())


def middles(pixels: NDArray[np.int_], count: int, side: int = 16) -> NDArray[np.int_]:
    return pixels.reshape(side, count, side, 3)[side // 2, :, side // 2]


def ycck_jpeg(inks: Sequence[tuple[int, int, int, int]]) -> bytes:
    """Make the JPEG that Photoshop writes: YCC of the inverted inks, and black beside it."""
    c, m, y, k = cmyk_squares(inks).split()
    luma, blue, red = Image.merge("RGB", (c, m, y)).convert("YCbCr").split()
    # Pillow writes inverted what it takes for CMYK, which is right for black only.
    swapped = [Image.eval(band, lambda value: 255 - value) for band in (luma, blue, red)]
    data = images.jpeg(Image.merge("CMYK", (*swapped, k)), quality=100, subsampling="4:4:4")
    transform_at = data.index(b"Adobe") + 11
    assert data[transform_at] == 0
    return data[:transform_at] + b"\2" + data[transform_at + 1 :]


@pytest.mark.parametrize("kind", ["CMYK JPEG", "YCCK JPEG", "TIFF"])
def test_cmyk_goes_by_its_own_profile(kind: str) -> None:
    profile, inks = profiles.cmyk_profile(press), corner_inks()
    match kind:
        case "TIFF":
            data = images.encoded(cmyk_squares(inks), "TIFF", icc_profile=profile)
        case "CMYK JPEG":
            data = jpeg_with(images.jpeg(cmyk_squares(inks), quality=100), *icc_segments(profile))
        case _:
            data = jpeg_with(ycck_jpeg(inks), *icc_segments(profile))
    pixels, used = in_srgb(data)
    assert used == "embedded"
    # YCC holds full inks to 2 levels or so, which is more in the darkest colours.
    assert off_by(middles(pixels, len(inks)), [press(ink) for ink in inks]) <= (14 if kind == "YCCK JPEG" else 4)


def bundled_table() -> NDArray[np.float64]:
    """Return the bundled profile's own table as Lab, by cyan, magenta, yellow and black."""
    profile = conversion._DEFAULT_CMYK
    (count,) = struct.unpack_from(">I", profile, 128)
    tags = {name: at for name, at, _ in (struct.unpack_from(">4sII", profile, 132 + 12 * n) for n in range(count))}
    at = tags[b"A2B1"]
    nodes = profile[at + 10]
    entries, _ = struct.unpack_from(">HH", profile, at + 48)
    table = np.frombuffer(profile, ">u2", nodes**4 * 3, at + 52 + 4 * 2 * entries).reshape(*[nodes] * 4, 3)
    return np.stack([table[..., 0] / 652.8, table[..., 1] / 256 - 128, table[..., 2] / 256 - 128], axis=-1)


def lab_to_xyz(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    ratio: NDArray[np.float64] = np.where(f > 6 / 29, f**3, (116 * f - 16) * 27 / 24389)
    xyz: NDArray[np.float64] = ratio * np.array(profiles.D50)
    return xyz


def test_cmyk_without_a_profile_is_what_numpy_reads_from_the_bundled_one() -> None:
    # Levels that are nodes of the table: 0, 20, 40 and 100 %.
    nodes = {0: 0, 51: 2, 102: 4, 255: 8}
    inks = [*product((0, 51, 102), (0, 102, 255), (0, 255), (0, 102)), (0, 0, 0, 255), (255, 255, 255, 255)]
    pixels, used = in_srgb(images.encoded(cmyk_squares(inks, 1), "TIFF"))
    table = bundled_table()
    # Black is node 5 at 60 %, so that 40 % is node 4 of each.
    xyz = np.array([lab_to_xyz(table[tuple(nodes[ink] for ink in one)]) for one in inks])
    darkest, white = lab_to_xyz(table[-1, -1, -1, -1]), np.array(profiles.D50)
    compensated = (xyz - darkest) * white / (white - darkest)
    expected = [profiles.srgb_of(np.linalg.inv(profiles.SRGB) @ colour) for colour in compensated]
    assert used == "default-cmyk"
    assert off_by(pixels, expected) <= 1


def test_cmyk_without_a_profile_looks_as_fogra39_does_elsewhere() -> None:
    # What Adobe's "Coated FOGRA39" gives in sRGB (relative colorimetric, black point compensation).
    known = {
        (255, 0, 0, 0): (0, 159, 227),
        (0, 255, 0, 0): (230, 0, 126),
        (0, 0, 255, 0): (255, 237, 0),
        (0, 255, 255, 0): (227, 6, 19),
        (255, 0, 255, 0): (0, 150, 64),
        (255, 255, 0, 0): (49, 39, 131),
        (0, 0, 0, 255): (29, 29, 27),
        (0, 0, 0, 128): (157, 157, 156),
        (0, 0, 0, 0): (255, 255, 255),
    }
    data = images.jpeg(cmyk_squares(list(known)), quality=100)
    pixels, used = in_srgb(data)
    assert used == "default-cmyk"
    assert off_by(middles(pixels, len(known)), list(known.values())) <= 3


def test_a_whole_conversion_of_cmyk_is_that_of_littlecms_by_way_of_lab() -> None:
    profile = conversion._DEFAULT_CMYK
    source = noise("CMYK", (64, 64))
    pixels, _ = colour.to_srgb(source, None)
    opened, lab = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(opened, lab, "CMYK", "LAB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
    measured = np.asarray(to_lab.apply(source), dtype=float)
    values = np.stack([measured[..., 0] / 2.55, *(measured[..., band].astype(np.int8) for band in (1, 2))], axis=-1)
    darkest, white = lab_to_xyz(bundled_table()[-1, -1, -1, -1]), np.array(profiles.D50)
    xyz = (lab_to_xyz(values) - darkest) * white / (white - darkest)
    expected = np.array([profiles.srgb_of(np.linalg.inv(profiles.SRGB) @ one) for one in xyz.reshape(-1, 3)])
    # Lab of 8 bits is coarse in dark colours.
    assert np.abs(np.asarray(pixels, dtype=int).reshape(-1, 3) - expected).mean() < 1.5


@pytest.mark.parametrize("wrong", [P3, profiles.grey_profile(2.2), b"garbage", profiles.icc_file({}, space=b"CMYK")])
def test_cmyk_with_an_unusable_profile_takes_the_bundled_one(wrong: bytes) -> None:
    inks = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    converted, used = colour.to_srgb(inks, wrong)
    assert used == "default-cmyk"
    assert converted.getpixel((0, 0)) == colour.to_srgb(inks, None)[0].getpixel((0, 0))


def test_an_xyb_jpeg_comes_out_right_after_it_was_shrunk_in_xyb() -> None:
    colours = [(60, 180, 90), (200, 60, 50), (40, 60, 200), (128, 128, 128), (255, 255, 255), (0, 0, 0), (240, 200, 20)]
    stored = profiles.to_xyb(np.array(colours, dtype=np.uint8))
    side = 64
    row = np.repeat(stored, side, axis=0)
    square = Image.fromarray(np.ascontiguousarray(np.broadcast_to(row, (side, *row.shape))))
    bare = images.jpeg(square, quality=100, subsampling="4:4:4", keep_rgb=True)
    data = jpeg_with(bare, *icc_segments(profiles.xyb_profile()))
    pixels, used = in_srgb(data, fit="contain", width=16 * len(colours), height=16)
    assert used == "embedded"
    shown = middles(pixels, len(colours))
    assert off_by(shown, [profiles.from_xyb(one) for one in stored.tolist()]) <= 3
    assert off_by(shown, colours) <= 5


def test_xyb_is_as_exact_between_the_corners_as_numpy() -> None:
    source = images.scene(60, 40)
    stored = profiles.to_xyb(np.asarray(source))
    converted, _ = colour.to_srgb(Image.fromarray(stored), profiles.xyb_profile())
    expected = [profiles.from_xyb(one) for one in stored.reshape(-1, 3).tolist()]
    assert off_by(np.asarray(converted, dtype=int).reshape(-1, 3), expected) <= 3


def test_a_table_is_summed_up_for_large_pictures_and_is_near_enough() -> None:
    stored = Image.fromarray(profiles.to_xyb(np.asarray(images.scene(60, 40))))
    large = stored.resize((1100, 1000), Image.Resampling.NEAREST)
    exact, _ = colour.to_srgb(stored, profiles.xyb_profile())
    quick, _ = colour.to_srgb(large, profiles.xyb_profile())
    difference = np.abs(
        np.asarray(quick, dtype=int) - np.asarray(exact.resize(large.size, Image.Resampling.NEAREST), dtype=int)
    )
    assert difference.mean() < 0.5


@pytest.mark.parametrize("srgb", ["littleCMS", "table of 1024 entries"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_pixels_with_a_profile_that_is_srgb_are_not_touched(srgb: str, mode: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if srgb != "littleCMS":
        light = np.rint(65535 * profiles.srgb_to_light(np.linspace(0, 1, 1024))).astype(">u2")
        curve = b"curv\0\0\0\0" + struct.pack(">I", 1024) + light.tobytes()
        columns = {b"rXYZ": 0, b"gXYZ": 1, b"bXYZ": 2}
        colours = {tag: profiles.xyz([float(value) for value in profiles.SRGB[:, at]]) for tag, at in columns.items()}
        profile = profiles.icc_file(colours | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))
    source = noise(mode)
    converted, used = colour.to_srgb(source, profile)
    assert converted is source
    assert used is None


def test_alpha_goes_through_a_profile_as_it_is() -> None:
    source = noise("RGBA")
    converted, used = colour.to_srgb(source, P3)
    assert used == "embedded"
    assert converted.getchannel("A").tobytes() == source.getchannel("A").tobytes()
    opaque, _ = colour.to_srgb(source.convert("RGB"), P3)
    assert converted.convert("RGB").tobytes() == opaque.tobytes()
    assert not converted.info


def lut16(inputs: int, nodes: int) -> bytes:
    """Return a table's header without the table."""
    return b"mft2\0\0\0\0" + struct.pack(">BBBx9iHH", inputs, 3, nodes, *[0] * 9, 2, 2) + bytes(200)


def bombs() -> dict[str, bytes]:
    chain = b"mpet\0\0\0\0" + struct.pack(">HHI", 3, 3, 20_000) + struct.pack(">II", 160_016, 100) * 20_000
    xyb = profiles.xyb_profile()
    cube = xyb.index(b"\2\2\2" + bytes(13))
    return {
        "94 MiB in 348 bytes": profiles.icc_file({b"A2B0": lut16(3, 255)}, pcs=b"Lab "),
        "a table of four inks": profiles.icc_file({b"A2B0": lut16(4, 89)}, pcs=b"Lab "),
        "a cube of 255": xyb[:cube] + b"\xff\xff\xff" + xyb[cube + 3 :],
        "20,000 steps": profiles.icc_file({b"D2B1": chain}, pcs=b"Lab "),
        "5 MiB": P3 + bytes(5 << 20),
        "no colours": profiles.icc_file({}),
        "device link": profiles.icc_file({b"A2B0": lut16(3, 2)}, kind=b"link"),
        "cut off": P3[:200],
        "header only": P3[:128],
        "nothing": b"",
    }


@pytest.mark.parametrize("name", bombs())
def test_littlecms_never_sees_a_profile_that_would_cost_too_much(name: str) -> None:
    bomb = bombs()[name]
    usable = sanitising.sanitised(bomb)
    assert usable is None or not sanitising.has_table(usable)
    source = Image.new("RGB", (2, 2), GREEN)
    assert colour.to_srgb(source, bomb) == (source, None)


def test_of_a_profile_with_steps_of_any_number_its_plain_table_is_used() -> None:
    xyb = profiles.xyb_profile()
    (count,) = struct.unpack_from(">I", xyb, 128)
    entries = [struct.unpack_from(">4sII", xyb, 132 + 12 * n) for n in range(count)]
    tags = {name: xyb[at : at + size] for name, at, size in entries}
    chained = profiles.icc_file(tags | {b"D2B1": b"mpet" + bytes(60)}, version=0x04400000)
    usable = sanitising.sanitised(chained)
    assert usable is not None
    assert b"D2B1" not in usable[: 132 + 12 * count]
    source = Image.fromarray(profiles.to_xyb(np.array([[GREEN]], dtype=np.uint8)))
    assert off_by(np.asarray(colour.to_srgb(source, chained)[0], dtype=int), GREEN) <= 3


def test_damaged_profiles_never_raise() -> None:
    random = np.random.default_rng(seed=3)
    sources = {"RGB": (noise("RGB"), P3), "L": (noise("L"), profiles.grey_profile(1.8))}
    sources["table"] = noise("RGB"), profiles.xyb_profile()
    for source, profile in sources.values():
        for _ in range(60):
            damaged = bytearray(profile)
            for at in random.integers(0, len(damaged), 3):
                damaged[at] = random.choice([0, 255, int(random.integers(0, 256))])
            converted, _ = colour.to_srgb(source, bytes(damaged))
            assert converted.size == source.size


@pytest.mark.parametrize(
    "chunk",
    [
        b"icc\0\0" + zlib.compress(P3 + bytes(5 << 20)),
        b"icc\0\7" + zlib.compress(P3),
        b"icc\0\0not packed",
        b"icc",
        b"",
    ],
    ids=["5 MiB", "unknown packing", "not packed", "name only", "empty"],
)
def test_no_png_is_refused_for_its_profile(chunk: bytes) -> None:
    pixels, profile = in_srgb(flat_png((b"iCCP", chunk)))
    assert (pixels == GREEN).all()
    assert profile is None


def test_a_png_may_have_a_profile_of_a_mebibyte_and_more() -> None:
    padded = profiles.icc_file({name: P3[at : at + size] for name, at, size in _tags(P3)} | {b"dscm": bytes(1_500_000)})
    pixels, profile = in_srgb(flat_png((b"iCCP", b"icc\0\0" + zlib.compress(padded))))
    assert profile == "embedded"
    assert off_by(pixels, GREEN_FROM_P3) <= 3


def _tags(profile: bytes) -> list[tuple[bytes, int, int]]:
    (count,) = struct.unpack_from(">I", profile, 128)
    return [struct.unpack_from(">4sII", profile, 132 + 12 * n) for n in range(count)]


GAMA = {"sRGB's": 45_455, "linear": 100_000, "old Mac": 55_556, "none": 0}
P3_CHRM = struct.pack(">8I", 31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000)
SRGB_CHRM = struct.pack(">8I", 31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)
ICCP = b"iCCP", b"icc\0\0" + zlib.compress(P3)


def gama(kind: str) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", GAMA[kind])


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([gama("sRGB's")], GREEN),
        ([gama("sRGB's"), (b"cHRM", SRGB_CHRM)], GREEN),
        ([gama("none"), (b"cHRM", P3_CHRM)], GREEN),
        ([(b"cHRM", P3_CHRM)], GREEN),
        ([(b"cHRM", bytes(32)), gama("sRGB's")], GREEN),
        ([gama("linear")], profiles.in_srgb(GREEN, profiles.SRGB, 1.0)),
        ([gama("old Mac")], profiles.in_srgb(GREEN, profiles.SRGB, 1.8)),
        ([gama("sRGB's"), (b"cHRM", P3_CHRM)], GREEN_FROM_P3),
        ([(b"sRGB", b"\0"), gama("linear")], GREEN),
        ([ICCP, gama("linear")], GREEN_FROM_P3),
        ([(b"cICP", b"\x0c\x0d\0\1")], GREEN_FROM_P3),
        ([(b"cICP", b"\1\x0d\0\1"), ICCP], GREEN),
        ([(b"cICP", b"\2\2\0\1")], GREEN),
        ([(b"cICP", b"\1\x08\0\1")], profiles.in_srgb(GREEN, profiles.SRGB, 1.0)),
        ([(b"cICP", b"\x0c\x0d")], GREEN),
    ],
)
def test_a_png_states_its_colours_by_chunks(chunks: list[tuple[bytes, bytes]], expected: tuple[int, ...]) -> None:
    pixels, profile = in_srgb(flat_png(*chunks))
    assert off_by(pixels, expected) <= 3
    assert profile == (None if expected == GREEN else "embedded")


def pq_signal(nits: float) -> float:
    y = (nits / 10_000) ** (2610 / 16384)
    return float(((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32))


@pytest.mark.parametrize(
    ("transfer", "signal", "light"),
    [(16, pq_signal(203), 1.0), (16, pq_signal(40), 40 / 203), (16, 1.0, 1.0), (18, 0.75, 1.0), (18, 0.5, 0.2516)],
)
def test_of_hdr_the_reference_white_becomes_white_and_what_is_brighter_is_cut(
    transfer: int, signal: float, light: float
) -> None:
    grey = round(255 * signal)
    pixels, _ = in_srgb(flat_png((b"cICP", bytes([9, transfer, 0, 1])), of=(grey, grey, grey)))
    assert off_by(pixels, profiles.srgb_of(np.full(3, light))) <= 4


@pytest.mark.parametrize("image_format", ["AVIF", "HEIC"])
def test_code_points_in_avif_and_heic_state_the_colours(image_format: str) -> None:
    flat = Image.new("RGB", (64, 64), GREEN)
    data = images.heic(flat, quality=-1, chroma=444) if image_format == "HEIC" else images.avif(flat, quality=100)
    at = data.index(b"nclx") + 4
    pixels, profile = in_srgb(data[:at] + b"\0\x0c" + data[at + 2 :])
    assert profile == "embedded"
    assert off_by(pixels, GREEN_FROM_P3) <= 4
    assert in_srgb(data)[1] is None


@pytest.mark.parametrize(("index", "space", "adobe"), [("R03", 0xFFFF, True), ("R98", 1, False), ("R03", 1, False)])
def test_a_cameras_jpeg_without_a_profile_can_be_adobe_rgb(index: str, space: int, adobe: bool) -> None:  # noqa: FBT001 -- a table of cases
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = space
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: index}
    data = images.jpeg(Image.new("RGB", (16, 16), GREEN), quality=100, subsampling="4:4:4", exif=exif.tobytes())
    pixels, profile = in_srgb(data)
    expected = profiles.in_srgb(GREEN, profiles.ADOBE_RGB, profiles.ADOBE_GAMMA) if adobe else GREEN
    assert off_by(pixels, expected) <= 3
    assert profile == ("embedded" if adobe else None)
