"""The cookie of a session: how it is set, and when it counts.

It counts for what comes from a page of thumbq's own origin only, also where an origin of another site is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs

from thumbq.core import session
from thumbq.core.origin import Authority, Origin
from thumbq.web.door import DOOR

if TYPE_CHECKING:
    from aiohttp import web

_SAFE: Final = "__Host-thumbq"
"""Browsers take this prefix on https, and on loopback addresses, where they count http as safe."""

_PLAIN: Final = "thumbq"
"""Of plain http elsewhere."""


def session_of(request: web.Request) -> str | None:
    """Return the session that a request comes with, if it may count."""
    if hdrs.COOKIE not in request.headers or request.app[DOOR].is_from_elsewhere(request):
        return None
    # Other hosts of the same site can set the plain one: it does not count where the browser takes the safe one.
    return request.cookies.get(_SAFE) or (None if _is_safe(request) else request.cookies.get(_PLAIN))


def set_session(request: web.Request, response: web.Response, text: str) -> None:
    """Have the browser keep a session."""
    safe = _is_safe(request)
    response.set_cookie(
        _SAFE if safe else _PLAIN,
        text,
        max_age=session.LASTS_S,
        path="/",
        secure=safe,
        httponly=True,
        samesite="Strict",
    )


def end_session(response: web.Response) -> None:
    """Have the browser forget its session."""
    for name in (_SAFE, _PLAIN):
        response.del_cookie(name, path="/", secure=name == _SAFE, httponly=True, samesite="Strict")


def _is_safe(request: web.Request) -> bool:
    """Whether the browser is at a loopback address or one of https: as the proxies say, or as the browser does."""
    authority = Authority.parse(request.headers.get(hdrs.HOST, ""))
    if authority is not None and authority.is_loopback:
        return True
    origin = Origin.parse(request.headers.get(hdrs.ORIGIN, ""))
    return "https" in {request.app[DOOR].proxies.scheme(request), "" if origin is None else origin.scheme}
