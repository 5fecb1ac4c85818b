"""Origins and hosts, as browsers name them in headers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MAX_PORT: Final = 65_535

# RFC 9110, section 4.2: what an authority is made of, here without a user.
_AUTHORITY: Final = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Authority:
    """A host in lower case, without brackets or a dot at its end, and a port if one was named."""

    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Authority | None:
        """Return what a header Host says; None for what is none."""
        found = _AUTHORITY.fullmatch(text)
        if found is None or int(found["port"] or 0) > _MAX_PORT:
            return None
        host = found["host"].lower().strip("[]")
        return cls(host.removesuffix("."), int(found["port"]) if found["port"] else None)

    @property
    def is_loopback(self) -> bool:
        """Whether it can be no other machine: RFC 6761, section 6.3, and the loopback addresses."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_address(self) -> bool:
        """Whether it is an IP address and no name."""
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, a host and a port (RFC 6454)."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Origin | None:
        """Return what a header Origin says; None for ``null`` and for what is none."""
        scheme, separator, rest = text.partition("://")
        authority = Authority.parse(rest)
        if not separator or authority is None or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
            return None
        return cls.of(scheme, authority)

    @classmethod
    def of(cls, scheme: str, authority: Authority) -> Origin:
        """Return the origin of a request with this scheme and this host."""
        scheme = scheme.lower()
        return cls(scheme, authority.host, authority.port or _DEFAULT_PORTS.get(scheme))


def checked_origin(text: str) -> str:
    """Return an origin as it is. Raises ValueError with the reason for what a browser would never send as one."""
    parts = urlsplit(text)
    if parts.path or parts.query or parts.fragment:
        raise ValueError(f"{text!r} has more than an origin: write {parts.scheme}://{parts.netloc}")
    if parts.scheme not in _DEFAULT_PORTS or Origin.parse(text) is None:
        raise ValueError(f"{text!r} is no origin: write one as https://example.com, without a path")
    return text
