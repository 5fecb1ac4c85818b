"""The health endpoints, for an orchestrator that decides about restarts and where requests go."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from thumbq.web.problems import problem_of, response
from thumbq.web.services import SERVICES

_READY_RETRY_AFTER_S: Final = 1


async def livez(request: web.Request) -> web.Response:
    """Answer 200 while the loops make progress."""
    reason = request.app[SERVICES].health.not_alive()
    return _ok() if reason is None else response(problem_of("not-alive", reason))


async def readyz(request: web.Request) -> web.Response:
    """Answer 200 while requests should come here."""
    reason = request.app[SERVICES].health.not_ready()
    return _ok() if reason is None else response(problem_of("not-ready", reason, retry_after_s=_READY_RETRY_AFTER_S))


def _ok() -> web.Response:
    return web.json_response({"status": "ok"}, headers={hdrs.CACHE_CONTROL: "no-store"})
