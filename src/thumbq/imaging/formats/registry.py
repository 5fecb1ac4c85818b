"""All formats that ``core.formats`` declares, each with its part of the imaging.

The module or folder of a format is found by its name, so that a new one needs no line here. All are imported at once:
a render process in its sandbox opens no files later.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Final

from thumbq.core.formats import OUTPUTS, SNIFF_BYTES, ImageFormat, sniff
from thumbq.errors import RenderRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.imaging import Original
    from thumbq.imaging.formats.inputformat import InputFormat
    from thumbq.imaging.formats.outputformat import OutputFormat
    from thumbq.imaging.header import Header

_MODULES: Final = {known: import_module(f"thumbq.imaging.formats.{known.name.lower()}") for known in ImageFormat}

INPUT_FORMATS: Final[Mapping[ImageFormat, InputFormat]] = {known: module.INPUT for known, module in _MODULES.items()}

OUTPUT_FORMATS: Final[Mapping[str, OutputFormat]] = {
    name: _MODULES[ImageFormat[name.upper()]].OUTPUT for name in OUTPUTS
}
"""By the names that presets use."""


def read_header(original: Original) -> Header:
    """Read an image's header: its format, size and coding, and whether the file is all there.

    Raises RenderRefused: unsupported-format, truncated or corrupt, as far as the header tells. Never raises anything
    else, whatever the bytes; takes well under a millisecond for a usual file of any size.
    """
    image_format = sniff(original[:SNIFF_BYTES])
    if image_format is None:
        raise RenderRefused("unsupported-format", "this is no image of a format that thumbq takes")
    return replace(INPUT_FORMATS[image_format].read_header(original), file_bytes=len(original))
