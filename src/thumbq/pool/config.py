"""What a pool is told: how many processes, and what each of them may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from thumbq.core.fairness import ONE_QUEUE
from thumbq.imaging import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

SandboxMode = Literal["auto", "required", "off"]
"""``auto``: with a sandbox where there is one (see sandbox.py); ``required``: or the start fails; ``off``: without."""


@dataclass(frozen=True, slots=True)
class Recycling:
    """When a process is replaced by a fresh one: after ``jobs``, or when its resident memory has grown by so much.

    The growth counts from the end of its first job.
    """

    jobs: int = 1000
    growth_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """``processes`` render processes, each with so much memory.

    ``timeout_s`` bounds the wall-clock and the CPU time of one render. ``limits`` are what one image may cost by its
    header. ``queues`` are the names that jobs come with, each with its weight (see core/fairness.py).
    """

    processes: int
    memory_limit_bytes: int
    timeout_s: float
    limits: Limits = field(default_factory=Limits)
    recycling: Recycling = field(default_factory=Recycling)
    sandbox: SandboxMode = "auto"
    queues: Mapping[str, int | None] = field(default_factory=lambda: ONE_QUEUE)
