"""What the fork server imports once, so that every render process starts with its decoders loaded."""

from __future__ import annotations

from contextlib import suppress

from thumbq.core import preset
from thumbq.imaging import rehearsal, render

__all__ = ["preset", "rehearsal", "render"]

# Pillow loads some of itself with the first image, and in the sandbox it could not: no file opens there.
# A failure is reported by the process that tries it again.
with suppress(RuntimeError):
    rehearsal.rehearse()
