"""The caller: what it reaches, and what it takes for an answer. All endpoints listen on loopback."""

from __future__ import annotations

import asyncio
import gzip
import random
import socket
import ssl
import threading
from ipaddress import ip_address
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import Mock

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from support.servers.certificates import server_context, signed
from support.servers.listener import NO_CONTENT, listener
from thumbq.errors import NotReached
from thumbq.ports import Answered
from thumbq.settings import Settings
from thumbq.webhooks.caller import MAX_ANSWER_BYTES, Caller
from thumbq.webhooks.making import callback_rules, make_handler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


pytestmark = pytest.mark.real_time

GOOD, BAD = "127.0.0.2", "127.0.0.1"

SPELLINGS: Final = (
    *("127.0.0.1", "127.8.9.10", "0.0.0.0", "127.1", "127.0.1", "0", "2130706433", "0x7f000001", "0x7f.0.0.1"),
    *("0x7f.1", "0177.0.0.1", "017700000001", "00000177.0.0.1", "127.0.0.1.", "%31%32%37.0.0.1", "①②⑦.⓪.⓪.①"),
    *("127。0。0。1", "127.0.0.1", "[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[::127.0.0.1]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]"),
    *("[::1%251]", "[::1%25lo]", "[fe80::1%251]", "[::ffff:127.0.0.1%251]", "localhost", "LOCALHOST", "localhost."),
    *(
        "localhost..",
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "xn--localhost",
        "user@127.0.0.1",
        "user:password@localhost",
        "8.8.8.8@127.0.0.1",
    ),
    *("name.example", "NAME.example", "name.example.", "name。example", "münchen.example", "xn--mnchen-3ya.example"),
)
"""Hosts that mean loopback, if anything; those that end with example are looked up below."""

REACH_IT: Final = (
    *("127.0.0.1", "127.8.9.10", "0.0.0.0", "0x7f.1", "0x7f000001", "localhost", "LOCALHOST", "user@127.0.0.1"),
    *("name.example", "name.example.", "name。example", "münchen.example", "xn--mnchen-3ya.example"),
)
"""Some of them that reach it without the rules: else the test would tell nothing."""


def anything(_: object) -> None:
    """Let all addresses be called."""


def only_good(address: object) -> str | None:
    return None if address == ip_address(GOOD) else "a loopback address"


async def call(
    url: str, refusal: Callable[[Any], str | None] = only_good, *, timeout_s: float = 10, body: bytes = b"{}"
) -> Answered | str:
    """Return the answer, or the reason why there is none."""
    try:
        return await Caller(refusal, timeout_s=timeout_s).call(url, headers={"webhook-id": "msg_1"}, body=body)
    except NotReached as error:
        return error.reason


class Names:
    """Looks names up in place of the system, which still reads addresses: each name has its next answer."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        answers["localhost"] = [[BAD, "::1"]]
        self._answers = {name: cycle(of_name) for name, of_name in answers.items()}
        self._system = socket.getaddrinfo
        self.asked: list[str] = []

    def __call__(self, host: bytes | str, port: int, *_: Any, **__: Any) -> list[Any]:
        name = (host if isinstance(host, str) else host.decode()).lower().removesuffix(".")
        of_name = self._answers.get(name.removesuffix(".example").replace("-", "_"))
        if of_name is None:
            return self._system(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        self.asked.append(name)
        return [_answered(*address.partition("%")[::2], port) for address in next(of_name)]


def _answered(address: str, zone: str, port: int) -> tuple[Any, ...]:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, int(zone or 0))
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Names]:
    def known(**answers: Sequence[Sequence[str]]) -> Names:
        found = Names(**answers)
        monkeypatch.setattr(socket, "getaddrinfo", found)
        return found

    return known


def widest() -> Settings:
    """Return settings that open all that settings can open."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    networks = ["0.0.0.0/0", "::/0", "127.0.0.0/8"]
    table = {"hosts": ["*.example"], "secrets": [secret], "networks": networks, "allow_http": True}
    return Settings.model_validate({"webhooks": table})


