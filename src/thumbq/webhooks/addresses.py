"""Which addresses may be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network


def refusal(address: IPv4Address | IPv6Address, *, networks: Sequence[IPv4Network | IPv6Network]) -> str | None:
    """Return why an address may not be reached; None where it may: a public one, or one in these networks."""
    if address.is_global or any(address in network for network in networks):
        return None
    return f"{address} is not public"
