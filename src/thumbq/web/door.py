"""The door: what is refused before a request is looked at, because of whom it is for or where it comes from.

A page of another site can make a browser send a form here: with its user's network and cookies, and to a loopback
address too. What changes something is taken from a page only if it is of this site or its origin is known: by Fetch
Metadata (https://www.w3.org/TR/fetch-metadata/), or by the header Origin (RFC 6454) of browsers without it. A page
whose own name suddenly means this machine (DNS rebinding) shows in the header Host. Programs send none of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from thumbq.core.origin import Authority, Origin
from thumbq.web import cors
from thumbq.web.bodies import check_expectation
from thumbq.web.forwarding import Proxies
from thumbq.web.problems import ProblemRaised, problem_of
from thumbq.web.services import HEALTH_PATHS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler

SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
"""The methods that change nothing."""

_OWN_SITE: Final = frozenset({"same-origin", "none"})
_SEC_FETCH_SITE: Final = "Sec-Fetch-Site"

SIGNED_PATH: Final = "/inbox"
"""Takes what its form's signature covers, wherever it comes from."""


class Door:
    """Knows hosts, origins and proxies.

    Without ``allowed_hosts`` any host is expected, unless thumbq ``listens_on`` a loopback address: then the loopback's
    names alone are, and those in ``allowed_hosts``.
    """

    def __init__(
        self,
        *,
        listens_on: str,
        allowed_hosts: Iterable[str] = (),
        cors_origins: Iterable[str] = (),
        trusted_proxies: Iterable[str] = (),
    ) -> None:
        listening = Authority.parse(f"[{listens_on}]" if ":" in listens_on else listens_on)
        self._on_loopback = listening is not None and listening.is_loopback
        self._hosts = frozenset(host.lower().strip("[]").removesuffix(".") for host in allowed_hosts)
        self.origins = cors.Origins(cors_origins)
        self.proxies = Proxies(trusted_proxies)

    def check(self, request: web.Request) -> None:
        """Raise ProblemRaised for a request that has the wrong host, or changes something for another site's page."""
        if not self._expects(request):
            text = (
                "The header Host names no host that is expected here. Use the address that thumbq listens on, or add"
                " the name to THUMBQ_ALLOWED_HOSTS."
            )
            raise ProblemRaised(problem_of("wrong-host", text))
        if request.method not in SAFE and request.path != SIGNED_PATH and self._is_cross_site(request):
            text = (
                "The request comes from a page of another site. Pages that may use thumbq are those whose origins are"
                " in THUMBQ_CORS_ORIGINS."
            )
            raise ProblemRaised(problem_of("cross-site", text))

    def _expects(self, request: web.Request) -> bool:
        if hdrs.HOST not in request.headers or not (self._on_loopback or self._hosts):
            return True
        authority = Authority.parse(request.headers[hdrs.HOST])
        if authority is None:
            return False
        if authority.host in self._hosts or (self._on_loopback and authority.is_loopback):
            return True
        # Balancers ask for the health of an address.
        return not self._on_loopback and authority.is_address and request.path in HEALTH_PATHS

    def _is_cross_site(self, request: web.Request) -> bool:
        origins = request.headers.getall(hdrs.ORIGIN, ())
        if origins and all(map(self.origins.have, origins)):
            return False
        return self.is_from_elsewhere(request)

    def is_from_elsewhere(self, request: web.Request) -> bool:
        """Whether a request comes from a page of another origin than its address has, whatever origins are known."""
        origins = request.headers.getall(hdrs.ORIGIN, ())
        if sites := request.headers.getall(_SEC_FETCH_SITE, ()):
            return not _OWN_SITE.issuperset(sites)
        return not all(self._is_own(origin, request) for origin in origins)

    def _is_own(self, origin: str, request: web.Request) -> bool:
        """Whether an origin is that of the address that a request is sent to."""
        authority = Authority.parse(request.headers.get(hdrs.HOST, ""))
        parsed = Origin.parse(origin)
        # Behind a proxy that is not trusted the scheme is unknown: its host decides then.
        return (
            authority is not None
            and parsed is not None
            and any(parsed == Origin.of(scheme, authority) for scheme in {parsed.scheme, self.proxies.scheme(request)})
        )


DOOR: Final = web.AppKey("door", Door)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what the door refuses, and answer preflights, which have no token."""
    door = request.app[DOOR]
    if cors.is_preflight(request):
        return cors.preflight(request, door.origins)
    door.check(request)
    check_expectation(request)
    return await handler(request)