async def test_no_spelling_of_loopback_is_reached_with_any_settings(names: Callable[..., Names]) -> None:
    names(name=[[BAD]], xn__mnchen_3ya=[[BAD, "::1"]])
    rules = callback_rules(widest())
    assert rules is not None
    async with listener() as found:
        reasons = {host: await call(f"http://{host}:{found.port}/", rules.address_refusal) for host in SPELLINGS}
        assert found.reached == []
        for host in REACH_IT:
            assert await call(f"http://{host}:{found.port}/", anything) == Answered(204), host
            assert str(reasons[host]).startswith("its host has no address that may be called, but a"), host


async def test_the_handler_of_callbacks_calls_by_the_rules_of_the_settings() -> None:
    of_jobs: Any = Mock()
    handler = make_handler(widest(), of_jobs, random.Random(1))
    assert handler is not None
    async with listener() as found:
        with pytest.raises(NotReached, match="a loopback address"):
            await handler._caller.call(f"http://localhost:{found.port}/", headers={}, body=b"{}")
        assert found.reached == []


@pytest.mark.parametrize("address", ["fe80::1%1", "fd00::1%1", "10.255.255.1"])
async def test_a_call_is_judged_by_the_settings_and_an_answer_with_its_zone(
    names: Callable[..., Names], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    names(hooks=[[address]])
    connected: list[Any] = []

    async def connect(_: object, __: object, to: Any) -> None:
        connected.append(to)
        raise ConnectionRefusedError

    monkeypatch.setattr(type(asyncio.get_running_loop()), "sock_connect", connect)
    rules = callback_rules(widest())
    assert rules is not None
    reason = await call("http://hooks.example/", rules.address_refusal)
    if "%" in address:
        assert (str(reason).rpartition(", but ")[2], connected) == ("an address with a zone", [])
    else:
        assert (reason, connected) == ("no connection", [(address, 80)])


@pytest.mark.parametrize("answers", [[BAD, GOOD], [GOOD, BAD], ["::1", BAD, GOOD], [BAD, "::1", GOOD, "10.0.0.1"]])
async def test_of_several_answers_to_a_name_only_those_are_reached_that_may_be(
    names: Callable[..., Names], answers: list[str]
) -> None:
    names(several=[answers])
    async with listener() as found:
        assert await call(f"http://several.example:{found.port}/") == Answered(204)
        assert [address.removeprefix("::ffff:") for address in found.reached] == [GOOD]


async def test_a_name_is_looked_up_and_judged_at_each_call(names: Callable[..., Names]) -> None:
    known = names(changing=[[GOOD], [BAD]])
    async with listener() as found:
        answers = [await call(f"http://changing.example:{found.port}/") for _ in range(4)]
        assert [answer == Answered(204) for answer in answers] == [True, False, True, False]
        assert known.asked == ["changing.example"] * 4
        assert len(found.reached) == 2


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    async with listener() as inside:
        to = f"HTTP/1.1 {status} Moved\r\nLocation: http://{GOOD}:{inside.port}/\r\nContent-Length: 0\r\n\r\n"
        async with listener([to.encode()]) as found:
            assert await call(f"http://{GOOD}:{found.port}/") == Answered(status)
        assert (len(found.reached), inside.reached) == (1, [])


async def test_neither_proxies_nor_credentials_of_the_environment_nor_cookies_nor_connections_are_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {GOOD} login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    answer = b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n"
    async with listener() as proxy, listener([answer], pause_s=0.01) as found:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{GOOD}:{proxy.port}")
        for _ in range(2):
            assert await call(f"http://{GOOD}:{found.port}/hook?a=b") == Answered(204)
        assert (proxy.reached, len(found.reached)) == ([], 2)
    for request in found.requests:
        lines = request.decode().lower().split("\r\n")
        assert lines[0] == "post /hook?a=b http/1.1"
        assert {line.partition(":")[0] for line in lines[1:] if line} == {
            *("host", "user-agent", "accept", "accept-encoding", "connection", "content-length", "content-type"),
            "webhook-id",
        }
        assert {"user-agent: thumbq", "accept-encoding: identity", "connection: close"} <= set(lines)


def answer(body: bytes, *headers: str) -> bytes:
    return "".join(f"{line}\r\n" for line in ("HTTP/1.1 200 OK", *headers, "")).encode() + body


def sized(body: bytes, *headers: str) -> bytes:
    return answer(body, f"Content-Length: {len(body)}", *headers)


TOO_LARGE = "its answer is larger than 64 KiB"


def bomb() -> list[bytes]:
    return [sized(gzip.compress(bytes(32 << 20)), "Content-Encoding: gzip")]


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ([sized(bytes(MAX_ANSWER_BYTES))], Answered(200)),
        ([sized(bytes(MAX_ANSWER_BYTES + 1))], TOO_LARGE),
        ([answer(b"", "Content-Length: 99999999999")], TOO_LARGE),
        ([answer(bytes(MAX_ANSWER_BYTES + 1))], TOO_LARGE),
        ([answer(b"", "Transfer-Encoding: chunked"), *[b"4000\r\n" + bytes(0x4000) + b"\r\n"] * 1000], TOO_LARGE),
        (bomb, Answered(200)),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + NO_CONTENT], Answered(204)),
        ([answer(b"half", "Content-Length: 8")], "its answer broke off"),
        ([b"SSH-2.0-OpenSSH_9.9\r\n"], "its answer is no HTTP"),
        ([answer(b"", *[f"X-{number}: x" for number in range(10_000)])], "its answer is no HTTP"),
        ([answer(b"", f"X-Long: {'x' * 100_000}")], "its answer is no HTTP"),
        (None, "it closed the connection before its answer"),
        ([b"HTTP/1.1 200"], "it closed the connection before its answer"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value))[:60],
)
async def test_an_answer_is_taken_up_to_its_limits(
    said: Sequence[bytes] | Callable[[], Sequence[bytes]] | None, result: Answered | str
) -> None:
    async with listener(said() if callable(said) else said) as found:
        assert await call(f"http://{GOOD}:{found.port}/") == result


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "9" * 400}, float("inf")),
        ({"Retry-After": "Sun, 29 Nov 2026 12:00:30 GMT", "Date": "Sun, 29 Nov 2026 12:00:00 GMT"}, 30.0),
        ({"Retry-After": "Sun, 29 Nov 2026 11:00:30 GMT", "Date": "Sun, 29 Nov 2026 12:00:00 GMT"}, 0.0),
        ({"Retry-After": "Sun, 29 Nov 2026 12:00:30 GMT"}, None),
        ({"Retry-After": "Sun, 29 Nov 2026 12:00:30 -0000", "Date": "Sun, 29 Nov 2026 12:00:00 GMT"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon", "Date": "now"}, None),
        ({}, None),
    ],
    ids=str,
)
async def test_retry_after_is_seconds_or_a_date(headers: Mapping[str, str], seconds: float | None) -> None:
    said = answer(b"", "Content-Length: 0", *[f"{name}: {value}" for name, value in headers.items()])
    async with listener([said]) as found:
        assert await call(f"http://{GOOD}:{found.port}/") == Answered(200, seconds)


