"""The numbers of the tags that are read (TIFF 6.0, Technical Notes 1 to 3), and of their values."""

from __future__ import annotations

from typing import Final

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS, STRIP_SIZES, PLANAR = 273, 274, 277, 278, 279, 284
ARTIST, COPYRIGHT, ICC_PROFILE = 315, 33432, 34675
PREDICTOR, COLOR_MAP, EXTRA_SAMPLES, SAMPLE_FORMAT = 317, 320, 338, 339
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES = 322, 323, 324, 325
FAX_OPTIONS, JPEG_TABLES, YCBCR_SUBSAMPLING = (292, 293), 347, 530

STRIP_PLACES: Final = (STRIP_OFFSETS, STRIP_SIZES)
TILE_PLACES: Final = (TILE_OFFSETS, TILE_SIZES)
OLD_JPEG: Final = tuple(range(512, 522))
OF_YCBCR: Final = tuple(range(529, 533))

SHOWN: Final = (
    WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS, STRIP_SIZES,
    PLANAR, *FAX_OPTIONS, ARTIST, PREDICTOR, COLOR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES,
    EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES, *OLD_JPEG, *OF_YCBCR, COPYRIGHT, ICC_PROFILE,
)  # fmt: skip
"""All that a rendition can depend on."""

NOT_COMPRESSED: Final = 1
FAXES: Final = frozenset({2, 3, 4})
JPEGS: Final = frozenset({6, 7})
WEBP: Final = 50_001
PREDICTED: Final = frozenset({5, 8, 32_946, 34_925, 50_000})
"""The compressions that a predictor goes with: LZW, Deflate, LZMA, Zstandard."""

UNTOLD: Final = PREDICTED | {32_773}
"""The compressions that know nothing of pixels: these, and PackBits."""

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB = 0, 1, 2, 3, 5, 6, 8
UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4
SEPARATE_PLANES: Final = 2
NO_ALPHA, ASSOCIATED, UNASSOCIATED = 0, 1, 2
"""Kinds of extra samples; associated alpha is multiplied into the colours."""
