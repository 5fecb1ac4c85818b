"""What the fork server imports once, so that every render process starts with its decoders loaded."""

from __future__ import annotations

from contextlib import suppress

from thumbq.core import preset
from thumbq.imaging import render, standarderror, warmup

__all__ = ["preset", "render", "standarderror", "warmup"]

# Pillow loads some of itself with the first image, and in the sandbox it could not: no file opens there.
# A failure is reported by the process that tries it again.
with suppress(RuntimeError):
    warmup.warm_up()
