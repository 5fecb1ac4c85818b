"""The health endpoints, for an orchestrator that decides about restarts and where requests go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from thumbq.web.answers import HealthAnswer
from thumbq.web.problems import problem_of, response
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

_READY_RETRY_AFTER_S: Final = 1


async def livez(request: web.Request) -> web.Response:
    """Answer 200 unless a restart would help."""
    reason = request.app[SERVICES].health.not_alive()
    return _ok({}) if reason is None else response(problem_of("not-alive", reason))


async def readyz(request: web.Request) -> web.Response:
    """Answer 200 while requests should come here, and what is away for all replicas."""
    health = request.app[SERVICES].health
    parts = {name: _state("away", since) for name, since in health.away_since().items()}
    parts |= {name: _state("paused", since, known=True) for name, since in health.paused_since().items()}
    reason = health.not_ready()
    if reason is not None:
        return response(problem_of("not-ready", reason, retry_after_s=_READY_RETRY_AFTER_S), data=parts or None)
    return _ok(parts)


def _state(state: str, since: float | None, *, known: bool = False) -> str:
    """Return the state of a part; without a time it is well, unless the state is ``known`` to hold."""
    if since is None:
        return state if known else "ok"
    return f"{state} since {datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _ok(parts: Mapping[str, str]) -> web.Response:
    return HealthAnswer.model_validate({"status": "ok", **parts}).response()
