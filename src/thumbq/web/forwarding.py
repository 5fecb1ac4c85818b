"""Where a request comes from, when proxies stand between: their word counts if they are trusted, and nobody else's."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address

    from aiohttp import web

_SCHEMES: Final = ("http", "https")


class Proxies:
    """The networks of the trusted proxies.

    Each proxy appends to ``X-Forwarded-For`` whom it heard from, so it is read from the right: the first address that
    is no trusted proxy's is the client's. What stands left of it is the client's own word.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(map(ip_network, networks))

    def client_address(self, request: web.Request) -> str:
        """Return the address of the client, as the nearest proxy that is trusted saw it."""
        found = request.remote or ""
        if not self._networks or not self._trusts(found):
            return found
        for text in reversed(_entries(request, hdrs.X_FORWARDED_FOR)):
            address = _address(text)
            if address is None:
                break
            found = str(address)
            if not self._trusts(found):
                break
        return found

    def scheme(self, request: web.Request) -> str:
        """Return the scheme that the client used."""
        if self._networks and self._trusts(request.remote or ""):
            entries = _entries(request, hdrs.X_FORWARDED_PROTO)
            if entries and entries[-1].lower() in _SCHEMES:
                return entries[-1].lower()
        return request.scheme

    def _trusts(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def _entries(request: web.Request, name: str) -> list[str]:
    return [entry.strip() for line in request.headers.getall(name, ()) for entry in line.split(",")]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address; one of IPv4 that came over a socket of IPv6 is the one of IPv4, as are those with a port."""
    host, _, _ = text.partition("]") if text.startswith("[") else (text, "", "")
    host = host.lstrip("[")
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
