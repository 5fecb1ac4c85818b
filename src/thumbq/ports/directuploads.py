"""The port to uploads that go to the store without passing through thumbq."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.core.job import ObjectRef


@dataclass(frozen=True, slots=True)
class PresignedPost:
    """A form that a client may post once or several times until it expires: ``fields``, then the part ``file``.

    ``url`` is absolute, or a path of this service.
    """

    url: str
    fields: Mapping[str, str]


class DirectUploads(Protocol):
    """Signs forms with which clients store originals themselves."""

    async def presign(
        self,
        ref: ObjectRef,
        *,
        content_type: str,
        max_bytes: int,
        expires_s: int,
        metadata: Mapping[str, str],
    ) -> PresignedPost:
        """Return a form for this very object: its media type, 1 to ``max_bytes`` bytes, and ``metadata`` are fixed.

        ``metadata`` is ASCII, names in lower case. The form is refused after ``expires_s`` seconds.
        """
        ...
