"""Who may do what, over real connections: every operation of the table with every kind of token, and what is logged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest
from aiohttp import hdrs
from structlog.testing import capture_logs

from support.patience import within
from support.servers.web import JPEG, Served, answers, document, form, open_faulty, serve
from thumbq.accesstokens import AccessTokens
from thumbq.core.token import RANDOM_BYTES, Scope, Token, digest_of, new_token, parse
from thumbq.errors import BackendUnavailable
from thumbq.web.accessrules import AccessRules
from thumbq.web.app import UploadLimits
from thumbq.web.route import TABLE
from thumbq.web.routes import ROUTES
from web.test_jobs import finish, uploaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from structlog.typing import EventDict

    from thumbq.web.route import Route


def made(number: int) -> str:
    return new_token(bytes([number]) * RANDOM_BYTES)


TOKENS: Final = {scope.value: made(number) for number, scope in enumerate(Scope)} | {"all": made(10)}
REMOVED: Final = made(11)
KEPT: Final = tuple(
    Token(name, frozenset(Scope) if name == "all" else frozenset({Scope(name)}), digest_of(text))
    for name, text in TOKENS.items()
)
RIGHT: Final = TOKENS["all"]

ALLOWED: Final[dict[str, set[Scope] | None]] = {
    "POST /upload": {Scope.UPLOAD},
    "PUT /upload/{filename}": {Scope.UPLOAD},
    "POST /uploads": {Scope.UPLOAD},
    "POST /inbox": None,
    "GET /jobs": {Scope.READ},
    "GET /jobs/{id}": {Scope.UPLOAD, Scope.READ},
    "DELETE /jobs/{id}": {Scope.ADMIN},
    "GET /jobs/{id}/{preset}": {Scope.UPLOAD, Scope.READ},
    "POST /jobs/{id}/webhook": {Scope.ADMIN},
    "GET /": None,
    "GET /page/{name}": None,
    "POST /session": set(Scope),
    "DELETE /session": None,
    "GET /service": set(Scope),
    "GET /originals/{id}": {Scope.READ},
    "GET /queues": {Scope.ADMIN},
    "POST /queues/{queue}/pause": {Scope.ADMIN},
    "POST /queues/{queue}/resume": {Scope.ADMIN},
    "GET /queues/{queue}/dead-letters": {Scope.ADMIN},
    "GET /queues/{queue}/dead-letters/{id}": {Scope.ADMIN},
    "POST /queues/{queue}/dead-letters/redrive": {Scope.ADMIN},
    "POST /queues/{queue}/dead-letters/remove": {Scope.ADMIN},
    "GET /metrics": {Scope.ADMIN},
    "POST /try": {Scope.ADMIN},
    "GET /livez": None,
    "GET /readyz": None,
    "GET /openapi.json": None,
}
"""The scopes of which each operation needs one; None: it needs no token."""

NO_TOKEN: Final[dict[str, dict[str, str]]] = {
    "none": {},
    "basic": {hdrs.AUTHORIZATION: "Basic dXNlcjpwYXNz"},
    "in the query": {"?": RIGHT},
    "a cookie": {hdrs.COOKIE: f"token={RIGHT}"},
}
WRONG: Final = {
    "a removed line": f"Bearer {REMOVED}",
    "another": f"Bearer {made(12)}",
    "a prefix": f"Bearer {RIGHT[:-1]}",
    "half": f"Bearer {RIGHT[: len(RIGHT) // 2]}",
    "more": f"Bearer {RIGHT}x",
    "two": f"Bearer {RIGHT} {RIGHT}",
    "other case": f"Bearer {RIGHT.swapcase()}",
    "its hash": f"Bearer {digest_of(RIGHT).hex()}",
    "nothing": "Bearer ",
    "only the scheme": "Bearer",
}


def bearer(text: str) -> dict[str, str]:
    return {hdrs.AUTHORIZATION: f"Bearer {text}"}


def rules(*, tokens: tuple[Token, ...] = KEPT, **more: Any) -> AccessRules:
    return AccessRules(AccessTokens(tokens), **more)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_faulty(tmp_path) as behind, serve(behind, UploadLimits(), access=rules()) as served:
        yield served


def path_of(route: Route) -> str:
    path = route.path.replace("{queue}", "default").replace("{id}", "0" * 26).replace("{preset}", "thumbnail")
    return path.replace("{name}", "photo.jpg").replace("{filename}", "photo.jpg")


def store_away(served: Served) -> None:
    for name in ("put", "get", "head", "list", "delete"):
        served.behind.store.errors[name] = BackendUnavailable("away")


def stopping(served: Served) -> None:
    served.health.ready = "stopping"
    served.server.cut_off_uploads()


def broken(served: Served) -> None:
    for name in ("put", "get", "head", "list", "delete"):
        served.behind.store.errors[name] = RuntimeError("a bug")


SITUATIONS: Final = {
    "all is well": lambda _: None,
    "the store is away": store_away,
    "stopping": stopping,
    "bug": broken,
}


def test_the_table_has_every_operation() -> None:
    assert {f"{route.method} {route.path}" for route in ROUTES} == ALLOWED.keys()


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_the_scopes_hold_for_every_operation_and_every_token_whatever_goes_wrong(
    guarded: Served, situation: str
) -> None:
    SITUATIONS[situation](guarded)
    with capture_logs():
        await the_scopes_hold(guarded)


async def the_scopes_hold(guarded: Served) -> None:
    async def ask(route: Route, headers: dict[str, str], method: str = "") -> tuple[int, str, str]:
        headers = dict(headers)
        params = {"access_token": headers.pop("?")} if "?" in headers else {}
        async with guarded.http.request(
            method or route.method, path_of(route), headers=headers, params=params
        ) as answer:
            told = answer.headers.get(hdrs.WWW_AUTHENTICATE, "")
            body = await answer.read()
            is_problem = body and answer.content_type == "application/problem+json"
            return answer.status, (await answer.json())["code"] if is_problem else "", told

    for route in ROUTES:
        needed = ALLOWED[f"{route.method} {route.path}"]
        for name, headers in NO_TOKEN.items():
            status, code, told = await ask(route, headers)
            if needed is None:
                assert status not in (401, 403) or code.startswith("form-"), (route.name, name)
            else:
                assert (status, code, told) == (401, "unauthorized", 'Bearer realm="thumbq"'), (route.name, name)
        for name, value in WRONG.items():
            status, code, told = await ask(route, {hdrs.AUTHORIZATION: value})
            if needed is None:
                assert status not in (401, 403) or code.startswith("form-"), (route.name, name)
            else:
                expected = 'Bearer realm="thumbq", error="invalid_token"'
                assert (status, code, told) == (401, "unauthorized", expected), (route.name, name)
        for scope in Scope:
            status, code, told = await ask(route, bearer(TOKENS[scope]))
            if needed is None or scope in needed:
                assert code not in ("unauthorized", "insufficient-scope"), (route.name, scope)
                assert not told
            else:
                assert (status, code) == (403, "insufficient-scope"), (route.name, scope)
                assert told == f'Bearer realm="thumbq", error="insufficient_scope", scope="{route.scope}"'
            if route.method == hdrs.METH_GET:
                assert (await ask(route, bearer(TOKENS[scope]), hdrs.METH_HEAD))[0] == status
        _, code, _ = await ask(route, bearer(RIGHT))
        assert code not in ("unauthorized", "insufficient-scope")


@pytest.mark.parametrize(
    "query", ["", "?limit=1", "?id=x&limit=1", "?id=x&cursor=c", "?before=2026-11-29T00:00:00Z", "?ID=x"]
)
async def test_jobs_that_are_named_by_their_ids_are_no_list(guarded: Served, query: str) -> None:
    async def status(scope: str, query: str) -> int:
        async with guarded.http.get(f"/jobs{query}", headers=bearer(TOKENS[scope])) as answer:
            return answer.status

    named = f"?id={'0' * 26}&id={'1' * 26}"
    assert [await status(scope, named) for scope in ("upload", "read", "admin")] == [200, 200, 403]
    assert await status("read", query) != 403
    assert [await status(scope, query) for scope in ("upload", "admin")] == [403, 403]


async def test_a_handler_that_is_not_in_the_table_is_nobodys(guarded: Served) -> None:
    del guarded.app[TABLE]["GET", "/jobs/{id}"]
    with capture_logs():
        for headers in ({}, bearer(RIGHT)):
            async with guarded.http.get("/jobs/x", headers=headers) as answer:
                assert answer.status == 500


async def test_what_is_refused_has_stored_nothing_and_says_what_to_do(guarded: Served) -> None:
    guarded.behind.store.calls.clear()
    for headers, status, part in (
        ({}, 401, "Authorization"),
        (bearer(REMOVED), 401, "none of those that are taken here"),
        (bearer(TOKENS["read"]), 403, "This needs a token with the scope upload, which read has not."),
    ):
        async with guarded.http.post("/upload", data=form(("a.jpg", JPEG)), headers=headers) as answer:
            assert (answer.status, answer.content_type) == (status, "application/problem+json")
            assert answer.headers[hdrs.CACHE_CONTROL] == "no-store"
            assert part in (await answer.json())["detail"]
    assert not guarded.behind.store.calls
    assert await guarded.behind.waiting() == 0


async def test_an_address_or_a_method_that_there_is_not_needs_no_token(guarded: Served) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/job", 404), ("PATCH", "/upload", 405)):
        async with guarded.http.request(method, path) as answer:
            assert answer.status == status


async def test_the_scheme_may_be_in_any_case_and_two_headers_are_none(guarded: Served) -> None:
    head = "GET /jobs/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    assert answers(await guarded.exchange(f"{head}AUTHORIZATION: bEARER  {RIGHT}\r\n\r\n".encode())) == [404]
    twice = f"Authorization: Bearer {RIGHT}\r\n" * 2
    assert answers(await guarded.exchange(f"{head}{twice}\r\n".encode())) == [401]


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [(None, 401, "unauthorized"), (REMOVED, 401, "unauthorized"), (TOKENS["read"], 403, "insufficient-scope")],
)
async def test_a_refusal_comes_before_the_body_and_can_be_read_after_20_mb(
    guarded: Served, token: str | None, status: int, code: str
) -> None:
    length = 20 << 20
    authorization = "" if token is None else f"Authorization: Bearer {token}\r\n"
    head = f"POST /upload HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: {length}\r\n"
    for expecting in ("", "Expect: 100-continue\r\n"):
        async with await anyio.connect_tcp(guarded.host, guarded.port) as stream:
            await stream.send(f"{head}{expecting}\r\n".encode())
            with within(5):
                assert answers(await stream.receive()) == [status], "nobody is asked to send the body"
    answer = await guarded.exchange(f"{head}Connection: close\r\n\r\n".encode(), bytes(length))
    assert document(answer)["code"] == code


@pytest.mark.parametrize("public", [True, False])
async def test_renditions_may_be_public_and_are_no_shared_caches_business_else(tmp_path: Path, *, public: bool) -> None:
    async with (
        open_faulty(tmp_path) as behind,
        serve(behind, UploadLimits(), access=rules(public_renditions=public)) as served,
    ):
        async with served.http.post("/upload", data=form(("a.jpg", JPEG)), headers=bearer(RIGHT)) as answer:
            job_id = (await answer.json())["data"]["jobs"][0]["id"]
        await finish(served, job_id)
        async with served.http.get(f"/jobs/{job_id}") as answer:
            assert answer.status == 401, "the state of a job is no rendition"
        for headers, status in (({}, 200 if public else 401), (bearer(REMOVED), 200 if public else 401)):
            async with served.http.get(f"/jobs/{job_id}/thumbnail", headers=headers) as answer:
                assert answer.status == status
        async with served.http.get(f"/jobs/{job_id}/thumbnail", headers=bearer(RIGHT)) as answer:
            assert answer.status == 200
            assert answer.headers[hdrs.CACHE_CONTROL].startswith("public" if public else "private")


async def test_an_open_service_takes_whatever_a_proxy_puts_into_authorization(served: Served) -> None:
    job_id = await uploaded(served)
    async with served.http.get(f"/jobs/{job_id}", headers=bearer("a.jwt.of-the-balancer")) as answer:
        assert answer.status == 200


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> Iterator[list[EventDict]]:
    """Return all lines that thumbq logs; caplog has those of all libraries, at every level."""
    loop_logger = logging.getLogger("asyncio")
    with caplog.at_level(0), caplog.at_level(0, loop_logger.name), capture_logs() as lines:
        yield lines


COOKIE: Final = "session=COOKIE-OF-A-CLIENT"
QUERY: Final = "QUERY-OF-A-CLIENT"


async def test_no_token_no_cookie_and_no_query_is_ever_logged(
    guarded: Served, everything: list[EventDict], caplog: pytest.LogCaptureFixture
) -> None:
    for situation in (None, store_away, broken, stopping):
        if situation is not None:
            situation(guarded)
        for route in ROUTES:
            for token in (*TOKENS.values(), REMOVED):
                headers = bearer(token) | {hdrs.COOKIE: COOKIE}
                async with guarded.http.request(
                    route.method, path_of(route), params={"q": QUERY}, headers=headers
                ) as answer:
                    await answer.read()
    for head in _unreadable():
        assert answers(await guarded.exchange(head, half_close=True))[0] >= 400
    said = "\n".join([*map(str, everything), caplog.text, *(str(record.__dict__) for record in caplog.records)])
    assert "http.request" in said
    assert "request.unreadable" in said
    for secret in (*TOKENS.values(), REMOVED, COOKIE, QUERY):
        assert secret[:30] not in said
    names = {line["token"] for line in everything if line["event"] == "http.request" and "token" in line}
    assert names == TOKENS.keys()


def _unreadable() -> Iterator[bytes]:
    """Return requests with secrets in them that aiohttp's parser refuses."""
    token, cookie, query, end = RIGHT, COOKIE, QUERY, " HTTP/1.1\r\nHost: x\r\n"
    long = 300
    for text in (
        f"GET /jobs?q={query} HTTQ/1.1\r\nHost: x\r\n",
        f"GET /jobs?q={query}\x01{end}",
        f"GET http://[::/nothing?q={query}{end}",
        f"GET http://h:99999/nothing?q={query}{end}",
        f"GET /nothing?{query * 600}{end}",
        f"GET /nothing{end}Cookie: {cookie * long}\r\n",
        f"GET /nothing{end}Authorization: Bearer {token * long}\r\n",
        f"GET /nothing{end}Authorization: Bearer {token}\x01\r\n",
        f"GET /nothing{end}Authorization : Bearer {token}\r\n",
        f"GET /nothing{end}Authorization Bearer {token}\r\n",
        f"GET /nothing{end}Cookie: {cookie}\x00\r\n",
        f"GET /nothing{end}Content-Length: {token}\r\n",
        f"POST /upload{end}Transfer-Encoding: chunked\r\n\r\n{token}\r\n",
    ):
        yield f"{text}\r\n".encode("latin-1")


async def test_what_the_parser_refuses_is_not_sent_back_either(guarded: Served) -> None:
    for head in _unreadable():
        answer = await guarded.exchange(head, half_close=True)
        assert not any(secret[:30].encode() in answer for secret in (RIGHT, COOKIE, QUERY))


async def test_tokens_that_are_put_in_force_count_at_once_and_those_that_are_gone_no_more(tmp_path: Path) -> None:
    tokens = AccessTokens(KEPT)
    async with open_faulty(tmp_path) as behind, serve(behind, UploadLimits(), access=AccessRules(tokens)) as served:

        async def status(token: str) -> int:
            async with served.http.get("/jobs/x", headers=bearer(token)) as answer:
                return answer.status

        assert (await status(RIGHT), await status(REMOVED)) == (404, 401)
        tokens.change(parse(f"new:read:{digest_of(REMOVED).hex()}")[0])
        assert (await status(RIGHT), await status(REMOVED)) == (401, 404)
