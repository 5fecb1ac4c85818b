"""Who may do what: a request is looked at before any of its body is read.

Tokens come as RFC 6750 says, in the header ``Authorization``, or as the session of a browser that has shown one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from thumbq.core.token import Scope, Token
from thumbq.web.door import DOOR
from thumbq.web.problems import problem_of, response
from thumbq.web.route import route_of
from thumbq.web.services import HEALTH_PATHS, SERVICES
from thumbq.web.sessioncookie import session_of

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from thumbq.web.accessrules import AccessRules
    from thumbq.web.problems import HttpProblem
    from thumbq.web.ratelimit import RateLimit
    from thumbq.web.route import Route

_REALM: Final = 'Bearer realm="thumbq"'


TOKEN_NAME: Final = web.RequestKey("token_name", str)
"""The name of the token that a request has come with."""

_TOKEN: Final = web.RequestKey("token", Token)

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
    token = _token(request, access, route)
    if token is not None:
        request[_TOKEN], request[TOKEN_NAME] = token, token.name
    if access.rate_limit is not None and request.path not in HEALTH_PATHS:
        refusal = _count(request, access.rate_limit, token)
        if refusal is not None:
            return response(refusal)
    if access.wrong_tokens is not None and route is not None and route.logs_in:
        refusal = _count_wrong(request, access.wrong_tokens, token)
        if refusal is not None:
            return response(refusal)
    if access.tokens is None or route is None or not route.scopes or (route.rendition and access.public_renditions):
        return await handler(request)
    if token is None:
        return _unauthorized(request)
    if not token.scopes & (needed := route.scopes_for(request)):
        return _insufficient(token, route, needed)
    return await handler(request)


def token_of(request: web.Request) -> Token | None:
    """Return the token that a request has come with; None where nobody is asked for one."""
    return request.get(_TOKEN)


async def show_rate(request: web.Request, response: web.StreamResponse) -> None:
    """Say in every answer what is left of the limit."""
    response.headers.update(request.get(_RATE_HEADERS, {}))


def _token(request: web.Request, access: AccessRules, route: Route | None) -> Token | None:
    if access.tokens is None:
        return None
    given = _given(request)
    if given is not None:
        return access.tokens.find(given) if given else None
    if route is None or route.logs_in or (session := session_of(request)) is None:
        return None
    return access.tokens.find_session(session, access.clock.wall())


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
    return problem_of("rate-limited", text, retry_after_s=standing.next_s)


def _count_wrong(request: web.Request, limit: RateLimit, token: Token | None) -> HttpProblem | None:
    """Count a token that is none; return why no other is tried, if there were too many."""
    address = request.app[DOOR].proxies.client_address(request)
    standing = limit.look(address=address)
    if standing.left:
        if token is None:
            limit.count(token=None, address=address)
        return None
    text = "There were too many tokens that are none. Wait as long as Retry-After says, and try again."
    return problem_of("rate-limited", text, retry_after_s=standing.next_s)


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
