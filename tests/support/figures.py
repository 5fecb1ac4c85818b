"""What tests of figures are given; see ``at_most`` and ``figure`` in conftest.py."""

from __future__ import annotations

from collections.abc import Callable

Figure = Callable[[str, object], None]
"""Prints a figure at the end of the run."""

AtMost = Callable[[str, float, float], None]
"""Prints a figure beside its bound, and holds it to that."""
