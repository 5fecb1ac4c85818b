"""The page behind a proxy and at a path: nothing is asked for beside it, and what is away for a while is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from page.front import front
from support.pictures.images import photo_jpeg

if TYPE_CHECKING:
    from collections.abc import Callable

    from page.visit import Visit
    from support.replicas.place import Place

pytestmark = pytest.mark.long

ASKS: Final = """() => {
    const closing = new Event('beforeunload', {cancelable: true});
    dispatchEvent(closing);
    return closing.defaultPrevented;
}"""
LOST: Final = ("ERR_EMPTY_RESPONSE", "ERR_CONNECTION", "ERR_INCOMPLETE")


async def test_a_replica_that_goes_away_is_said_and_waited_for_and_nothing_leaves_the_path(
    place: Place, visit: Callable[..., Any]
) -> None:
    async with front() as proxy:
        replica = await place.replica(public_url=proxy.address)
        proxy.target = replica.url
        page: Visit = await visit(f"{proxy.address}/", errors=LOST)
        await page.page.wait_for_selector(".gallery-state p")
        assert not await page.page.evaluate(ASKS)
        replica.process.kill()
        replica.process.wait()
        await page.drop(("photo.jpg", photo_jpeg(400, 300)))
        await page.count(".upload[data-state=paused]", 1)
        await page.page.wait_for_selector("text=thumbq does not answer")
        assert await page.page.evaluate(ASKS)
        proxy.target = (await place.replica(public_url=proxy.address)).url
        await page.count(".upload[data-state=done] .picture", 1)
        assert await page.page.inner_text(".away") == ""
        assert not await page.page.evaluate(ASKS)
        keys = [await request.header_value("idempotency-key") for request in page.uploads]
        assert len(keys) > 1
        assert len(set(keys)) == 1
        await page.page.click("text=photo.jpg >> nth=0")
        await page.count(".pictures .picture", 2)
        links = await page.page.locator(".links code").all_inner_texts()
        assert all(f"{proxy.address}/" in link for link in links)
        assert not proxy.astray
