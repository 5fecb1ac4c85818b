"""Presigned uploads of the local backend: thumbq signs them, and takes them at an address of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core import signing
from thumbq.ports import PresignedPost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.core.signing import UploadPolicy
    from thumbq.ports import Clock

INBOX_PATH: Final = "/inbox"


class LocalPresignedUploads:
    """The PresignedUploads and the PresignedUploadVerifier of all processes that share a secret."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    async def presign(self, policy: UploadPolicy, *, expires_s: int) -> PresignedPost:
        """Return a form for thumbq's own address; see PresignedUploads.presign."""
        fields = signing.sign(policy, expires_at=self._clock.wall() + expires_s, secret=self._secret)
        return PresignedPost(INBOX_PATH, fields)

    def verify(self, fields: Mapping[str, str]) -> UploadPolicy:
        """Return the policy that was signed; see PresignedUploadVerifier.verify."""
        return signing.verify(fields, secret=self._secret, now=self._clock.wall())
