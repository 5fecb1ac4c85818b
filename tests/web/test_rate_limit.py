"""How many requests a client may make: what is counted for whom, what answers say of it, what it takes of memory."""

from __future__ import annotations

import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import hdrs

from support.servers.web import JPEG, Served, answers, document, form, open_faulty, serve
from thumbq.accesstokens import AccessTokens
from thumbq.core.token import Scope, Token, digest_of
from thumbq.errors import BackendUnavailable
from thumbq.web.accessrules import AccessRules
from thumbq.web.app import UploadLimits
from thumbq.web.door import Door
from thumbq.web.ratelimit import MAX_CLIENTS, RateLimit, Standing, WindowCounts

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
            assert headers["ratelimit"] == f'"default";r={left};t=60'
        clock.now += 20.5
        for path in ("/jobs/x", "/nothing"):
            status, headers = await ask(served, path)
            assert (status, headers["ratelimit"], headers["retry-after"]) == (429, '"default";r=0;t=40', "40")
        served.behind.store.calls.clear()
        async with served.http.post("/upload", data=form(("a.jpg", JPEG))) as answer:
            assert (answer.status, (await answer.json())["code"]) == (429, "rate-limited")
        assert not served.behind.store.calls
        clock.now += 40
        status, headers = await ask(served)
        assert (status, headers["ratelimit"]) == (404, '"default";r=2;t=60')


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
    storages: list[Any] = [limit._addresses.storage, limit._tokens.storage]
    assert [len(storage) for storage in storages] == [MAX_CLIENTS, 1]
    assert not limit.count(token="a", address="").allowed
    clock.now += 60
    counted(limit, "192.0.2.1")
    assert len(storages[0]) == 1, "what has ended is forgotten at once"


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_a_simple_model(seed: int) -> None:
    numbers, clock, most, expiry = random.Random(seed), Clock(), 4, 10
    counts = WindowCounts(clock, most)
    model: dict[str, tuple[float, int]] = {}
    for _ in range(2000):
        clock.now += numbers.choice([0, 0, 0.5, 1, 3, 11])
        key = numbers.choice("abcdef")
        model = {name: window for name, window in model.items() if window[0] > clock.now}
        if key not in model and len(model) == most:
            del model[min(model, key=lambda name: model[name][0])]
        ends_at, count = model.get(key, (clock.now + expiry, 0))
        model[key] = ends_at, count + 1
        assert counts.incr(key, expiry) == count + 1
        for name in "abcdef":
            assert counts.get(name) == model.get(name, (0, 0))[1]
        assert counts.get_expiry(key) == ends_at
        assert len(counts) == len(model)


def test_the_clock_of_the_service_goes_on() -> None:
    standing = counted(RateLimit("600/minute", time.monotonic), "192.0.2.1")
    assert (standing.allowed, standing.left, standing.reset_s) == (True, 599, 60)


async def test_without_a_limit_no_answer_speaks_of_one(served: Served) -> None:
    _, headers = await ask(served)
    assert not {name for name in headers if name.startswith("ratelimit")}
    assert hdrs.RETRY_AFTER.lower() not in headers
