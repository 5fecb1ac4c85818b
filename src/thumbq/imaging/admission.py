"""Before anything is decoded: what it would cost, and whether that is agreed to."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from thumbq.errors import RenderRefused
from thumbq.imaging import MIB

if TYPE_CHECKING:
    from thumbq.imaging import Limits
    from thumbq.imaging.header import Header


def admit(header: Header, *, scale: int, rendition_pixels: int, animated: bool, limits: Limits) -> None:
    """Refuse an image whose rendering would cost more than the limits allow.

    ``scale`` is what a JPEG is shrunk by while it loads (1, 2, 4, 8), ``rendition_pixels`` the size of the largest
    rendition, ``animated`` says whether all frames will be decoded.

    Raises RenderRefused: too-large, too-many-scans, too-many-frames.
    """
    if header.jpeg is not None and header.jpeg.scans > limits.max_scans:
        raise RenderRefused(
            "too-many-scans", f"the JPEG has {header.jpeg.scans} scans; the limit is {limits.max_scans}"
        )
    if animated and header.frames > limits.max_frames:
        raise RenderRefused(
            "too-many-frames", f"the animation has {header.frames} frames; the limit is {limits.max_frames}"
        )
    cost = 8 * header.width * header.height // scale**2 + 4 * rendition_pixels + header.scratch_bytes
    if cost > limits.max_memory_bytes:
        raise RenderRefused(
            "too-large",
            f"decoding these {header.width} by {header.height} pixels would take about {ceil(cost / MIB)} MiB;"
            f" the limit is {limits.max_memory_bytes // MIB} MiB",
        )
