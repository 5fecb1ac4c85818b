"""The ports to presigned uploads: clients store originals themselves, with fields that were signed before."""

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
    """Signs uploads that clients store themselves."""

    async def presign(
        self,
        ref: ObjectRef,
        *,
        content_type: str,
        max_bytes: int,
        expires_s: int,
        metadata: Mapping[str, str],
    ) -> PresignedPost:
        """Return a form for exactly this object, media type and ``metadata``, and for 1 to ``max_bytes`` bytes.

        ``metadata`` is ASCII, names in lower case. The form is refused after ``expires_s`` seconds.
        """
        ...


class PresignedUploadVerifier(Protocol):
    """Checks presigned uploads that are posted to thumbq itself, for a store without an address of its own."""

    def verify(self, fields: Mapping[str, str]) -> SignedUpload:
        """Return the upload that was signed, from all fields of the form but the file.

        Raises UploadRefused with the codes of ``core.signing.verify`` for fields that are incomplete, not signed here,
        or expired.
        """
        ...
