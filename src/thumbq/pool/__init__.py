"""The Renderer: processes that make renditions, and that can be killed one by one.

``RenderPool`` is not imported here: render processes load this package, and what only their parent needs is not theirs.
"""

from __future__ import annotations

from thumbq.pool.config import PoolConfig, Recycling, SandboxMode

__all__ = ["PoolConfig", "Recycling", "SandboxMode"]
