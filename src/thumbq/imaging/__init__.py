"""Pixels: one original in, its renditions out. Runs in render processes only; pure computation.

This module itself does not load Pillow: the parent needs these names without the decoders.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Final

from thumbq.core.units import MIB

__all__ = ["READ_WHOLE_BYTES", "Limits", "Original", "Refusal"]


Original = bytes | mmap.mmap
"""An image file in memory."""

READ_WHOLE_BYTES: Final = 16 << 20
"""A file of up to this size is bytes, which decoders share; a larger one is mapped, and some decoders copy it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one render's predicted cost; admission refuses an image over them.

    ``max_memory_bytes`` bounds the memory beyond that of an idle process, ``max_cpu_s`` the CPU time of decoding,
    ``max_scans`` the scans of a JPEG. ``max_frames`` and ``max_animation_pixels`` (all frames together) bound
    animations in and out; of an animation that becomes a still only the first frame counts.
    """

    max_memory_bytes: int = 512 * MIB
    max_cpu_s: float = 20
    max_scans: int = 100
    max_frames: int = 500
    max_animation_pixels: int = 250_000_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why an image is not rendered. A value, since an exception that does not unpickle breaks an executor.

    ``code`` is unsupported-format, too-large, too-many-frames, too-many-scans, truncated, corrupt or out-of-memory;
    ``text`` is for people.
    """

    code: str
    text: str
