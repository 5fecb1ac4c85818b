"""What the fork server imports once, so that every render process starts with its decoders loaded.

What is loaded stays. No collection of garbage goes over it while it is loaded, and none later: that would write to each
object, and a render process would get a page of its own for each that it shares with the others.
"""

from __future__ import annotations

import gc
from contextlib import suppress

gc.disable()

from thumbq.core import malloc, preset  # noqa: E402 -- see above
from thumbq.imaging import render, standarderror, warmup  # noqa: E402 -- the same

__all__ = ["preset", "render", "standarderror", "warmup"]

# Pillow loads some of itself with the first image, and in the sandbox it could not: no file opens there.
# A failure is reported by the process that tries it again.
with suppress(RuntimeError):
    warmup.warm_up()

malloc.trim()
gc.freeze()
gc.enable()
