"""CORS: what pages of other origins may do (Fetch standard, "HTTP extensions"). By default nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from thumbq.core.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable

ANY: Final = "*"

_REQUEST_HEADERS: Final = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Prefer", "traceparent", "tracestate"),
)
_EXPOSED: Final = (
    *("Location", "ETag", "Retry-After", "Preference-Applied", "RateLimit", "RateLimit-Policy", "X-Request-Id"),
)
_PREFLIGHT_MAX_AGE_S: Final = 600
_VARY_PREFLIGHT: Final = f"{hdrs.ORIGIN}, {hdrs.ACCESS_CONTROL_REQUEST_METHOD}, {hdrs.ACCESS_CONTROL_REQUEST_HEADERS}"


class Origins:
    """The origins of other sites that are known, or all of them (``*``)."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        texts = tuple(texts)
        self.any = ANY in texts
        self._known = frozenset(Origin.parse(text) for text in texts if text != ANY)
        self._alone = texts[0] if len(texts) == 1 else None

    def __bool__(self) -> bool:
        return self.any or bool(self._known)

    def have(self, text: str) -> bool:
        """Whether the origin that a header names is known."""
        if self.any:
            return True
        origin = Origin.parse(text)
        return origin is not None and origin in self._known

    def headers(self, request: web.BaseRequest) -> dict[str, str]:
        """Return what an answer says about origins: the browser shows it to a page of one that is known.

        Of a request that could not be read the origin is not known: then it says the one that there can be.
        """
        if not self:
            return {}
        headers: dict[str, str] = {} if self.any else {hdrs.VARY: hdrs.ORIGIN}
        origin = self._alone if not request.headers else request.headers.get(hdrs.ORIGIN)
        if origin is not None and self.have(origin):
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = ANY if self.any else origin
            headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ", ".join(_EXPOSED)
        return headers


def is_preflight(request: web.Request) -> bool:
    """Whether a browser asks, for a page of another origin, what it may send."""
    return (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ORIGIN in request.headers
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    )


def preflight(request: web.Request, origins: Origins) -> web.Response:
    """Answer what a page may send to this address: nothing, unless its origin is known."""
    headers: dict[str, str] = {hdrs.VARY: _VARY_PREFLIGHT}
    if origins.have(request.headers[hdrs.ORIGIN]):
        failure = request.match_info.http_exception
        methods = failure.allowed_methods if isinstance(failure, web.HTTPMethodNotAllowed) else ()
        headers |= {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(methods)),
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(_REQUEST_HEADERS),
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_PREFLIGHT_MAX_AGE_S),
        }
    return web.Response(status=204, headers=headers)
