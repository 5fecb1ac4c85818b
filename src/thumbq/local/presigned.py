"""Presigned uploads of the local backend: thumbq signs them, and takes them at an address of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thumbq.core import signing
from thumbq.ports import PresignedPost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.core.job import ObjectRef
    from thumbq.ports import Clock

INBOX_PATH: Final = "/inbox"


class LocalPresignedUploads:
    """The PresignedUploads and the PresignedUploadVerifier of all processes that share a secret."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    async def presign(
        self,
        ref: ObjectRef,
        *,
        content_type: str,
        max_bytes: int,
        expires_s: int,
        metadata: Mapping[str, str],
    ) -> PresignedPost:
        """Return a form for one object; see PresignedUploads.presign."""
        upload = signing.SignedUpload(ref, content_type, max_bytes, metadata)
        fields = signing.sign(upload, expires_at=self._clock.wall() + expires_s, secret=self._secret)
        return PresignedPost(INBOX_PATH, fields)

    def verify(self, fields: Mapping[str, str]) -> signing.SignedUpload:
        """Return the upload that was signed; see PresignedUploadVerifier.verify."""
        return signing.verify(fields, secret=self._secret, now=self._clock.wall())
