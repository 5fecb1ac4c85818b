"""Presets and a callback in an original's metadata, for messages that name none.

An S3 event names an object and nothing else; the sender of the object puts its options here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PRESETS: Final = "thumbq-presets"
"""Names of presets with commas between them."""
CALLBACK: Final = "thumbq-callback"
"""A URL as core.callback has it."""

MAX_METADATA_BYTES: Final = 2048
"""What all metadata of an object may have, names included (Amazon S3 User Guide, "Working with object metadata")."""


def encode(*, presets: Sequence[str] | None, callback_url: str | None) -> dict[str, str]:
    """Return the metadata for these options. Raises ValueError when S3 would not take that much."""
    metadata = {PRESETS: ",".join(presets)} if presets else {}
    if callback_url:
        metadata[CALLBACK] = callback_url
    if (size := sum(len(name) + len(value) for name, value in metadata.items())) > MAX_METADATA_BYTES:
        raise ValueError(f"presets and callback URL take {size:,} bytes of metadata, S3 has {MAX_METADATA_BYTES:,}")
    return metadata


def presets(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the names of the presets, each once; None when there is none."""
    names = (name.strip() for name in metadata.get(PRESETS, "").split(","))
    return tuple(dict.fromkeys(name for name in names if name)) or None


def callback_url(metadata: Mapping[str, str]) -> str | None:
    """Return the callback's URL unchecked."""
    return metadata.get(CALLBACK, "").strip() or None
