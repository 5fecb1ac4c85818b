"""All sizes of one picture, finished: each is made once, however many presets ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.imaging import colour
from thumbq.imaging.resize import MipLevels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL import Image

    from thumbq.imaging.decoded import Decoded
    from thumbq.imaging.geometry import Target
    from thumbq.imaging.resize import Picture
    from thumbq.ports.rendering import Profile


class Sizes:
    """Makes upright 8-bit sRGB pixels of targets, with nothing else attached to them.

    ``profile`` is what their colours were converted from (see ports.Steps), known once something is made.
    """

    def __init__(self, decoded: Decoded, picture: Picture) -> None:
        self._decoded = decoded
        self._levels = MipLevels(picture, upright_size=decoded.upright_size, orientation=decoded.orientation)
        self._made: dict[Target, Image.Image] = {}
        self.profile: Profile | None = None

    def make(self, targets: Iterable[Target]) -> dict[Target, Image.Image]:
        """Return the pixels of each target, the largest first."""
        ordered = sorted(set(targets), key=lambda target: target.size[0] * target.size[1], reverse=True)
        for target in ordered:
            if target not in self._made:
                self._made[target] = self._finished(target)
        return {target: self._made[target] for target in ordered}

    def _finished(self, target: Target) -> Image.Image:
        pixels, self.profile = colour.to_srgb(self._levels.resized(target), self._decoded.icc_profile)
        if pixels is self._decoded.image:  # which goes on to its next frame
            pixels = pixels.copy()
        pixels.info = {}
        return pixels
