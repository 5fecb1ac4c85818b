"""What bounds a command that goes through dead letters."""

from __future__ import annotations

from typing import Final

MOST_REMEMBERED: Final = 100_000
"""How many dead letters a scan remembers, to show each once; it ends there."""
