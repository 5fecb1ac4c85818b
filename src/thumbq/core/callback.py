"""The check of callback URLs."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

MAX_CALLBACK_CHARS: Final = 2048

# Every character that a URL may have: RFC 3986, appendix A. urlsplit() alone drops tabs and newlines silently.
_URL: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")


def checked(url: str) -> str:
    """Return the URL as it is. Raises ValueError with the reason when a job may not have it as its callback."""
    if len(url) > MAX_CALLBACK_CHARS:
        raise ValueError(f"a callback URL has at most {MAX_CALLBACK_CHARS:,} characters, this one has {len(url):,}")
    if not _URL.fullmatch(url):
        raise ValueError("a callback URL has ASCII letters, digits and punctuation only: percent-encode the others")
    try:
        parts = urlsplit(url)
        absolute = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ValueError(f"a callback URL must be an absolute one: {error}") from error
    if not absolute:
        raise ValueError("a callback URL must be an absolute one of http or https")
    if "@" in parts.netloc:
        raise ValueError("a callback URL must not hold credentials: it stands in logs and manifests")
    return url
