"""Which URLs may be called back at all, as the settings say; what a name resolves to is judged when it is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_WILDCARD: Final = "*."
DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def host_pattern(text: str) -> str:
    """Return a host of the settings as hosts of URLs are compared with it. Raises ValueError for what is none."""
    host = text.strip().lower().removesuffix(".")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(bare))
    except ValueError:
        pass
    if len(host) > 253 or not _NAME.fullmatch(host.removeprefix(_WILDCARD)):  # noqa: PLR2004 - RFC 1035, 2.3.4
        raise ValueError(f"{text!r} is no host: write a name or an address without port and path, or *.example.com")
    return host


@dataclass(frozen=True, slots=True)
class CallbackRules:
    """The rules. ``address_refusal`` says what an address is that may not be called; None for one that may."""

    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    allow_http: bool
    address_refusal: Callable[[IPv4Address | IPv6Address], str | None]

    def refusal(self, url: str) -> str | None:
        """Return which setting keeps a URL, one that ``callback.checked`` takes, from being called; None if none."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
        if parts.scheme == "http" and not self.allow_http:
            return "it is not https, and allow_http of [webhooks] is false"
        if port not in self.ports:
            return f"its port {port} is not among the ports of [webhooks]"
        if self.pattern(url) is None:
            return f"its host {host} is not among the hosts of [webhooks]"
        address = _address(host)
        if address is not None and (reason := self.address_refusal(address)) is not None:
            return f"its host may not be called: it is {reason}"
        return None

    def pattern(self, url: str) -> str | None:
        """Return which of ``hosts`` names the host of a URL; None when none does."""
        host = urlsplit(url).hostname or ""
        address = _address(host)
        name = host.lower().removesuffix(".") if address is None else str(address)
        if address is None and not _NAME.fullmatch(name):
            return None
        return next((pattern for pattern in self.hosts if _matches(name, pattern)), None)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _matches(name: str, pattern: str) -> bool:
    return name.endswith(pattern[1:]) if pattern.startswith(_WILDCARD) else name == pattern
