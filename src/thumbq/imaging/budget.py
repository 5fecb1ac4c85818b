"""The port by which a format asks whether decoding an image is affordable; ``admission`` implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.preset import Preset
    from thumbq.imaging.geometry import Target


class Budget(Protocol):
    """The limits for one image: a format's ``decode`` asks it before it decodes anything."""

    @property
    def spare_bytes(self) -> int:
        """The memory that the limit leaves beside what was admitted: for what is quicker with more."""
        ...

    def admit(
        self, targets: Sequence[Target], presets: Sequence[Preset], *, scale: int = 1, animated: bool = False
    ) -> None:
        """Refuse the image if decoding it at 1/``scale`` and making these targets costs too much.

        Raises RenderRefused: too-many-scans, too-many-frames, too-large.
        """
        ...

    def allows(self, targets: Sequence[Target], presets: Sequence[Preset], *, scale: int) -> bool:
        """Return whether ``admit`` would pass."""
        ...
