"""The page where clients need tokens: log-in, scopes, the end of a session, and pages of other origins."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import anyio
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec

from page.front import front
from page.slowline import slow_line
from support.patience import until
from support.pictures.images import photo_jpeg
from support.servers.certificates import server_context, signed
from thumbq.core.token import RANDOM_BYTES, Scope, Token, digest_of, new_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from page.visit import Visit
    from support.replicas.place import Place
    from support.replicas.replica import Replica

pytestmark = pytest.mark.long

ALL, UPLOADS, LATER, WRONG = (new_token(bytes([number]) * RANDOM_BYTES) for number in range(4))

HOST: Final = "pictures.test"

FROM_ELSEWHERE: Final = """async (thumbq) => {
    const form = new FormData();
    form.append('file', new Blob([new Uint8Array([255, 216, 255, 224, 0, 0, 0, 0])]), 'a.jpg');
    const options = {credentials: 'include'};
    const status = (answer) => answer.type === 'opaque' ? 'opaque' : answer.status;
    const asked = [
        fetch(`${thumbq}/jobs`, options),
        fetch(`${thumbq}/session`, {...options, method: 'DELETE'}),
        fetch(`${thumbq}/upload`, {...options, method: 'POST', body: form}),
        fetch(`${thumbq}/upload`, {...options, method: 'POST', body: form, mode: 'no-cors'}),
        fetch(`${thumbq}/jobs`, {...options, mode: 'no-cors'}),
    ];
    return (await Promise.allSettled(asked)).map(({value}) => value ? status(value) : 'refused');
}"""


def line(text: str, *scopes: Scope, name: str = "people") -> str:
    return Token(name, frozenset(scopes), digest_of(text)).line()


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(f"{line(ALL, *Scope)}\n{line(UPLOADS, Scope.UPLOAD, name='uploads')}\n")
    return file


@pytest.fixture
async def replica(place: Place, tokens: Path) -> Replica:
    return await place.replica(tokens_file=tokens, wait_for="listening on")


async def log_in(visit: Visit, token: str) -> None:
    await visit.page.fill("#token", token)
    await visit.page.keyboard.press("Enter")


async def test_a_token_is_typed_in_once_and_when_it_goes_another_is_asked_for_and_all_goes_on(
    replica: Replica, tokens: Path, visit: Callable[..., Any]
) -> None:
    page: Visit = await visit(replica.url, errors=["401"])
    await page.page.wait_for_selector("dialog #token")
    await page.accessible()
    assert await page.page.locator(".panel, .card").count() == 0
    await log_in(page, WRONG)
    await page.page.wait_for_selector("text=none of those that are taken here")
    await page.accessible()
    await log_in(page, ALL)
    await page.page.wait_for_selector(".panel")
    assert await page.page.evaluate("() => document.cookie") == ""
    await page.page.reload()
    await page.page.wait_for_selector(".panel")
    assert await page.page.locator("dialog").count() == 0

    await anyio.Path(tokens).write_text(f"{line(LATER, *Scope)}\n")
    replica.signal(signal.SIGHUP)
    await until(lambda: replica.events("settings.read"), within_s=5, what="the new tokens")
    await page.drop(("photo.jpg", photo_jpeg(400, 300)))
    await page.page.wait_for_selector("dialog #token")
    await log_in(page, LATER)
    await page.count(".upload[data-state=done] .picture", 1)
    await page.page.click("text=Log out")
    await page.page.wait_for_selector("dialog #token")


async def test_who_may_upload_only_sees_the_own_pictures_and_no_more(
    replica: Replica, visit: Callable[..., Any]
) -> None:
    page: Visit = await visit(replica.url, errors=["401"])
    await page.page.wait_for_selector("dialog #token")
    await log_in(page, UPLOADS)
    await page.page.wait_for_selector("text=Those of others need a token with the scope read")
    assert await page.page.locator("nav a").count() == 0
    await page.drop(("photo.jpg", photo_jpeg(400, 300)))
    await page.count(".card .picture", 1)
    await page.accessible()
    await page.page.click("text=photo.jpg >> nth=0")
    await page.count(".pictures .picture", 1)
    assert await page.page.locator("text=Delete").count() == 0


async def test_a_page_of_another_origin_can_do_nothing_with_the_cookie(
    replica: Replica, visit: Callable[..., Any], other: str
) -> None:
    page: Visit = await visit(replica.url, errors=["401"])
    await page.page.wait_for_selector("dialog #token")
    await log_in(page, ALL)
    await page.page.wait_for_selector(".panel")
    elsewhere = await page.page.context.new_page()
    await elsewhere.goto(other)
    # The same site, as ports do not count: the browser sends the cookie.
    assert await elsewhere.evaluate(FROM_ELSEWHERE, replica.url) == ["refused"] * 3 + ["opaque"] * 2
    told = {(each["method"], each["path"], each["status"]) for each in replica.events("http.request")[-5:]}
    # A preflight is answered, and allows nothing.
    assert told == {("GET", "/jobs", 401), ("OPTIONS", "/session", 204), ("POST", "/upload", 403)}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {ALL}"}) as http,
        http.get(f"{replica.url}/jobs") as answer,
    ):
        assert (await answer.json())["data"]["jobs"] == []
    await page.page.reload()
    await page.page.wait_for_selector(".panel")


@pytest.mark.parametrize("name", ["__Host-thumbq", "thumbq"], ids=["https", "http"])
async def test_the_cookie_is_as_safe_as_the_address(
    place: Place, tokens: Path, visit: Callable[..., Any], other: str, name: str
) -> None:
    is_safe = name != "thumbq"
    tls = None
    if is_safe:
        ours, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        authority = signed("authority", ours, by=None)
        tls = server_context(signed(HOST, key, by=(authority.subject, ours)), key, tokens.parent)
    async with front(host=HOST, tls=tls) as proxy:
        replica = await place.replica(
            tokens_file=tokens,
            public_url=proxy.address,
            allowed_hosts=HOST,
            trusted_proxies="127.0.0.1",
            wait_for="listening on",
        )
        proxy.target = replica.url
        page: Visit = await visit(f"{proxy.address}/", errors=["401"], ignore_https_errors=True)
        await page.page.wait_for_selector("dialog #token")
        # What comes before the log-in waits for it.
        await page.drop(("photo.jpg", photo_jpeg(400, 300)))
        await log_in(page, ALL)
        await page.count(".upload[data-state=done] .picture", 1)
        [cookie] = await page.page.context.cookies()
        safe = (cookie["secure"], cookie["httpOnly"], cookie["sameSite"], cookie["path"])
        assert (cookie["name"], *safe) == (name, is_safe, True, "Strict", "/")
        # Somebody else's page at the same name.
        elsewhere = await page.page.context.new_page()
        await elsewhere.goto(other.replace("127.0.0.1", HOST))
        assert await elsewhere.evaluate(FROM_ELSEWHERE, proxy.address) == ["refused"] * 3 + ["opaque"] * 2
        await page.page.reload()
        await page.count(".card", 1)


async def test_a_session_that_ends_while_uploads_are_under_way_asks_once_and_all_go_on(
    replica: Replica, tokens: Path, visit: Callable[..., Any]
) -> None:
    async with slow_line(replica.url, 1 << 20) as url:
        page: Visit = await visit(url, errors=["401"])
        await page.page.wait_for_selector("dialog #token")
        await log_in(page, ALL)
        await page.page.wait_for_selector(".panel")
        await page.drop(*((f"{number}.jpg", photo_jpeg(400, 300)) for number in range(5)), zeros=1 << 20)
        await page.page.wait_for_function("() => document.querySelector('progress').value > 0")
        await anyio.Path(tokens).write_text(f"{line(LATER, *Scope)}\n")
        replica.signal(signal.SIGHUP)
        await page.page.wait_for_selector("dialog #token")
        await log_in(page, LATER)
        await page.count(".upload[data-state=done] .picture", 5, within_s=20)
        assert await page.page.locator("dialog").count() == 0
        await page.page.close()


async def test_too_many_wrong_tokens_and_a_browser_without_cookies_are_told_so(
    place: Place, tokens: Path, visit: Callable[..., Any]
) -> None:
    async with front() as proxy:
        replica = await place.replica(tokens_file=tokens, wait_for="listening on")
        proxy.target = replica.url
        proxy.left_out.add("set-cookie")
        page: Visit = await visit(f"{proxy.address}/", errors=["401", "429"])
        await page.page.wait_for_selector("dialog #token")
        await log_in(page, ALL)
        await page.page.wait_for_selector("text=has kept no cookie")
        for _ in range(5):
            async with page.page.expect_response("**/session") as refused:
                await log_in(page, WRONG)
            assert (await refused.value).status == 401
        async with page.page.expect_response("**/session") as refused:
            await log_in(page, WRONG)
        assert (await refused.value).status == 429
        said = (await (await refused.value).json())["detail"]
        await page.page.wait_for_selector(f"dialog >> text={said}")


@pytest.fixture
async def other() -> AsyncIterator[str]:
    """Serve an empty page of another origin."""

    async def page(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="<!doctype html><title>Another site</title>", content_type="text/html")

    runner = web.ServerRunner(web.Server(page, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
