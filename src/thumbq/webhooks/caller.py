"""The caller: posts to endpoints, by sockets that connect only to addresses that may be called."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from os import strerror
from socket import EAI_NODATA, EAI_NONAME, socket
from typing import TYPE_CHECKING, Final

import aiohttp

from thumbq.core import tracecontext
from thumbq.errors import NotReached
from thumbq.ports import Answered
from thumbq.ports.tracing import Calling, during, trace_at_work
from thumbq.webhooks.lookup import Lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ipaddress import IPv4Address, IPv6Address

    from aiohappyeyeballs import AddrInfoType

MAX_ANSWER_BYTES: Final = 64 * 1024

_HEADERS: Final = {"User-Agent": "thumbq", "Accept-Encoding": "identity"}
_UNKNOWN: Final = (EAI_NONAME, EAI_NODATA)


class Caller:
    """Makes each call by a connection of its own, without proxies, cookies and redirects.

    ``address_refusal`` says what an address is that may not be called, None for one that may. It is asked about the
    very address that a socket connects to, for each call anew. ``timeout_s`` is for all of a call: looking up its host,
    connecting, and the answer to its end.

    A kept connection would not be judged again. It would also be one that its endpoint may have closed just now, which
    a POST finds out by failing.
    """

    def __init__(self, address_refusal: Callable[[IPv4Address | IPv6Address], str | None], *, timeout_s: float) -> None:
        self._address_refusal = address_refusal
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def call(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Answered:
        """Post a body to an endpoint; the port says what is returned and raised."""
        gate = _Gate(self._address_refusal)
        connector = aiohttp.TCPConnector(
            resolver=Lookup(), use_dns_cache=False, force_close=True, socket_factory=gate.socket
        )
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, timeout=self._timeout
        )
        with during(Calling(url)) as note:
            sent = {**_HEADERS, **headers, **_trace()}
            try:
                async with session, session.post(url, data=body, headers=sent, allow_redirects=False) as answer:
                    note(status=answer.status)
                    await _read(answer)
                    return Answered(answer.status, _retry_after_s(answer.headers))
            except (aiohttp.ClientError, TimeoutError) as error:
                raise NotReached(gate.reason or _reason(error, self._timeout.total)) from error


class _Gate:
    """Makes the sockets of one call: each for an address, and only for one that may be called."""

    def __init__(self, address_refusal: Callable[[IPv4Address | IPv6Address], str | None]) -> None:
        self._address_refusal = address_refusal
        self._refused: str | None = None
        self._opened = False

    def socket(self, info: AddrInfoType) -> socket:
        """Return a socket for an address, which aiohttp connects to exactly this. Raises OSError for one refused."""
        family, kind, protocol, _, address = info
        try:
            refused = self._address_refusal(ip_address(address[0]))
        except ValueError:
            refused = "no address"
        if refused is not None:
            self._refused = refused
            raise PermissionError(refused)
        self._opened = True
        return socket(family, kind, protocol)

    @property
    def reason(self) -> str | None:
        """Why nothing was connected to; None when that was tried, or nothing was refused."""
        if self._refused is None or self._opened:
            return None
        return f"its host has no address that may be called, but {self._refused}"


def _trace() -> dict[str, str]:
    """Return the header that names the call's trace. What tracing systems keep in its state is not for strangers."""
    trace = trace_at_work()
    return {} if trace is None else {tracecontext.PARENT: trace.parent}


async def _read(answer: aiohttp.ClientResponse) -> None:
    """Read an answer to its end. Raises NotReached when it is too large."""
    size = answer.content_length or 0
    if size <= MAX_ANSWER_BYTES:
        size = 0
        async for chunk in answer.content.iter_any():
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                break
    if size > MAX_ANSWER_BYTES:
        raise NotReached(f"its answer is larger than {MAX_ANSWER_BYTES // 1024} KiB")


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return a Retry-After in seconds (RFC 9110, 10.2.3); a date counts from that of the answer itself."""
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers["Date"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return max(0.0, wait.total_seconds())


def _reason(error: Exception, timeout_s: float | None) -> str:
    """Say what went wrong, without any address: who reads it may be nobody who should learn of ours."""
    match error:
        case TimeoutError():
            reason = f"no answer within {timeout_s:g} s"
        case aiohttp.ClientConnectorCertificateError():
            reason = f"its certificate is not valid: {getattr(error.certificate_error, 'verify_message', '')}"
        case aiohttp.ClientConnectorDNSError():
            reason = "its host is not known" if error.os_error.errno in _UNKNOWN else "its host cannot be looked up now"
        case aiohttp.ClientSSLError():
            reason = "it makes no TLS connection"
        case aiohttp.ClientConnectorError():
            errno = error.os_error.errno  # None for several errors of several addresses
            reason = f"no connection: {strerror(errno)}" if errno else "no connection"
        case aiohttp.InvalidURL():
            reason = "its URL cannot be called"
        case aiohttp.ClientResponseError():
            reason = "its answer is no HTTP"
        case aiohttp.ClientPayloadError():
            reason = "its answer broke off"
        case _:
            reason = "it closed the connection before its answer"
    return reason
