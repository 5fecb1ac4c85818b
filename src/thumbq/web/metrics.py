"""``/metrics``: for administrators on the service's own port, and on another one for whoever reaches that."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from thumbq.errors import Problem, SetupError
from thumbq.web.connections import Connections
from thumbq.web.cors import Origins
from thumbq.web.problems import EVERYWHERE, ProblemRaised, not_found
from thumbq.web.server import BoundedServer
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thumbq.ports.observing import Exposition

_MOST_CONNECTIONS: Final = 16
"""Nobody shows a token there: who holds more takes no descriptors from uploads."""

_STOP_S: Final = 1.0


async def get_metrics(request: web.Request) -> web.Response:
    """Answer the metrics in the form that the client asks for."""
    exposition = request.app[SERVICES].exposition
    if exposition is None:
        raise ProblemRaised(not_found("no-metrics", "Nothing is counted here: set THUMBQ_METRICS=true."))
    return _answer(exposition, request)


def _answer(exposition: Exposition, request: web.Request) -> web.Response:
    body, content_type = exposition.expose(request.headers.get(hdrs.ACCEPT, ""))
    return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type, hdrs.CACHE_CONTROL: "no-store"})


@asynccontextmanager
async def serving_metrics(exposition: Exposition, host: str, port: int) -> AsyncIterator[BoundedServer]:
    """Serve ``/metrics`` and nothing else, without tokens, while the context lasts.

    Who has the server watches it. Port 0 takes a free one. Raises SetupError when it cannot listen.
    """

    async def get(request: web.Request) -> web.Response:
        answer = _answer(exposition, request)
        answer.headers.update(EVERYWHERE)
        return answer

    app = web.Application()
    app.router.add_get("/metrics", get)
    connections = Connections(_MOST_CONNECTIONS, lambda _: 0)
    server = BoundedServer(app, connections, Origins(()), shutdown_timeout_s=_STOP_S)
    try:
        try:
            await server.start(host, port)
        except OSError as error:
            what = f"cannot listen on {host}:{port} for metrics: {error.strerror}"
            raise SetupError([Problem(what, "choose another THUMBQ_METRICS_PORT, or unset it")]) from error
        yield server
    finally:
        await server.close()
