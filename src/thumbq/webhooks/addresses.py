"""Which addresses a callback may reach, decided by the address alone.

Sources: IANA's registries of special-purpose addresses (RFC 6890 and its updates), and what clouds document about their
metadata services. ``ipaddress.is_global`` is no such rule: that of Python 3.11 takes multicast, site-local addresses
and 127.0.0.1 in every IPv6 form but the mapped one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network, IPv6Network

_NEVER: Final[dict[str, tuple[str, ...]]] = {
    "the address of a metadata service": (
        "169.254.169.254/32",  # AWS, Azure, Google, Oracle, DigitalOcean, OpenStack …
        "169.254.170.2/32",  # credentials of a task of ECS
        "169.254.170.23/32",  # credentials of a pod of EKS
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's host, under a public address
        "192.0.0.192/32",  # Oracle, formerly
        "fd00:ec2::/32",  # AWS: metadata, credentials of pods, DNS, time
        "fd20:ce::254/128",  # Google
        "fd00:c1::a9fe:a9fe/128",  # Oracle
        "fd00:42::42/128",  # Scaleway
    ),
    "a loopback address": ("127.0.0.0/8", "::1/128"),
    "an unspecified address": ("0.0.0.0/8", "::/128"),
    "a link-local address": ("169.254.0.0/16", "fe80::/10"),
    "a multicast address": ("224.0.0.0/4", "ff00::/8"),
    "a broadcast address": ("255.255.255.255/32",),
    "a reserved address": (
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # documentation, as the next two
        "198.51.100.0/24",
        "203.0.113.0/24",
        "192.88.99.0/24",  # relays of 6to4, given up
        "198.18.0.0/15",  # benchmarks
        "240.0.0.0/4",
        "2001::/23",  # IETF protocol assignments; Teredo in it is judged by what it carries
        "2001:db8::/32",  # documentation, as the next one
        "3fff::/20",
    ),
}

_INSIDE_NETWORKS: Final[dict[str, tuple[str, ...]]] = {
    "a private address": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    "a shared address (100.64.0.0/10)": ("100.64.0.0/10",),
    "a unique-local address": ("fc00::/7",),
}


def _parsed(kinds: dict[str, tuple[str, ...]]) -> tuple[tuple[str, IPv4Network | IPv6Network], ...]:
    return tuple((kind, ip_network(text)) for kind, networks in kinds.items() for text in networks)


_NEVER_NETWORKS: Final = _parsed(_NEVER)
_PRIVATE_NETWORKS: Final = _parsed(_INSIDE_NETWORKS)
_GLOBAL_UNICAST: Final = ip_network("2000::/3")
"""What IANA gives of IPv6's unicast addresses to anybody; all else there is reserved (RFC 4291, 2.4)."""

_AT_THE_END: Final = tuple(
    ip_network(text)
    for text in (
        "::ffff:0:0/96",  # mapped: RFC 4291, 2.5.5.2
        "::/96",  # compatible: RFC 4291, 2.5.5.1
        "::ffff:0:0:0/96",  # translated: RFC 2765, 2.1
        "64:ff9b::/96",  # NAT64: RFC 6052, 2.1
    )
)
_OWN_NAT64: Final = ip_network("64:ff9b:1::/48")
"""NAT64 with a prefix of one's own: RFC 8215."""

_6TO4: Final = ip_network("2002::/16")
_TEREDO: Final = ip_network("2001::/32")
_ISATAP: Final = (bytes.fromhex("00005efe"), bytes.fromhex("02005efe"))
_UNSPECIFIED_AND_LOOPBACK: Final = ip_network("::/127")
_IPV4: Final = 4


def refusal(address: IPv4Address | IPv6Address, *, networks: Sequence[IPv4Network | IPv6Network]) -> str | None:
    """Return what an address is that may not be called, such as "a loopback address"; None when it may be called.

    Private addresses may be called inside ``networks``, which open nothing else. An IPv6 address that carries IPv4
    addresses is judged by each of them, since packets for it may end there.
    """
    if isinstance(address, IPv4Address):
        return _kind(address, networks)
    if address.scope_id is not None:
        return "an address with a zone"
    special = _special(address)
    for carried in (*special, *_isatap(address)):
        if (kind := _kind(carried, networks)) is not None:
            return f"{kind} in an IPv6 address"
    return None if special else _kind(address, networks)


def _kind(address: IPv4Address | IPv6Address, networks: Sequence[IPv4Network | IPv6Network]) -> str | None:
    for kind, network in _NEVER_NETWORKS:
        if address in network:
            return kind
    for kind, network in _PRIVATE_NETWORKS:
        if address in network:
            return None if any(address in one for one in networks) else f"{kind} outside the networks of [webhooks]"
    return None if address.version == _IPV4 or address in _GLOBAL_UNICAST else "a reserved address"


def _special(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses behind a prefix that stands for them; none when it has no such prefix."""
    if address in _UNSPECIFIED_AND_LOOPBACK:
        return ()
    if address in _OWN_NAT64:
        return _behind_own_nat64(address.packed)
    if any(address in network for network in _AT_THE_END):
        return (IPv4Address(address.packed[12:]),)
    if address in _6TO4:
        return (IPv4Address(address.packed[2:6]),)
    if address in _TEREDO:  # the server, and the client with all bits inverted: RFC 4380, 4
        return IPv4Address(address.packed[4:8]), IPv4Address(bytes(octet ^ 0xFF for octet in address.packed[12:]))
    return ()


def _behind_own_nat64(packed: bytes) -> tuple[IPv4Address, ...]:
    """Return all that a translator may find in an address under 64:ff9b:1::/48, whose prefix has one of four lengths.

    Source: RFC 6052, 2.2, where octet 8 is passed over. Zeros of another length's prefix or suffix are no address that
    a translator sends to.
    """
    found = (packed[12:], *((packed[before:8] + packed[9:])[:4] for before in (6, 7, 8)))
    sent_to = tuple(IPv4Address(octets) for octets in found if octets[0])
    return sent_to or (IPv4Address(packed[12:]),)


def _isatap(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 address in an interface identifier of ISATAP (RFC 5214, 6.1), which any prefix may have."""
    return (IPv4Address(address.packed[12:]),) if address.packed[8:12] in _ISATAP else ()
