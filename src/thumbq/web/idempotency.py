"""The header Idempotency-Key: a retry has the answer of the first request.

Source: draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, Field

from thumbq.core.jobdocument import Absent
from thumbq.errors import UploadRefused
from thumbq.intake.keyedupload import Key, digest_of
from thumbq.web.access import TOKEN_NAME
from thumbq.web.preferences import PreferHeaders
from thumbq.web.route import route_of
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from aiohttp import web

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
MAX_CHARS: Final = 255

_BARE: Final = re.compile(r"[!-~]+")
# A string of RFC 9651, section 3.3.3; of its characters those that can be seen.
_STRING: Final = re.compile(r'"((?:[!#-\[\]-~]|\\["\\])*)"')
_ESCAPED: Final = re.compile(r"\\(.)")


class KeyHeaders(BaseModel):
    """The header of a request that may be sent again."""

    key: Annotated[
        str | Absent,
        Field(
            alias=HEADER,
            min_length=1,
            max_length=2 * MAX_CHARS + 2,
            pattern="^[!-~]+$",
            description=f"1 to {MAX_CHARS} visible ASCII characters, quoted or bare. A retry with the same key and the"
            " same content is answered as the first request was.",
        ),
    ] = None


class UploadHeaders(PreferHeaders, KeyHeaders):
    """The headers of an upload."""


def key_of(request: web.Request) -> Key | None:
    """Return the key that a request has come with, which is its token's only. Raises UploadRefused for a wrong one."""
    lines = request.headers.getall(HEADER, ())
    if not lines:
        return None
    route = route_of(request)
    assert route is not None
    owner = request.get(TOKEN_NAME, "")
    return Key(request.app[SERVICES].claims, digest_of(owner, parse(lines)), route.name)


def parse(lines: tuple[str, ...] | list[str]) -> str:
    """Return the key in these header lines. Raises UploadRefused."""
    text = lines[0].strip() if len(lines) == 1 else ""
    if text.startswith('"'):
        quoted = _STRING.fullmatch(text)
        text = "" if quoted is None else _ESCAPED.sub(r"\1", quoted[1])
    if not _BARE.fullmatch(text) or len(text) > MAX_CHARS:
        rule = f"a header {HEADER} has 1 to {MAX_CHARS} visible ASCII characters, in quotes or without"
        raise UploadRefused("invalid-idempotency-key", f"This key is not taken: {rule}.")
    return text


def replayed(*, replayed: bool) -> dict[str, str]:
    """Return the header that says whether an answer is that of an earlier request."""
    return {REPLAYED: "true"} if replayed else {}
