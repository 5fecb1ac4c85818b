"""Every kind of pixel to 8-bit sRGB: what resampling needs before it, and the colours after it.

In the order of use: a format's source profile before an image is loaded (``embedded_profile`` for most), ``expanded``
before it is resampled, ``to_srgb`` on the thumbnail, ``flattened`` where the output has no transparency.
"""

from __future__ import annotations

from thumbq.imaging.colour.conversion import to_srgb
from thumbq.imaging.colour.pixelkinds import expanded, flattened
from thumbq.imaging.colour.sourceprofile import embedded_profile

__all__ = ["embedded_profile", "expanded", "flattened", "to_srgb"]
