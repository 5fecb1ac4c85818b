"""The Renderer: processes that make renditions, and that can be killed one by one."""

from __future__ import annotations

from thumbq.pool.config import PoolConfig, Recycling, SandboxMode
from thumbq.pool.renderpool import RenderPool

__all__ = ["PoolConfig", "Recycling", "RenderPool", "SandboxMode"]
