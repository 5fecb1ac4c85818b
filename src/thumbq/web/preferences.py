"""The header Prefer (RFC 7240), of which ``wait`` is known: how long a client likes to wait for news."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, Field

from thumbq.core.jobdocument import Absent

if TYPE_CHECKING:
    from aiohttp import web

HEADER: Final = "Prefer"
APPLIED: Final = "Preference-Applied"
MAX_WAIT_S: Final = 30

_WAIT: Final = re.compile(r'\s*wait\s*=\s*(?P<quote>"?)(?P<seconds>\d{1,9})(?P=quote)\s*(?:;.*)?', re.IGNORECASE)
_IS_WAIT: Final = re.compile(r"\s*wait\s*(?:[=;]|$)", re.IGNORECASE)
# A quoted string may hold commas; RFC 9110, section 5.6.4.
_PREFERENCE: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')


class PreferHeaders(BaseModel):
    """The headers of a request that may wait."""

    prefer: Annotated[
        str | Absent,
        Field(
            alias=HEADER,
            examples=["wait=1"],
            description=f"`wait=N`: hold the answer for up to N seconds (1 to {MAX_WAIT_S}) while nothing has changed.",
        ),
    ] = None


def wait_s(request: web.Request) -> int | None:
    """Return how long a request likes to wait, 1 to 30 seconds; None when it says nothing, or nonsense.

    The first one counts, as RFC 7240 wants.
    """
    for line in request.headers.getall(HEADER, ()):
        for preference in _PREFERENCE.findall(line):
            if _IS_WAIT.match(preference):
                found = _WAIT.fullmatch(preference)
                seconds = 0 if found is None else int(found["seconds"])
                return min(seconds, MAX_WAIT_S) or None
    return None


def applied(seconds: int) -> dict[str, str]:
    """Return the header that says what holds."""
    return {APPLIED: f"wait={seconds}"}