async def test_the_time_of_a_call_is_for_all_of_it() -> None:
    drip = [b"HTTP/1.1 200 OK\r\n", *[b"X-Slow: x\r\n"] * 1000]
    body = [answer(b"", "Content-Length: 1000"), *[b"x"] * 1000]
    interim = [b"HTTP/1.1 100 Continue\r\n\r\n"] * 1000
    async with (
        listener([b""], pause_s=1000) as silent,
        listener(drip, pause_s=0.01) as slow_head,
        listener(body, pause_s=0.01) as slow_body,
        listener(interim, pause_s=0.01) as never_final,
        asyncio.TaskGroup() as calls,
    ):
        urls = [f"http://{GOOD}:{found.port}/" for found in (silent, slow_head, slow_body, never_final)]
        urls.append(f"https://{GOOD}:{silent.port}/")
        ended = [calls.create_task(call(url, timeout_s=0.25)) for url in urls]
    assert [await one for one in ended] == ["no answer within 0.25 s"] * 5


async def test_a_lookup_without_an_answer_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def hangs(host: bytes, port: int, **_: Any) -> list[Any]:
        if host == b"dead.example":
            answered.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (GOOD, port))]

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    try:
        async with listener() as found, asyncio.TaskGroup() as calls:
            dead = [calls.create_task(call(f"http://dead.example:{found.port}/", timeout_s=0.25)) for _ in range(64)]
            await asyncio.sleep(0)
            assert await call(f"http://living.example:{found.port}/") == Answered(204)
    finally:
        answered.set()
    assert {await one for one in dead} == {"no answer within 0.25 s"}


