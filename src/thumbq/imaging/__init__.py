"""Pixels: one original in, its renditions out. Runs in the pool's child processes only; pure computation.

This module itself does not load Pillow: the parent needs these words without the decoders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["MIB", "Limits", "Refusal"]

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one render may cost. ``max_decode_bytes`` bounds the predicted memory of decoding and resizing."""

    max_decode_bytes: int = 768 * MIB


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an image is not rendered. A value, since an exception that does not unpickle breaks an executor.

    ``code`` is unsupported-format, too-large, truncated, corrupt or out-of-memory; ``text`` is for people.
    """

    code: str
    text: str
