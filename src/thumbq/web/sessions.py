"""``POST /session`` and ``DELETE /session``: a browser shows a token once, and has a session from then on.

Nothing is kept of a session here: it ends with its time, with its token, or when the browser forgets it.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from thumbq.core import session
from thumbq.web.access import token_of
from thumbq.web.services import SERVICES
from thumbq.web.sessioncookie import end_session, set_session


async def open_session(request: web.Request) -> web.Response:
    """Begin a session of the token that the request has shown. An open service has no use for one."""
    response = _empty()
    token = token_of(request)
    if token is not None:
        set_session(request, response, session.new(token, request.app[SERVICES].access.clock.wall()))
    return response


async def close_session(_request: web.Request) -> web.Response:
    """End a session, also one that is none any more."""
    response = _empty()
    end_session(response)
    return response


def _empty() -> web.Response:
    return web.Response(status=204, headers={hdrs.CACHE_CONTROL: "no-store"})
