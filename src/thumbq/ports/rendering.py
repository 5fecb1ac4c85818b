"""The port to the processes that render."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol, get_args

from pydantic import StringConstraints

from thumbq.ports.storage import Sink

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from thumbq.core.preset import Preset


# Replies of render processes are checked against these: they end up in manifests and pages.
Color = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]
Base64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-zA-Z+/=]{1,36}$")]
FormatName = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,8}$")]
Shrinking = Literal["1/2", "1/4", "1/8", "1/2 first-scans", "1/4 first-scans", "1/8 dc-only", "embedded-thumbnail"]
KilledCode = Literal["render-crashed", "decode-timeout"]
NotMadeCode = Literal["too-large", "too-many-frames", "too-many-scans", "out-of-memory"]
Profile = Literal["embedded", "default-cmyk"]

NOT_MADE_CODES: Final[frozenset[str]] = frozenset(get_args(NotMadeCode))
"""The codes of what a render refuses of one preset; any other refusal is of the image."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps from an original's pixels to a rendition.

    ``orientation`` is the EXIF value (1 to 8) that was undone, 1 also where the decoder turned the image itself.
    ``profile`` is the source of the colour conversion: the file itself (an ICC profile, nclx, cICP, gAMA and cHRM,
    EXIF's Adobe RGB), or the bundled CMYK profile; None when the colours were taken as sRGB. ``flattened_on`` is the
    background under transparent pixels, ``shrink_on_load`` the scale at which the decoder loaded the image.
    """

    orientation: int = 1
    profile: Profile | None = None
    flattened_on: Color | None = None
    frames_dropped: int = 0
    shrink_on_load: Shrinking | None = None


@dataclass(frozen=True, slots=True)
class RenderedImage:
    """One rendition, still in memory. ``frames`` is more than 1 for an animation."""

    preset: str
    body: bytes
    width: int
    height: int
    content_type: str
    frames: int = 1
    steps: Steps = Steps()


@dataclass(frozen=True, slots=True)
class NotMade:
    """A preset that is not made of an original, though others are.

    It would cost more than the limits allow, its encoder gave up (out-of-memory), or it has killed its renders.
    """

    preset: str
    code: NotMadeCode | KilledCode
    text: Annotated[str, StringConstraints(max_length=1000)]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The result of a render: the original's properties (its size is upright, in pixels) and the renditions.

    Together ``images``, at least one, and ``not_made`` are all presets.

    ``dominant_color`` is ``#rrggbb``; ``thumbhash`` is Base64 (see thumbhash.org). ``cpu_s`` is
    the CPU time that the process took, as seen from outside; None where that is not known.
    """

    format: FormatName
    width: int
    height: int
    images: tuple[RenderedImage, ...]
    frames: int = 1
    dominant_color: Color | None = None
    thumbhash: Base64 | None = None
    not_made: tuple[NotMade, ...] = ()
    cpu_s: float | None = field(default=None, compare=False)


class RenderSource(Sink, Protocol):
    """Takes the bytes of one original for a render."""


class RenderProcess(Protocol):
    """A process that renders, held by one job."""

    async def render(self, source: RenderSource, presets: Sequence[Preset]) -> Rendered:
        """Render what was written to ``source``, which the same Renderer opened.

        A process that has died before it gets the job costs the wait for another one, and not the job. So it may be
        asked again, also when it was killed.

        Raises RenderRefused when the image is not one to render, RenderKilled when the process died or ran out of time,
        RenderUnavailable when there is no process and none can be started, or when the whole host stood still.
        Cancelling the call kills the process.
        """
        ...


class Renderer(Protocol):
    """Makes renditions in processes that can be killed one by one, with no effect on each other's jobs."""

    def source(self) -> AbstractContextManager[RenderSource]:
        """Open a place for one original's bytes; leaving it frees them."""
        ...

    def acquire(self, queue: str = "") -> AbstractAsyncContextManager[RenderProcess]:
        """Wait for an idle process, and hold it; leaving gives it back, and one that has died is replaced.

        ``queue`` names the queue that the job came from: it decides who comes next when all processes are busy. Raises
        RenderUnavailable when there is no process and none can be started.
        """
        ...
