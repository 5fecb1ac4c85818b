"""The ports to presigned uploads: clients store originals themselves, with fields that were signed before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.core.signing import UploadPolicy


@dataclass(frozen=True, slots=True)
class PresignedPost:
    """A form that a client may post once or several times until it expires: ``fields``, then the part ``file``.

    ``url`` is absolute, or a path of this service.
    """

    url: str
    fields: Mapping[str, str]


class PresignedUploads(Protocol):
    """Signs uploads that clients store themselves."""

    async def presign(self, policy: UploadPolicy, *, expires_s: int) -> PresignedPost:
        """Return a form for an upload that the policy allows; it is refused after ``expires_s`` seconds."""
        ...


class PresignedUploadVerifier(Protocol):
    """Checks presigned uploads that are posted to thumbq itself, for a store without an address of its own."""

    def verify(self, fields: Mapping[str, str]) -> UploadPolicy:
        """Return the policy that was signed, from all fields of the form but the file.

        Raises UploadRefused with the codes of ``core.signing.verify`` for fields that are incomplete, not signed here,
        or expired.
        """
        ...
