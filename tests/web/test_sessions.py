"""Sessions of browsers: what the cookie is, what it lets through, and how it ends."""

from __future__ import annotations

import dataclasses
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import hdrs

from support.servers.web import JPEG, FaultyBackend, Served, WallClock, form, serve
from thumbq.accesstokens import AccessTokens
from thumbq.core import session
from thumbq.core.token import Scope, Token, digest_of
from thumbq.web.accessrules import WRONG_TOKENS, AccessRules
from thumbq.web.app import UploadLimits
from thumbq.web.door import Door
from thumbq.web.ratelimit import RateLimit
from web.test_access import KEPT, REMOVED, RIGHT, TOKENS, bearer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientResponse

OTHER = "https://app.example.com"


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
def tokens() -> AccessTokens:
    return AccessTokens(KEPT)


@pytest.fixture
async def guarded(behind: FaultyBackend, tokens: AccessTokens, clock: WallClock) -> AsyncIterator[Served]:
    rules = AccessRules(tokens, wrong_tokens=RateLimit(WRONG_TOKENS, clock.monotonic), clock=clock)
    door = Door(listens_on="0.0.0.0", cors_origins=[OTHER])
    async with serve(behind, UploadLimits(), access=rules, door=door) as served:
        served.http.cookie_jar.clear()
        yield served


