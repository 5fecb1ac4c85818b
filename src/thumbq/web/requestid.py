"""The id of a request: the client's own if it has one that can be logged, else a new one."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER: Final = "X-Request-Id"
REQUEST_ID: Final = web.RequestKey("request_id", str)

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NEW_BYTES: Final = 12


def request_id(headers: Mapping[str, str]) -> str:
    """Return the id that a request's headers have, or a new one."""
    given = headers.get(HEADER, "")
    return given if _ID.fullmatch(given) else secrets.token_urlsafe(_NEW_BYTES)
