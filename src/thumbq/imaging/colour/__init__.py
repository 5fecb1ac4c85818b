"""Every kind of pixel to 8-bit sRGB: what resampling needs before it, and the colours after it.

In the order of use: ``mend`` and ``stated_profile`` before an image is loaded, ``expanded`` before it is resampled,
``to_srgb`` on the thumbnail, ``flattened`` where the output has no transparency.
"""

from __future__ import annotations

from thumbq.imaging.colour.conversion import to_srgb
from thumbq.imaging.colour.pixelkinds import expanded, flattened, mend
from thumbq.imaging.colour.statements import stated_profile

__all__ = ["expanded", "flattened", "mend", "stated_profile", "to_srgb"]
