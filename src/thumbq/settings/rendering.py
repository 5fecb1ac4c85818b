"""Settings of render processes, and the limits of what they decode."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, Field

from thumbq.core.units import MIB
from thumbq.settings.faults import Fault, fault

if TYPE_CHECKING:
    from collections.abc import Iterator

_DECODE_BYTES: Final = 512 * MIB
_DECODE_SHARE: Final = 0.75

Seconds = Annotated[int, Field(ge=1)]


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def most_decode_bytes(render_memory_bytes: int) -> int:
    """Return how much of a render process's memory decoding may take; the rest is for Python and the libraries."""
    return int(render_memory_bytes * _DECODE_SHARE)


class RenderSettings(BaseModel):
    """How many render processes there are, and what each may use."""

    processes: int = Field(
        default_factory=_usable_cpus, ge=1, le=256, description="Render processes; by default one per usable CPU."
    )
    render_timeout_s: Seconds = Field(default=60, description="Wall-clock and CPU time of one render.")
    render_memory_bytes: int = Field(
        default=1024 * MIB, ge=128 * MIB, description="Memory that one render process may allocate."
    )
    max_decode_bytes: int | None = Field(
        default=None,
        ge=16 * MIB,
        description="Memory that decoding an image may be predicted to take; by default 512 MiB, or three quarters of"
        " `RENDER_MEMORY_BYTES` if that is less.",
    )
    max_decode_cpu_s: Seconds = Field(default=20, description="CPU time that decoding may be predicted to take.")
    max_scans: int = Field(default=100, ge=1, description="Scans of a progressive JPEG.")
    max_frames: int = Field(default=500, ge=1, description="Frames of an animation that stays one.")
    max_animation_pixels: int = Field(
        default=250_000_000, ge=1, description="Pixels of all frames together of an animation that stays one."
    )
    render_max_jobs: int = Field(default=1000, ge=1, description="Jobs after which a render process is replaced.")
    render_max_growth_bytes: int = Field(
        default=64 * MIB, ge=16 * MIB, description="Growth of a render process after which it is replaced."
    )
    sandbox: Literal["auto", "required", "off"] = Field(
        default="auto",
        description="Whether render processes are shut in by the kernel: `auto`, with a warning where that cannot be;"
        " `required`, or `thumbq` does not start; `off`.",
    )

    @property
    def decode_bytes(self) -> int:
        """How much memory decoding an image may be predicted to take."""
        return self.max_decode_bytes or min(_DECODE_BYTES, most_decode_bytes(self.render_memory_bytes))

    def render_faults(self) -> Iterator[Fault]:
        """Yield the conflicts among these."""
        if self.decode_bytes > most_decode_bytes(self.render_memory_bytes):
            yield fault(
                "max_decode_bytes",
                "render_memory_bytes",
                what=f"decoding may take {self.decode_bytes // MIB} MiB, more than three quarters of the"
                f" {self.render_memory_bytes // MIB} MiB of a render process; the rest is for Python and the libraries",
                fix="lower THUMBQ_MAX_DECODE_BYTES, or raise THUMBQ_RENDER_MEMORY_BYTES",
            )
