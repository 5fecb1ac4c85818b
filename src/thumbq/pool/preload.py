"""What the fork server imports once, so that every child starts with its decoders loaded."""

from __future__ import annotations

from thumbq.core import preset
from thumbq.imaging import render
from thumbq.pool import child

__all__ = ["child", "preset", "render"]
