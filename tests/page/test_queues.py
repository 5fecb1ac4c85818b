"""The queues in a real browser: two replicas behind a balancer, on S3 and SQS of an emulator."""

from __future__ import annotations

import itertools
import os
import re
import time
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import anyio
import pytest
from aiohttp import web

from support.patience import patience, until
from support.pictures import images
from support.replicas.place import Place, opened, set_up
from support.servers.fault_proxy import FaultProxy
from thumbq.core import keys, message
from thumbq.core.deadletter import Note
from thumbq.core.job import JobRequest, ObjectRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from playwright.async_api import Page

    from page.visit import Visit

pytestmark = pytest.mark.long

SHOTS: Final = "PAGE_SCREENSHOTS"
"""The directory in which pictures of the page are kept, if the variable is set."""


HIDDEN: Final = """(state) => {
    Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
}"""


@asynccontextmanager
async def balanced(urls: Sequence[str]) -> AsyncIterator[str]:
    """Serve as a balancer does that sends each request to another replica; return its address."""
    turns = itertools.cycle(urls)
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def forward(request: web.BaseRequest) -> web.StreamResponse:
            headers = {name: value for name, value in request.headers.items() if name.lower() != "connection"}
            url, body = next(turns) + str(request.rel_url), await request.read()
            async with session.request(request.method, url, headers=headers, data=body) as answer:
                kept = {
                    name: value
                    for name, value in answer.headers.items()
                    if name.lower() not in ("transfer-encoding", "connection", "content-length")
                }
                return web.Response(status=answer.status, headers=kept, body=await answer.read())

        runner = web.ServerRunner(web.Server(forward, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def bury(place: Place, number: int) -> list[str]:
    """Store whole originals and bury messages of theirs, as after a fault that is mended by now; return their ids."""
    ids = [keys.new_id(int(time.time() * 1000), number) for number in range(number)]
    async with place.backend() as backend:
        assert backend.dead_letters is not None
        for each in ids:
            source = ObjectRef(backend.bucket, keys.upload_key(each))
            await backend.store.put(source, images.photo_jpeg(320, 240), content_type="image/jpeg")
            note = Note("render-crashed", "the process that rendered it ended", f"m-{each}", 2)
            await backend.dead_letters.send(message.encode(JobRequest(source)), note.encode())
    return ids


def looks(proxy: FaultProxy) -> int:
    """Return how often the dead-letter queue was received from."""
    return sum(asked.operation == "ReceiveMessage" and "-dlq" in asked.body for asked in proxy.asked)


async def until_quiet(proxy: FaultProxy) -> None:
    """Wait until the replicas' own look at the dead letters, at their start, is over."""
    seen = 0

    async def over() -> bool:
        nonlocal seen
        before, seen = seen, looks(proxy)
        await anyio.sleep(patience(2.5))
        return before == seen > 0

    await until(over, within_s=30, what="an end of the first look")


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    kept = os.environ.get(SHOTS)
    directory = Path(kept) if kept else tmp_path
    directory.mkdir(exist_ok=True)
    return directory


async def test_two_replicas_have_a_line_each_and_a_dead_letter_with_its_picture_is_redriven_and_done(
    tmp_path: Path, ministack_url: str, visit: Callable[..., Any], shots: Path
) -> None:
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        opened(tmp_path, await set_up(ministack_url)) as place,
    ):
        proxy = FaultProxy(ministack_url, session, Random(0))
        try:
            replicas = [
                await place.replica(endpoint=await proxy.endpoint(name), wait_time_s=1, processes=1)
                for name in ("one", "two")
            ]
            for replica in replicas:
                await place.finished(replica, await place.upload(replica, images.small_jpeg()), within_s=20)
            [first, *others] = await bury(place, 3)
            await until_quiet(proxy)
            names = [replica.events("service.ready")[0]["replica"] for replica in replicas]
            async with balanced([replica.url for replica in replicas]) as url:
                opened_page: Visit = await visit(f"{url}/#/queues")
                await two_lines(opened_page.page, names, proxy)
                await looked_at(opened_page.page, proxy, (first, *others))
                await opened_page.accessible()
                await opened_page.shot(shots, "queues-1280")
                await on_a_phone(await visit(f"{url}/#/queues", size="phone", locale="ja-JP"), shots)
                await redriven(opened_page.page, place, first)
                await purged(opened_page.page, place)
                await paused(opened_page.page)
                await opened_page.page.close()
        finally:
            await proxy.close()


async def test_while_nobody_looks_nothing_is_asked(place: Place, visit: Callable[..., Any]) -> None:
    replica = await place.replica(processes=1)
    opened_page: Visit = await visit(f"{replica.url}/#/queues")
    page, asked = opened_page.page, 0

    def note(url: str) -> None:
        nonlocal asked
        asked += url.endswith("/queues")

    page.on("request", lambda request: note(request.url))
    await page.locator(".queue").wait_for()
    await page.clock.install()
    await page.get_by_role("button", name="Hold").click()
    asked = 0
    await page.clock.fast_forward(60_000)
    assert asked == 0
    await page.get_by_role("button", name="Hold").click()
    await until(lambda: asked == 1, within_s=5, what="a look at once")
    await page.evaluate(HIDDEN, "hidden")
    await page.clock.fast_forward(60_000)
    assert asked == 1
    await page.evaluate(HIDDEN, "visible")
    await until(lambda: asked == 2, within_s=5, what="a look at once")


async def test_a_dead_letter_that_is_gone_is_told_of_and_the_others_go(place: Place, visit: Callable[..., Any]) -> None:
    replica = await place.replica(processes=1)
    for number in range(4):
        job_id = await place.upload(replica, images.truncated_jpeg(), f"{number}.jpg")
        await place.finished(replica, job_id, within_s=20)
    opened_page: Visit = await visit(f"{replica.url}/#/queues")
    page = opened_page.page
    await page.locator(".dead > summary").click()
    await page.get_by_role("button", name="Look").click()
    letters = page.locator(".letters li")
    await opened_page.count(".letters li", 4)
    # thumbq sends two originals at a time; the page asks for one after the other.
    for number in range(4):
        await letters.nth(number).scroll_into_view_if_needed()
        picture = letters.nth(number).locator("img")
        await until(partial(picture.evaluate, "image => image.naturalWidth"), within_s=10, what="its picture")
    gone = (await letters.first.get_attribute("id") or "").removeprefix("letter-")
    url = f"{replica.url}/queues/default/dead-letters/remove"
    async with place.session.post(url, json={"ids": [gone]}) as answer:
        assert (await answer.json())["data"]["number"] == 1
    await page.get_by_label("Choose all shown").check()
    await page.get_by_role("button", name="Redrive 4", exact=True).click()
    dialog = page.get_by_role("dialog")
    assert "Redrive 4 dead letters?" in await dialog.inner_text()
    await dialog.get_by_role("button", name="Redrive 4").click()
    await opened_page.count(".letters li", 1)
    assert "It is gone" in await letters.inner_text()
    assert await page.locator(".dead [role=status]").inner_text() == "3 redriven"


async def two_lines(page: Page, names: Sequence[str], proxy: FaultProxy) -> None:
    before, asked = looks(proxy), 0

    def note(path: str) -> None:
        nonlocal asked
        asked += path.endswith("/queues")

    page.on("request", lambda request: note(request.url))
    legend = page.locator(".legend li")
    await until(legend.count, within_s=10, what="a line")

    async def both() -> bool:
        return sorted(await legend.all_inner_texts()) == sorted(names)

    await until(both, within_s=20, what="a line of each replica")
    assert await page.locator(".plots canvas").count() == 4
    assert "2 replicas have answered so far" in await page.inner_text("main")
    await page.locator(".plots summary").click()
    cells = page.locator(".plots tbody td:nth-of-type(2)")

    async def as_a_table() -> bool:
        return sum(int(text) for text in await cells.all_inner_texts()) == len(names)

    await until(as_a_table, within_s=30, what="the same as a table, once a step is over")
    await until(lambda: asked >= 4, within_s=30, what="four looks at the queues")
    assert looks(proxy) == before, "nothing is received from the dead-letter queue unless somebody asks"


async def looked_at(page: Page, proxy: FaultProxy, ids: Sequence[str]) -> None:
    before = looks(proxy)
    await page.locator(".dead > summary").click()
    await page.get_by_role("button", name="Look").click()
    letters = page.locator(".letters li")
    await until(letters.count, within_s=20, what="dead letters")
    assert await letters.count() == 3
    assert looks(proxy) > before
    for each in ids:
        # Those that can be seen are loaded, one after another.
        await letters.filter(has_text=each).scroll_into_view_if_needed()
        picture = page.locator(f".letters img[src$='/originals/{each}']")
        await until(partial(picture.evaluate, "image => image.naturalWidth"), within_s=10, what="its picture")


async def on_a_phone(visit: Visit, shots: Path) -> None:
    """See that it fits, also with twice as large letters, and that nothing is wrong in Japanese."""
    await visit.page.locator(".plots canvas").first.wait_for()
    await visit.page.locator(".plots summary").click()
    await visit.page.locator(".dead > summary").click()
    await visit.page.get_by_role("button", name="見る").click()
    await visit.count(".letters li", 3, within_s=20)
    await visit.accessible()
    await visit.shot(shots, "queues-390-ja")
    for size in ("100%", "200%"):
        await visit.page.evaluate("size => void (document.documentElement.style.fontSize = size)", size)
        widths = await visit.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], size
    await visit.page.close()


