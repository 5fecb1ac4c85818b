"""What a route is: one operation of the API, as the application and the OpenAPI document need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from thumbq.core.token import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler
    from pydantic import BaseModel


JSON: Final = "application/json"
FORM: Final = "multipart/form-data"
IMAGE: Final = "image/*"


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request or an answer. Without a model it is a file."""

    media_type: str
    model: type[BaseModel] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation.

    ``scope`` is what a token needs for it (see ``scopes``); None where none is asked for. ``answers`` has a text and
    the body, if there is one, for each status that is no problem. ``problems`` are codes of ``problems.STATUSES``,
    ``missing`` those of 404 that a job or a rendition gives, ``unmade`` those of 422 that a render gives. ``query``
    and ``headers`` are models of parameters. A ``rendition`` may be public.
    """

    method: str
    path: str
    handler: Handler
    name: str
    summary: str
    scope: Scope | None
    answers: Mapping[int, tuple[str, Body | None]]
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unmade: tuple[str, ...] = ()
    body: Body | None = None
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What stands in the path, each with its description."""
    file_of_page: bool = False
    """Whether it is the page itself, or a file of it: no part of the API, and not in its document."""
    rendition: bool = False
    any_scope: bool = False
    """Whether any token will do, whatever its scopes."""
    logs_in: bool = False
    """Whether people try tokens here: wrong ones are counted, and no session opens another."""
    of_page: bool = False
    """Whether it is there for the page, and goes with it."""
    scope_by_id: Scope | None = None
    """What is enough in place of ``scope`` for a query of nothing but the ids of jobs, which are secrets."""

    @property
    def scopes(self) -> frozenset[Scope]:
        """The scopes of which a token needs one, whatever the query. Who may look at all jobs may look at each."""
        if self.any_scope:
            return frozenset(Scope)
        looks = {Scope.READ} if self.method == hdrs.METH_GET and self.scope is Scope.UPLOAD else set()
        return frozenset() if self.scope is None else frozenset({self.scope, *looks})

    def scopes_for(self, request: web.Request) -> frozenset[Scope]:
        """Return the scopes of which this request's token needs one."""
        by_id = {self.scope_by_id} if self.scope_by_id is not None and set(request.query) == {"id"} else set()
        return self.scopes | by_id


TABLE: Final = web.AppKey("table", dict[tuple[str, str], Route])
"""All routes of an application, by method and path."""


def route_of(request: web.Request) -> Route | None:
    """Return the route that a request has come to; None for an address or a method that there is not."""
    resource = request.match_info.route.resource
    method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
    return None if resource is None else request.app[TABLE].get((method, resource.canonical))


ANY: Final = ("bad-request", "request-timeout", "content-encoding", "wrong-host", "internal-error")
"""Problems of every route. Those of aiohttp itself come besides: 404, 405, 417."""

OF_ACCESS: Final = ("unauthorized", "insufficient-scope")
"""Problems of every route that has a scope."""

OF_RATE: Final = ("rate-limited",)
"""Problems of every route whose requests are counted."""
