"""How many requests a client may make: what is counted for whom, what answers say of it, what it takes of memory."""

from __future__ import annotations

import math
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import hdrs

from support.servers.web import JPEG, Served, answers, document, form, open_faulty, serve
from thumbq.accesstokens import AccessTokens
from thumbq.core.token import Scope, Token, digest_of
from thumbq.errors import BackendUnavailable
from thumbq.web.accessrules import AccessRules
from thumbq.web.app import UploadLimits
from thumbq.web.door import Door
from thumbq.web.ratelimit import MAX_CLIENTS, RateLimit, Standing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def limited(
    directory: Path, limit: str, clock: Clock, *, tokens: AccessTokens | None = None
) -> AsyncIterator[Served]:
    access = AccessRules(tokens, rate_limit=RateLimit(limit, clock))
    door = Door(listens_on="0.0.0.0", trusted_proxies=["127.0.0.0/8"])
    async with open_faulty(directory) as behind, serve(behind, UploadLimits(), access=access, door=door) as served:
        yield served


async def ask(served: Served, path: str = "/jobs/x", method: str = "GET", **headers: str) -> tuple[int, dict[str, str]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with served.http.request(method, path, headers=named) as answer:
        await answer.read()
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}


async def test_every_answer_says_what_is_left_and_one_too_many_is_429(tmp_path: Path) -> None:
    clock = Clock()
    async with limited(tmp_path, "3/minute", clock) as served:
        for left, path in ((2, "/jobs/x"), (1, "/nothing"), (0, "/openapi.json")):
            _, headers = await ask(served, path)
            assert headers["ratelimit-policy"] == '"default";q=3;w=60'
            assert headers["ratelimit"] == f'"default";r={left};t=20'
        clock.now += 4.5
        for path in ("/jobs/x", "/nothing"):
            status, headers = await ask(served, path)
            assert (status, headers["ratelimit"], headers["retry-after"]) == (429, '"default";r=0;t=16', "16")
        served.behind.store.calls.clear()
        async with served.http.post("/upload", data=form(("a.jpg", JPEG))) as answer:
            assert (answer.status, (await answer.json())["code"]) == (429, "rate-limited")
        assert not served.behind.store.calls
        clock.now += 16
        status, headers = await ask(served)
        assert (status, headers["ratelimit"]) == (404, '"default";r=0;t=20')


async def test_one_too_many_is_refused_before_the_body_and_can_be_read_after_20_mb(tmp_path: Path) -> None:
    length = 20 << 20
    head = f"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n"
    async with limited(tmp_path, "1/minute", Clock()) as served:
        assert (await ask(served))[0] == 404
        answer = await served.exchange(f"{head}\r\n".encode(), bytes(length))
        assert document(answer)["code"] == "rate-limited"
        answer = await served.exchange(f"{head}Expect: 100-continue\r\n\r\n".encode(), half_close=True)
        assert answers(answer) == [429]


async def test_refusals_and_failures_say_it_too(tmp_path: Path) -> None:
    async with limited(tmp_path, "100/minute", Clock(), tokens=AccessTokens((kept("a"),))) as served:
        served.behind.store.errors["get"] = BackendUnavailable("away")
        for path, token, status in (
            ("/jobs/x", "wrong", 401),
            (f"/jobs/{'0' * 26}", "a", 503),
            ("/upload", "a", 405),
        ):
            got, headers = await ask(served, path, Authorization=f"Bearer {token}")
            assert (got, "ratelimit" in headers, "ratelimit-policy" in headers) == (status, True, True)


def kept(text: str, name: str = "") -> Token:
    return Token(name or text, frozenset(Scope), digest_of(text))


async def test_health_checks_and_preflights_are_not_counted(tmp_path: Path) -> None:
    async with limited(tmp_path, "1/hour", Clock()) as served:
        for path in ("/livez", "/readyz") * 3:
            status, headers = await ask(served, path)
            assert (status, "ratelimit" in headers) == (200, False)
        assert (await ask(served))[0] == 404
        assert (await ask(served))[0] == 429
        assert (await ask(served, "/readyz"))[0] == 200