async def redriven(page: Page, place: Place, job_id: str) -> None:
    letter = page.locator(".letters li").filter(has_text=job_id)
    await letter.locator("input").check()
    await page.get_by_role("button", name="Redrive 1", exact=True).click()
    dialog = page.get_by_role("dialog")
    assert "Redrive 1 dead letter?" in await dialog.inner_text()
    await dialog.get_by_role("button", name="Redrive 1").click()
    await letter.wait_for(state="detached")
    assert (await place.finished(place.replicas[0], job_id, within_s=20))["status"] == "done"


async def purged(page: Page, place: Place) -> None:
    async def dead(number: int) -> bool:
        return (await place.counts()).dead == number

    await until(lambda: dead(2), within_s=20, what="two dead letters")
    await page.get_by_role("button", name="Purge all…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Cancel").click()
    assert await dead(2), "it asks"
    await page.get_by_role("button", name="Purge all…").click()
    assert re.search(r"Delete [23] dead letters\?", await dialog.inner_text())
    await dialog.get_by_role("button", name=re.compile("Delete")).click()
    await until(lambda: dead(0), within_s=20, what="none left")


async def paused(page: Page) -> None:
    await page.get_by_role("button", name="Pause").click()
    await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    await page.get_by_text("paused since").wait_for()
    await page.get_by_role("button", name="Resume").click()
    await page.get_by_text("paused since").wait_for(state="detached")
