"""Settings that are lists: in the file an array, in a variable its entries with commas between them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Several texts without commas."""
