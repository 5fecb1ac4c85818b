"""Who may do what: a request is looked at before any of its body is read.

Tokens come as RFC 6750 says, in the header ``Authorization``, and in no other way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from thumbq.core.token import Scope
from thumbq.web.door import DOOR
from thumbq.web.problems import problem_of, response
from thumbq.web.route import route_of
from thumbq.web.services import HEALTH_PATHS, SERVICES

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from thumbq.accesstokens import AccessTokens
    from thumbq.core.token import Token
    from thumbq.web.problems import HttpProblem
    from thumbq.web.ratelimit import RateLimit
    from thumbq.web.route import Route

_REALM: Final = 'Bearer realm="thumbq"'


TOKEN_NAME: Final = web.RequestKey("token_name", str)
"""The name of the token that a request has come with."""

_RATE_HEADERS: Final = web.RequestKey("rate_headers", dict[str, str])


@web.middleware
async def check_access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 429, 401 or 403 in place of the handler. An address that there is not needs no token.

    Raises LookupError for an address that has a handler and is not in the table: nobody knows what it needs.
    """
    access = request.app[SERVICES].access
    route = route_of(request)
    if route is None and request.match_info.http_exception is None:
        raise LookupError(f"{request.method} {request.match_info.route} is not in the table of routes")
    token = None if access.tokens is None else _token(request, access.tokens)
    if token is not None:
        request[TOKEN_NAME] = token.name
    if access.rate_limit is not None and request.path not in HEALTH_PATHS:
        refusal = _count(request, access.rate_limit, token)
        if refusal is not None:
            return response(refusal)
    if access.tokens is None or route is None or not route.scopes or (route.rendition and access.public_renditions):
        return await handler(request)
    if token is None:
        return _unauthorized(request)
    if not token.scopes & (needed := route.scopes_for(request)):
        return _insufficient(token, route, needed)
    return await handler(request)


async def show_rate(request: web.Request, response: web.StreamResponse) -> None:
    """Say in every answer what is left of the limit."""
    response.headers.update(request.get(_RATE_HEADERS, {}))


def _token(request: web.Request, tokens: AccessTokens) -> Token | None:
    given = _given(request)
    return tokens.find(given) if given else None


def _given(request: web.Request) -> str | None:
    """Return what stands in place of a token, empty when that can be none; None: the client has sent none."""
    headers = request.headers.getall(hdrs.AUTHORIZATION, ())
    schemes = [header.partition(" ")[::2] for header in headers]
    bearers = [credentials.strip() for scheme, credentials in schemes if scheme.lower() == "bearer"]
    if not bearers:
        return None
    return bearers[0] if len(headers) == 1 else ""


def _count(request: web.Request, limit: RateLimit, token: Token | None) -> HttpProblem | None:
    """Count a request; return why it is refused, if it is."""
    address = request.app[DOOR].proxies.client_address(request)
    standing = limit.count(token=None if token is None else token.name, address=address)
    request[_RATE_HEADERS] = limit.headers(standing)
    if standing.allowed:
        return None
    text = f"These are more requests than {limit.text}: wait as long as Retry-After says."
    return problem_of("rate-limited", text, retry_after_s=standing.reset_s)


def _unauthorized(request: web.Request) -> web.Response:
    if _given(request) is None:
        text, error = 'This needs a token. Send it in the header "Authorization", as "Bearer" and the token.', ""
    else:
        text, error = (
            "The token is none of those that are taken here. Ask who gave it to you.",
            ', error="invalid_token"',
        )
    return response(problem_of("unauthorized", text), headers={hdrs.WWW_AUTHENTICATE: _REALM + error})


def _insufficient(token: Token, route: Route, scopes: frozenset[Scope]) -> web.Response:
    needed = " or ".join(scope for scope in Scope if scope in scopes)
    text = f"This needs a token with the scope {needed}, which {token.name} has not."
    header = f'{_REALM}, error="insufficient_scope", scope="{route.scope}"'
    return response(problem_of("insufficient-scope", text), headers={hdrs.WWW_AUTHENTICATE: header})
