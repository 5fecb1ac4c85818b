"""The Renderer: child processes that make renditions and can be killed one by one."""

from __future__ import annotations

from thumbq.pool.renderpool import RenderPool

__all__ = ["RenderPool"]
