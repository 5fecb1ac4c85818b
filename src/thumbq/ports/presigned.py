"""The ports to uploads that clients store themselves, with a form that was signed before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.core.job import ObjectRef
    from thumbq.core.signing import SignedUpload


@dataclass(frozen=True, slots=True)
class PresignedPost:
    """A form that a client may post once or several times until it expires: ``fields``, then the part ``file``.

    ``url`` is absolute, or a path of this service.
    """

    url: str
    fields: Mapping[str, str]


class PresignedUploads(Protocol):
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


class PresignedUploadVerifier(Protocol):
    """Checks forms of PresignedUploads that are posted to thumbq itself, where the store has no address of its own."""

    def verify(self, fields: Mapping[str, str]) -> SignedUpload:
        """Return what a form allows, from all its fields but the file.

        Raises UploadRefused, as ``core.signing.verify`` says, when it is not whole, not signed here, or has expired.
        """
        ...
