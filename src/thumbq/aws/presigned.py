"""PresignedUploads on S3: POST policies (Amazon S3 API Reference, "Browser-Based Uploads Using POST")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from thumbq.aws.errors import translated
from thumbq.ports import PresignedPost

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

    from thumbq.core.signing import UploadPolicy

_CREDENTIALS_S: Final = 10
_GLOBAL_HOST: Final = "s3.amazonaws.com/"


class S3PresignedUploads:
    """Signs uploads with the credentials of a client that uses signature version 4.

    A form that temporary credentials have signed expires with them, if that is earlier.
    """

    def __init__(self, client: S3Client) -> None:
        self._client = client

    async def presign(self, policy: UploadPolicy, *, expires_s: int) -> PresignedPost:
        """Return a form for the bucket; see PresignedUploads.presign. Makes no request but for credentials."""
        fields = policy.object_fields()
        conditions: list[Any] = [["content-length-range", 1, policy.max_bytes]]
        conditions += [{name: value} for name, value in fields.items()]
        with translated(f"presign {policy.ref}", within_s=_CREDENTIALS_S):
            post = await self._client.generate_presigned_post(
                Bucket=policy.ref.bucket,
                Key=policy.ref.key,
                Fields=fields,
                Conditions=conditions,
                ExpiresIn=expires_s,
            )
        return PresignedPost(self._regional(post["url"]), post["fields"])

    def _regional(self, url: str) -> str:
        """Return a form's URL in the bucket's region.

        botocore names S3's global endpoint. It redirects until it knows the name of a new bucket, and a form that a
        page posts does not survive a redirect.
        """
        return url.replace(_GLOBAL_HOST, f"{urlsplit(self._client.meta.endpoint_url).netloc}/", 1)