async def log_in(served: Served, token: str = RIGHT, **headers: str) -> tuple[ClientResponse, Any]:
    """Log in; return the answer, and the cookie that it sets, if it sets one."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with served.http.post("/session", headers=bearer(token) | names) as answer:
        served.http.cookie_jar.clear()
        cookies: SimpleCookie = SimpleCookie()
        for line in answer.headers.getall(hdrs.SET_COOKIE, ()):
            cookies.load(line)
        return answer, next(iter(cookies.values()), None)


def shown(cookie: Any, **headers: str) -> dict[str, str]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return {hdrs.COOKIE: f"{cookie.key}={cookie.value}"} | names


async def status(served: Served, headers: dict[str, str], path: str = "/jobs") -> int:
    async with served.http.get(path, headers=headers) as answer:
        return answer.status


async def test_a_token_becomes_a_cookie_that_no_script_can_read(guarded: Served) -> None:
    answer, cookie = await log_in(guarded)
    assert (answer.status, answer.headers[hdrs.CACHE_CONTROL]) == (204, "no-store")
    assert cookie.key == "__Host-thumbq"
    said = {name: cookie[name] for name in ("httponly", "secure", "samesite", "path", "domain", "max-age")}
    expected = {"httponly": True, "secure": True, "samesite": "Strict", "path": "/", "domain": "", "max-age": "43200"}
    assert said == expected
    assert RIGHT not in cookie.value
    assert await status(guarded, {}) == 401
    assert await status(guarded, shown(cookie)) == 200
    async with guarded.http.post("/upload", data=form(("a.jpg", JPEG)), headers=shown(cookie)) as uploaded:
        assert uploaded.status == 201


@pytest.mark.parametrize(
    ("host", "headers", "name"),
    [
        ("127.0.0.1", {}, "__Host-thumbq"),
        ("localhost:8080", {}, "__Host-thumbq"),
        ("pictures.example.com", {}, "thumbq"),
        ("pictures.example.com", {"Origin": "http://pictures.example.com"}, "thumbq"),
        ("pictures.example.com", {"Origin": "https://pictures.example.com"}, "__Host-thumbq"),
    ],
)
async def test_browsers_take_the_safe_prefix_on_https_and_on_loopback_addresses(
    guarded: Served, host: str, headers: dict[str, str], name: str
) -> None:
    _, cookie = await log_in(guarded, Host=host, **headers)
    assert (cookie.key, bool(cookie["secure"])) == (name, name.startswith("__Host-"))
    assert await status(guarded, shown(cookie, Host=host)) == 200


async def test_the_plain_cookie_does_not_count_where_the_safe_one_is_taken(guarded: Served) -> None:
    _, cookie = await log_in(guarded)
    assert await status(guarded, {hdrs.COOKIE: f"thumbq={cookie.value}"}) == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": OTHER},
        {"Origin": OTHER},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
    ],
)
async def test_a_page_of_another_origin_can_do_nothing_with_the_cookie_also_a_known_one(
    guarded: Served, headers: dict[str, str]
) -> None:
    _, cookie = await log_in(guarded)
    from_there = shown(cookie, **headers)
    assert await status(guarded, from_there) == 401
    for method, path in (("POST", "/upload"), ("DELETE", "/session")):
        async with guarded.http.request(method, path, headers=from_there) as answer:
            assert answer.status in ((401, 403) if path == "/upload" else (204, 403))
    assert await guarded.behind.waiting() == 0


@pytest.mark.parametrize("headers", [{"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "none"}, {}])
async def test_the_own_page_and_its_user_can(guarded: Served, headers: dict[str, str]) -> None:
    _, cookie = await log_in(guarded)
    assert await status(guarded, shown(cookie, **headers)) == 200


async def test_a_session_has_the_scopes_of_its_token(guarded: Served) -> None:
    for scope, path, expected in (("upload", "/jobs", 403), ("read", "/jobs", 200), ("admin", "/jobs", 403)):
        _, cookie = await log_in(guarded, TOKENS[scope])
        assert await status(guarded, shown(cookie), path) == expected
        async with guarded.http.get("/service", headers=shown(cookie)) as answer:
            client = (await answer.json())["data"]["client"]
        assert client == {"name": scope, "scopes": [scope]}


async def test_it_ends_with_its_token(guarded: Served, tokens: AccessTokens) -> None:
    _, cookie = await log_in(guarded)
    tokens.change([token for token in KEPT if token.name != "all"])
    assert await status(guarded, shown(cookie)) == 401


async def test_it_ends_after_twelve_hours_and_opens_no_other(guarded: Served, clock: WallClock) -> None:
    _, cookie = await log_in(guarded)
    async with guarded.http.post("/session", headers=shown(cookie)) as answer:
        assert answer.status == 401
    clock.ahead_s = session.LASTS_S - 2
    assert await status(guarded, shown(cookie)) == 200
    clock.ahead_s = session.LASTS_S
    assert await status(guarded, shown(cookie)) == 401


async def test_a_token_that_is_shown_counts_and_not_the_session_beside_it(guarded: Served) -> None:
    _, cookie = await log_in(guarded)
    assert await status(guarded, shown(cookie) | bearer(REMOVED)) == 401
    assert await status(guarded, shown(cookie) | bearer(TOKENS["upload"])) == 403


async def test_logging_out_has_the_browser_forget_both_cookies(guarded: Served) -> None:
    async with guarded.http.delete("/session") as answer:
        assert answer.status == 204
        lines = answer.headers.getall(hdrs.SET_COOKIE)
    assert sorted(line.partition("=")[0] for line in lines) == ["__Host-thumbq", "thumbq"]
    assert all("Max-Age=0" in line for line in lines)


async def test_after_five_wrong_tokens_in_a_minute_no_other_is_tried(guarded: Served) -> None:
    for _ in range(10):  # right ones do not count
        assert (await log_in(guarded))[0].status == 204
    answers = [await log_in(guarded, REMOVED) for _ in range(7)]
    assert [answer.status for answer, _ in answers] == [401] * 5 + [429] * 2
    assert 1 <= int(answers[-1][0].headers[hdrs.RETRY_AFTER]) <= 60
    right, cookie = await log_in(guarded)
    assert (right.status, cookie) == (429, None)
    assert await status(guarded, bearer(RIGHT)) == 200


async def test_an_open_service_has_no_sessions(behind: FaultyBackend) -> None:
    async with serve(behind, UploadLimits()) as served:
        answer, cookie = await log_in(served)
        assert (answer.status, cookie) == (204, None)


def test_any_change_of_a_session_is_seen_and_tokens_have_keys_of_their_own() -> None:
    one, other = (Token(name, frozenset(Scope), digest_of(name)) for name in ("one", "other"))
    text = session.new(one, 1000)
    assert session.find([other, one], text, 1000) is one
    assert session.find([other], text, 1000) is None
    assert session.find([dataclasses.replace(one, digest=digest_of("new"))], text, 1000) is None
    end, _, signature = text.partition(".")
    later = f"{int(end) + 1}.{signature}"
    for changed in (
        later,
        text[:-1],
        f"{text}x",
        f" {text}",
        f"0{text}",
        end,
        f"{end}.",
        f".{signature}",
        "",
        "é.é",
        "9" * 5000,
    ):
        assert session.find([one], changed, 1000) is None, changed
    forged = f"{'9' * 12}.{signature}"
    assert session.find([one], forged, 1000) is None
