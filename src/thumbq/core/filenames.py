"""The client's name of a file: kept in an original's metadata, for people only; no key or path is made of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

FILENAME: Final = "filename"
MAX_FILENAME_CHARS: Final = 255
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MAX_BYTES: Final = 1500  # S3 takes 2 KB for all metadata of an object


def clean(filename: str | None) -> str | None:
    """Return a name as it is told: at most 255 characters that JSON and metadata can carry; None for none."""
    # Header bytes that were no UTF-8 arrive as lone surrogates.
    return _SURROGATE.sub("\ufffd", filename)[:MAX_FILENAME_CHARS] if filename else None


def encode(filename: str | None, *, max_bytes: int = _MAX_BYTES) -> dict[str, str]:
    """Return the metadata for a cleaned name, which is cut where it would take more than ``max_bytes``."""
    encoded = quote(filename or "", safe="")
    while filename and len(encoded) > max_bytes:
        filename = filename[:-1]
        encoded = quote(filename, safe="")
    return {FILENAME: encoded} if encoded else {}


def decode(metadata: Mapping[str, str]) -> str | None:
    """Return the name that stands in an original's metadata."""
    encoded = metadata.get(FILENAME)
    return None if encoded is None else unquote(encoded, errors="replace")