async def test_a_reason_tells_no_address(names: Callable[..., Names]) -> None:
    names(private=[["10.1.2.3", "fd00::5"]], refusing=[[GOOD]], two=[[GOOD, BAD]], loopback=[[BAD]])
    with socket.create_server((GOOD, 0)) as closed:
        port = closed.getsockname()[1]
    no_address = "its host has no address that may be called, but a loopback address"
    assert await call(f"http://private.example:{port}/") == no_address
    assert await call(f"http://loopback.example:{port}/") == no_address
    assert await call(f"http://refusing.example:{port}/") == "no connection: Connection refused"
    assert "no connection" in str(await call(f"http://two.example:{port}/"))
    assert await call(f"http://missing.example:{port}/") == "its host is not known"
    assert await call(f"http://{'a' * 64}.example:{port}/") == "its host is not known"
    assert await call("http://127.1/", anything) == "its URL cannot be called"


class Authority:
    """Signs for servers; the caller trusts it and nobody else."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = signed("authority", self._key, by=None)
        self._name = certificate.subject
        trusting = ssl.create_default_context(cadata=certificate.public_bytes(Encoding.DER))
        monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)

    def server(self, name: str, *, days: int = 1, own: bool = False) -> ssl.SSLContext:
        """Return what a server of this name shows; ``own``: nobody else has signed it."""
        key = ec.generate_private_key(ec.SECP256R1())
        shown = signed(name, key, by=None if own else (self._name, self._key), days=days)
        return server_context(shown, key, self._directory)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    return Authority(tmp_path, monkeypatch)


async def test_tls_is_made_with_the_name_of_the_host(authority: Authority, names: Callable[..., Names]) -> None:
    names(hooks=[[BAD, GOOD]])
    async with listener(tls=authority.server("hooks.example")) as found:
        for host in ("hooks.example", "HOOKS.example", "hooks.example."):
            assert await call(f"https://{host}:{found.port}/") == Answered(204)
        assert found.names == ["hooks.example"] * 3
        assert len(found.requests) == 3


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ({"name": "other.example"}, "Hostname mismatch, certificate is not valid for 'hooks.example'."),
        ({"name": "hooks.example", "days": -1}, "certificate has expired"),
        ({"name": "hooks.example", "own": True}, "self-signed certificate"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_nothing_is_said_over_tls_to_anybody_else(
    authority: Authority, names: Callable[..., Names], shown: dict[str, Any], reason: str
) -> None:
    names(hooks=[[GOOD]])
    async with listener(tls=authority.server(**shown)) as found:
        assert await call(f"https://hooks.example:{found.port}/") == f"its certificate is not valid: {reason}"
        assert found.requests == []


async def test_a_server_without_tls_is_told_nothing_over_https() -> None:
    async with listener(greeting=b"HTTP/1.1 204 No Content\r\n\r\n" * 2) as found:
        assert await call(f"https://{GOOD}:{found.port}/") == "it makes no TLS connection"
