"""Sessions of browsers: a token is shown once, and a signed text stands for it until it ends.

Its key is made of what is kept of the token, so every replica can check it, and a session ends with its token.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thumbq.core.token import Token

LASTS_S: Final = 12 * 60 * 60

_PURPOSE: Final = b"thumbq session"
_MAX_DIGITS: Final = 12


def new(token: Token, now: float) -> str:
    """Return a session of a token that begins now (POSIX seconds)."""
    end = str(int(now) + LASTS_S)
    return f"{end}.{_signature(token, end)}"


def find(tokens: Iterable[Token], text: str, now: float) -> Token | None:
    """Return the token whose session this is; None for one that has ended, and for what is none."""
    end, _, signature = text.partition(".")
    if not (end.isascii() and end.isdecimal() and len(end) <= _MAX_DIGITS and now < int(end) <= now + LASTS_S):
        return None
    found = None
    for token in tokens:
        if hmac.compare_digest(_signature(token, end).encode(), signature.encode(errors="surrogateescape")):
            found = token
    return found


def _signature(token: Token, end: str) -> str:
    key = hmac.digest(token.digest, _PURPOSE, hashlib.sha256)
    return urlsafe_b64encode(hmac.digest(key, end.encode(), hashlib.sha256)).decode().rstrip("=")
