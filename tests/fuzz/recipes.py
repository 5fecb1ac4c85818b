"""Presets that together go through all of the code of a render."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from thumbq.core.preset import Preset

if TYPE_CHECKING:
    from collections.abc import Sequence

PRESETS: Final = (
    Preset(name="thumbnail", width=100, height=100),
    Preset(name="small-png", width=40, height=30, format="png"),
    Preset(name="cover-webp", width=32, height=50, fit="cover", format="webp", gravity="northeast"),
    Preset(name="cover-avif", width=48, height=48, fit="cover", format="avif", focal_point=(0.9, 0.1), enlarge=True),
    Preset(name="fill", width=70, height=20, fit="fill", background="#102030", progressive=True, chroma="4:4:4"),
    Preset(name="same-jpeg", fit="none", quality=95),
    Preset(name="same-png", fit="none", format="png"),
    Preset(name="same-webp", fit="none", format="webp", lossless=True, effort=0),
    Preset(name="wide", width=90, format="webp", enlarge=True, sharpen=120),
    Preset(name="auto", height=30, format="auto"),
    Preset(name="auto-lossless", width=30, height=30, fit="cover", format="auto", lossless=True),
    Preset(name="animation-webp", width=40, height=40, format="webp", animated=True),
    Preset(name="animation-png", width=30, height=40, fit="cover", format="png", animated=True),
    Preset(name="animation-avif", width=40, height=40, format="avif", animated=True, effort=0),
    Preset(name="animation-auto", fit="none", format="auto", animated=True),
    Preset(name="copyright", width=60, height=60, keep_copyright=True),
    Preset(name="copyright-webp", width=60, height=60, format="webp", keep_copyright=True),
    Preset(name="copyright-png", width=60, height=60, format="png", keep_copyright=True),
    Preset(name="copyright-animation", width=40, height=40, format="avif", keep_copyright=True, animated=True),
    Preset(name="embedded", width=20, height=20, embedded_thumbnail=True),
)


def chosen(seed: int, index: int) -> Sequence[Preset]:
    """Choose the presets of one input, the same ones for the same numbers."""
    rng = Random(f"presets {seed}:{index}")
    return rng.sample(PRESETS, rng.choice((1, 1, 2, 3)))
