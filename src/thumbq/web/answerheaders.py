"""The headers that every answer has, also that to a request which could not be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.web import requestid
from thumbq.web.problems import EVERYWHERE

if TYPE_CHECKING:
    from aiohttp import web

    from thumbq.web.cors import Origins


def complete(request: web.BaseRequest, response: web.StreamResponse, origins: Origins) -> None:
    """Give an answer the headers that all of them have. A request without an id gets one."""
    response.headers.update(EVERYWHERE)
    for name, value in origins.headers(request).items():
        response.headers.setdefault(name, value)
    request_id = request.setdefault(requestid.REQUEST_ID, requestid.request_id(request.headers))
    response.headers[requestid.HEADER] = request_id
