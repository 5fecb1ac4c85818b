"""The words of the domain that everything else is written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Rerender = Literal["changed", "all"]
"""What a job makes anew: what was not made by today's recipe, or all that its own message has not made yet."""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """Where an object is: a bucket and a key."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a message asks for: an original, and the presets to make of it; or the ``deletion`` of its job, to the end.

    ``presets`` is None when the message leaves them to the original's metadata, or the routes of the settings.
    ``callback_url`` is carried along and stands in the manifest: that is called, if any are. ``again``: another message
    may have asked for the same before. ``rerender`` is None for the first job of an original, which looks for nothing
    that was made before.
    """

    source: ObjectRef
    presets: tuple[str, ...] | None = None
    callback_url: str | None = None
    deletion: bool = False
    again: bool = False
    rerender: Rerender | None = None