async def test_each_token_has_its_own_limit_and_who_has_none_that_of_the_address(tmp_path: Path) -> None:
    tokens = AccessTokens((kept("a"), kept("a2", "a"), kept("b")))
    async with limited(tmp_path, "2/minute", Clock(), tokens=tokens) as served:

        async def left(token: str, client: str = "203.0.113.1") -> str:
            _, headers = await ask(served, Authorization=f"Bearer {token}", X_Forwarded_For=client)
            return headers["ratelimit"].split(";")[1]

        assert [await left("a"), await left("b"), await left("a", "203.0.113.2")] == ["r=1", "r=1", "r=0"]
        assert await left("a2") == "r=0", "a token that replaces another one is the same client"
        # Guesses count for the address, whatever is guessed.
        assert [await left("x"), await left("y"), await left("z")] == ["r=1", "r=0", "r=0"]
        assert await left("b") == "r=0", "and not for the tokens of others behind it"
        assert await left("x", "203.0.113.2") == "r=1"


def counted(limit: RateLimit, address: str) -> Standing:
    return limit.count(token=None, address=address)


def test_a_network_of_ipv6_is_one_client_and_an_address_of_ipv4_is() -> None:
    limit = RateLimit("100/minute", Clock())
    assert counted(limit, "2001:db8:0:1::1").left == 99
    assert counted(limit, "2001:db8:0:1:ffff::2").left == 98
    assert counted(limit, "2001:db8:0:2::1").left == 99
    assert counted(limit, "192.0.2.1").left == 99
    assert counted(limit, "192.0.2.2").left == 99
    assert counted(limit, "::ffff:192.0.2.3").left == counted(limit, "::ffff:192.0.2.4").left == 99
    assert counted(limit, "").left == 99


def test_a_crowd_of_addresses_takes_bounded_memory_and_forgets_no_token() -> None:
    clock = Clock()
    limit = RateLimit("5/minute", clock)
    for _ in range(5):
        limit.count(token="a", address="192.0.2.1")
    for number in range(3 * MAX_CLIENTS):
        counted(limit, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert [len(clients) for clients in (limit._addresses, limit._tokens)] == [MAX_CLIENTS, 1]
    assert not limit.count(token="a", address="").allowed
    clock.now += 60
    counted(limit, "192.0.2.1")
    assert len(limit._addresses) == 1, "who has all again is forgotten at once"


def test_no_moment_lets_a_client_have_twice_as_many() -> None:
    clock = Clock()
    limit = RateLimit("600/minute", clock)
    clock.now += 59.9
    allowed = [counted(limit, "192.0.2.1").allowed for _ in range(700)]
    assert allowed == [True] * 600 + [False] * 100
    clock.now += 0.2  # another window of the clock
    assert [counted(limit, "192.0.2.1").allowed for _ in range(4)] == [True, True, False, False]
    for _ in range(3000):  # one that keeps to the limit is never refused
        clock.now += 0.1
        assert counted(limit, "192.0.2.1").allowed


@pytest.mark.parametrize(
    ("limit", "most", "window_s"), [("7/10 second", 7, 10), ("1/hour", 1, 3600), ("50/second", 50, 1)]
)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_left_is_that_of_a_simple_model(limit: str, most: int, window_s: int, seed: int) -> None:
    numbers, clock = random.Random(seed), Clock()
    counts, left = RateLimit(limit, clock), float(most)
    for _ in range(2000):
        passed = numbers.choice([0, 0, 0, 0.25, 1, 2]) * window_s / most
        clock.now += passed
        left = min(most, left + passed * most / window_s)
        assert counts.look(address="a").left == math.floor(left + 1e-3)
        standing = counts.count(token=None, address="a")
        assert standing.allowed == (left + 1e-3 >= 1)
        left -= standing.allowed
        assert standing.left == math.floor(left + 1e-3)
        if not standing.allowed:  # Retry-After is right to the second, and no more than needed
            needed_s = (1 - left) * window_s / most
            assert needed_s - 1e-3 <= standing.next_s < needed_s + 1.001


def test_a_limit_that_no_clock_can_tell_holds_nobody_up() -> None:
    limit = RateLimit(f"{10**15 - 1}/minute", Clock())
    assert all(counted(limit, "192.0.2.1").allowed for _ in range(100))


def test_the_clock_of_the_service_goes_on() -> None:
    standing = counted(RateLimit("600/minute", time.monotonic), "192.0.2.1")
    assert (standing.allowed, standing.left, standing.next_s) == (True, 599, 1)


async def test_without_a_limit_no_answer_speaks_of_one(served: Served) -> None:
    _, headers = await ask(served)
    assert not {name for name in headers if name.startswith("ratelimit")}
    assert hdrs.RETRY_AFTER.lower() not in headers
