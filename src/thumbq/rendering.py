"""The pool of render processes that the settings describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.imaging import Limits
from thumbq.pool import PoolConfig, Recycling
from thumbq.pool.renderpool import RenderPool

if TYPE_CHECKING:
    from thumbq.settings import Settings


def render_limits(settings: Settings) -> Limits:
    """Return what one render may cost by the settings."""
    return Limits(
        max_memory_bytes=settings.decode_bytes,
        max_cpu_s=settings.max_decode_cpu_s,
        max_scans=settings.max_scans,
        max_frames=settings.max_frames,
        max_animation_pixels=settings.max_animation_pixels,
    )


def render_pool(settings: Settings) -> RenderPool:
    """Return the pool that the settings describe, not yet started."""
    config = PoolConfig(
        processes=settings.processes,
        memory_limit_bytes=settings.render_memory_bytes,
        timeout_s=settings.render_timeout_s,
        limits=render_limits(settings),
        recycling=Recycling(settings.render_max_jobs, settings.render_max_growth_bytes),
        sandbox=settings.sandbox,
        queues=settings.queue_weights,
    )
    return RenderPool(config)
