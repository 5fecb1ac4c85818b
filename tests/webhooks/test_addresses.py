"""Which addresses callbacks may reach; the table is compared with that of ssrfguard."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

import pytest
from ssrfguard import DEFAULT_DENIED

from thumbq.webhooks import addresses
from thumbq.webhooks.addresses import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from ipaddress import IPv4Network, IPv6Network

    Address = IPv4Address | IPv6Address

METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "fd00:42::42",
)
NEVER = (
    *("127.0.0.1", "127.255.255.255", "::1", "0.0.0.0", "0.1.2.3", "::", "169.254.0.1", "fe80::1", "febf::1"),
    *(
        "224.0.0.1",
        "239.255.255.250",
        "ff02::1",
        "255.255.255.255",
        "240.0.0.1",
        "198.18.0.1",
        "192.0.2.1",
        "192.0.0.9",
    ),
    *(
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "fec0::1",
        "4000::1",
        "2001:2::1",
    ),
    *("fe80::1%1", "fe80::1%eth0", "::1%lo", "2606:4700::1%1", "::ffff:8.8.8.8%1", "5f00::1", "e000::1"),
)
PRIVATE = (
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255"),
    *("fc00::1", "fd12:3456::1"),
)
PUBLIC = (
    *("8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
    *("128.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "223.255.255.255"),
    *("2606:4700:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "2000::", "3fff:1000::", "64:ff9b:1:808:8:800::"),
)
SHORTER = {f"own NAT64 of {bits} bits" for bits in (48, 56, 64)}
"""What may be read as several addresses: each of them must be allowed."""

ALL = tuple(ip_network(text) for text in ("0.0.0.0/0", "::/0"))


def _teredo(server: int, client: int) -> IPv6Address:
    return IPv6Address(0x2001_0000 << 96 | server << 64 | (client ^ 0xFFFF_FFFF))


def carrying(address: IPv4Address) -> dict[str, IPv6Address]:
    """Return the IPv6 addresses that carry an IPv4 one."""
    low, public = int(address), int(IPv4Address("8.8.8.8"))
    octets = address.packed
    own = ip_network("64:ff9b:1::/48").network_address.packed
    return {
        "mapped": IPv6Address(0xFFFF << 32 | low),
        "compatible": IPv6Address(low),
        "translated": IPv6Address(0xFFFF << 48 | low),
        "NAT64": IPv6Address(int(IPv6Address("64:ff9b::")) | low),
        "own NAT64 of 96 bits": IPv6Address(int(IPv6Address("64:ff9b:1::")) | low),
        "own NAT64 of 64 bits": IPv6Address(own[:8] + b"\0" + octets + b"\0\0\0"),
        "own NAT64 of 56 bits": IPv6Address(own[:7] + octets[:1] + b"\0" + octets[1:] + b"\0\0\0\0"),
        "own NAT64 of 48 bits": IPv6Address(own[:6] + octets[:2] + b"\0" + octets[2:] + b"\0" + b"\x08" * 4),
        "6to4": IPv6Address(0x2002 << 112 | low << 80 | 1),
        "client of Teredo": _teredo(public, low),
        "server of Teredo": _teredo(low, public),
        "ISATAP": IPv6Address(int(IPv6Address("2606:4700::5efe:0:0")) | low),
        "global ISATAP": IPv6Address(int(IPv6Address("2606:4700::200:5efe:0:0")) | low),
    }


@pytest.mark.parametrize("text", [*METADATA, *NEVER])
def test_what_is_never_called_is_opened_by_no_network(text: str) -> None:
    address = ip_address(text)
    own = [] if "%" in text else [ip_network(text)]
    assert refusal(address, networks=()) == refusal(address, networks=(*ALL, *own)) is not None


@pytest.mark.parametrize("text", PRIVATE)
def test_what_is_private_is_called_inside_the_networks_only(text: str) -> None:
    address = ip_address(text)
    assert refusal(address, networks=[ip_network(text)]) is None
    others = [ip_network(str(address + 1)), ip_network(str(address - 1))]
    for networks in ([], others):
        assert str(refusal(address, networks=networks)).endswith("outside the networks of [webhooks]")


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public_is_called(text: str) -> None:
    assert refusal(ip_address(text), networks=()) is None


@pytest.mark.parametrize("text", [text for text in (*METADATA, *NEVER, *PRIVATE, *PUBLIC) if ":" not in text])
def test_an_ipv6_address_is_judged_by_the_ipv4_address_that_it_carries(text: str) -> None:
    address = IPv4Address(text)
    for networks in ((), [ip_network(text)]):
        allowed = refusal(address, networks=networks) is None
        for form, carrier in carrying(address).items():
            found = refusal(carrier, networks=networks)
            if form not in SHORTER:
                assert (found is None) == allowed, f"{form}: {carrier}: {found}"
            elif not allowed and address.packed[0]:
                assert found is not None, f"{form}: {carrier}"


def test_a_carrier_inside_the_networks_is_still_judged_by_what_it_carries() -> None:
    for form, carrier in carrying(IPv4Address("10.0.0.1")).items():
        assert refusal(carrier, networks=[ip_network("::/0")]) is not None, form


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("169.254.169.254", "the address of a metadata service"),
        ("127.0.0.1", "a loopback address"),
        ("::ffff:127.0.0.1", "a loopback address in an IPv6 address"),
        ("10.0.0.1", "a private address outside the networks of [webhooks]"),
        ("fe80::1%eth0", "an address with a zone"),
        ("224.0.0.1", "a multicast address"),
        ("255.255.255.255", "a broadcast address"),
    ],
)
def test_a_refusal_says_what_the_address_is(text: str, what: str) -> None:
    assert refusal(ip_address(text), networks=()) == what


STRICTER: Final = {
    "192.0.0.9/32": "anycast of protocols, no endpoint",
    "192.0.0.10/32": "anycast of protocols, no endpoint",
    "168.63.129.16/32": "Azure's host: what it tells is its machines' own",
    "2001:1::/32": "anycast of protocols, no endpoint",
    "2001:3::/32": "AMT among IETF protocol assignments, no endpoint",
    "2001:4:112::/48": "AS112 among IETF protocol assignments, no endpoint",
    "2001:20::/28": "ORCHIDv2: identifiers, no addresses",
    "2001:30::/28": "tags of drones: identifiers, no addresses",
    "::/3": "reserved; translated addresses in it are judged by what they carry",
    "4000::/2": "reserved",
    "8000::/1": "reserved where it is neither unique-local, link-local, site-local nor multicast",
}
"""What ssrfguard lets through and is never called here, and why."""

LAXER: Final = {
    "64:ff9b:1::/48": "NAT64 of one's own is judged by the address that it carries, as the well-known one is"
}
"""What ssrfguard refuses and is called here, and why."""


def explained(address: Address, reasons: Iterable[str]) -> set[str]:
    """Return which of the reasons an address has, also through an IPv4 address in it."""
    found = {address}
    if isinstance(address, IPv6Address):
        found |= {IPv4Address(address.packed[12:]), address.sixtofour or address, *(address.teredo or ())}
    return {reason for reason in reasons if any(one in ip_network(reason) for one in found)}


def is_isatap(address: Address) -> bool:
    """Whether the interface identifier is one of ISATAP, which ssrfguard does not look at."""
    return isinstance(address, IPv6Address) and address.packed[8:12].hex() in {"00005efe", "02005efe"}


def compare(compared: Iterable[Address]) -> set[str]:
    """Return the reasons of all differences. Fails for one without a reason."""
    met: set[str] = set()
    for address in compared:
        refused, theirs = refusal(address, networks=()), DEFAULT_DENIED.classify(address).blocked
        if (refused is not None) == theirs:
            continue
        reasons = explained(address, LAXER if theirs else STRICTER)
        assert reasons or (refused and is_isatap(address)), f"{address}: here {refused}, there blocked: {theirs}"
        met |= reasons
    return met


def boundaries() -> Iterator[Address]:
    """Yield the first and last address of each network in both tables and the ones beside, also as they are carried."""
    networks: set[IPv4Network | IPv6Network] = {block.network for block in DEFAULT_DENIED.blocks}
    networks |= {ip_network(text) for text in (*STRICTER, *LAXER)}
    networks |= {network for _, network in (*addresses._NEVER_NETWORKS, *addresses._PRIVATE_NETWORKS)}
    for network in networks:
        first, last = int(network.network_address), int(network.broadcast_address)
        for number in (first - 1, first, first + 1, last - 1, last, last + 1):
            if 0 <= number < 1 << network.max_prefixlen:
                address = type(network.network_address)(number)
                yield address
                if isinstance(address, IPv4Address):
                    yield from carrying(address).values()


def made_up(number: int, seed: int) -> Iterator[Address]:
    """Yield random addresses: of all, of the networks that the tables name, and such that carry others."""
    generator = random.Random(seed)
    networks = [block.network for block in DEFAULT_DENIED.blocks] + [ip_network("2000::/3")]
    for _ in range(number):
        ipv4 = IPv4Address(generator.getrandbits(32))
        network = generator.choice(networks)
        inside = int(network.network_address) | generator.getrandbits(network.max_prefixlen) & int(network.hostmask)
        yield generator.choice(
            [
                ipv4,
                IPv6Address(generator.getrandbits(128)),
                type(network.network_address)(inside),
                generator.choice(list(carrying(ipv4).values())),
            ]
        )


def test_the_table_agrees_with_that_of_ssrfguard_at_all_boundaries_but_for_the_differences_listed() -> None:
    assert compare(boundaries()) == {*STRICTER, *LAXER}


@pytest.mark.parametrize("number", [5_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_the_table_agrees_with_that_of_ssrfguard_at_random_addresses(number: int) -> None:
    compare(made_up(number, seed=random.getrandbits(32)))
