"""The health endpoints: what an orchestrator asks before it restarts a process or sends requests to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from thumbq.web import problems
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable

_READY_RETRY_AFTER_S: Final = 1


async def livez(request: web.Request) -> web.Response:
    """Answer 200 while the loops make progress."""
    return _answer(request.app[SERVICES].health.not_alive, "not-alive")


async def readyz(request: web.Request) -> web.Response:
    """Answer 200 while requests should come here."""
    return _answer(request.app[SERVICES].health.not_ready, "not-ready", retry_after_s=_READY_RETRY_AFTER_S)


def _answer(ask: Callable[[], str | None], code: str, *, retry_after_s: int | None = None) -> web.Response:
    reason = ask()
    if reason is not None:
        return problems.response(problems.HttpProblem(503, code, reason, retry_after_s))
    return web.json_response({"status": "ok"}, headers={hdrs.CACHE_CONTROL: "no-store"})
