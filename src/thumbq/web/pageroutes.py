"""The routes that are there for the page; they go with it."""

from __future__ import annotations

from functools import partial
from typing import Final

from aiohttp import hdrs

from thumbq.core.token import Scope
from thumbq.web import originals, service, sessions
from thumbq.web.page import serving
from thumbq.web.route import IMAGE, JSON, Body, Route
from thumbq.web.service import ServiceAnswer

_page_route = partial(Route, of_page=True)
_UNCHANGED: Final = ("It is as the client has it (`If-None-Match`).", None)

PAGE_ROUTES: Final = (
    _page_route(
        method=hdrs.METH_GET,
        path="/",
        handler=serving.get_page,
        name="page",
        summary="The page, for people.",
        scope=None,
        answers={200: ("The page.", Body("text/html")), 304: _UNCHANGED},
        file_of_page=True,
    ),
    _page_route(
        method=hdrs.METH_GET,
        path="/page/{name}",
        handler=serving.get_asset,
        name="page_file",
        summary="A file of the page.",
        scope=None,
        parameters={"name": "Its name, with a hash."},
        answers={200: ("The file.", Body("*/*")), 304: _UNCHANGED},
        missing=("no-asset",),
        file_of_page=True,
    ),
    _page_route(
        method=hdrs.METH_POST,
        path="/session",
        handler=sessions.open_session,
        name="open_session",
        summary="Begin a session of the token that the request has: a cookie stands for it, for 12 hours.",
        scope=Scope.UPLOAD,
        any_scope=True,
        logs_in=True,
        answers={204: ("It has begun. An open service sets no cookie.", None)},
    ),
    _page_route(
        method=hdrs.METH_DELETE,
        path="/session",
        handler=sessions.close_session,
        name="close_session",
        summary="Have the browser forget its session.",
        scope=None,
        answers={204: ("It has.", None)},
    ),
    _page_route(
        method=hdrs.METH_GET,
        path="/service",
        handler=service.get_service,
        name="service",
        summary="What this service takes and makes, and what the client may do with it.",
        scope=Scope.UPLOAD,
        any_scope=True,
        answers={200: ("It.", Body(JSON, ServiceAnswer))},
    ),
    _page_route(
        method=hdrs.METH_GET,
        path="/originals/{id}",
        handler=originals.get_original,
        name="get_original",
        summary="Get an original.",
        scope=Scope.READ,
        parameters={"id": "The job's id."},
        answers={200: ("The file.", Body(IMAGE))},
        problems=("backend-bad-answer", "backend-refused", "backend-unavailable", "busy", "too-large"),
        missing=("no-job", "no-original"),
    ),
)
