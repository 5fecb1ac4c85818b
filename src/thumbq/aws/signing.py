"""Signature Version 4 of requests to S3, for headers (AWS: "Create a signed AWS API request").

The key that signs is derived once a day for each secret and region.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.credentials import ReadOnlyCredentials

UNSIGNED: Final = "UNSIGNED-PAYLOAD"
"""In place of a body's hash: TLS and a checksum protect it."""

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


def signed(
    headers: Mapping[str, str],
    *,
    method: str,
    path: str,
    body_hash: str,
    region: str,
    credentials: ReadOnlyCredentials,
    now_s: float,
) -> dict[str, str]:
    """Return the headers of a request without a query, with those that sign it.

    All ``headers`` are signed, ``Host`` is one of them. ``path`` is quoted as it is sent; ``now_s`` is Unix time.
    """
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    headers = {**headers, "X-Amz-Date": timestamp, "X-Amz-Content-SHA256": body_hash}
    if credentials.token:
        headers["X-Amz-Security-Token"] = credentials.token
    # Trim: spaces around a value, and all but one inside it, do not count.
    canonical = sorted((name.lower(), " ".join(value.split())) for name, value in headers.items())
    names = ";".join(name for name, _ in canonical)
    lines = "".join(f"{name}:{value}\n" for name, value in canonical)
    request = f"{method}\n{path}\n\n{lines}\n{names}\n{body_hash}"
    scope = f"{timestamp[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = _signing_key(credentials.secret_key, timestamp[:8], region)
    signature = _hmac(key, f"{_ALGORITHM}\n{timestamp}\n{scope}\n{digest}").hex()
    credential = f"{credentials.access_key}/{scope}"
    headers["Authorization"] = f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return headers


@lru_cache(maxsize=16)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
