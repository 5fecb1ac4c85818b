"""What the fork server imports once, so that every child starts with its decoders loaded."""

from __future__ import annotations

from contextlib import suppress

from thumbq.core import preset
from thumbq.imaging import rehearsal, render
from thumbq.pool import child

__all__ = ["child", "preset", "rehearsal", "render"]

# Pillow loads some of itself with the first image. A child could not: no file opens in its sandbox.
# What does not work is said by the child that tries it.
with suppress(RuntimeError):
    rehearsal.rehearse()
