"""Ten thousand jobs in the gallery: few elements, little memory, and smooth scrolling."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from support.pictures.images import small_jpeg

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.async_api import Route

    from page.visit import Visit
    from support.figures import AtMost
    from support.replicas.place import Place

JOBS: Final = 10_000

SCROLL: Final = """async () => {
    const frames = [];
    let last = await new Promise(requestAnimationFrame);
    for (let frame = 0; frame < 240; frame += 1) {
        scrollBy(0, 60);
        const now = await new Promise(requestAnimationFrame);
        frames.push(now - last);
        last = now;
    }
    return frames.reduce((sum, frame) => sum + frame, 0) / frames.length;
}"""

TO_THE_END: Final = """async () => {
    scrollTo(0, document.documentElement.scrollHeight);
    await new Promise(requestAnimationFrame);
    const last = [...document.querySelectorAll('.card')].at(-1);
    return Number(last.getAttribute('aria-setsize'));
}"""


def job(number: int) -> dict[str, Any]:
    job_id = f"7{number:025d}"
    return {
        "id": job_id,
        "status": "done",
        "url": f"/jobs/{job_id}",
        "original": {
            "filename": f"photo {number}.jpg",
            "bytes": 4_000_000,
            "content_type": "image/jpeg",
            "width": 4000,
            "height": 3000,
            "frames": 1,
            "dominant_color": "#a0b1c2",
            "thumbhash": "nxcSRQRwh4h3iHiHh4d4iH+HJ4CI",
        },
        "renditions": {
            "card": {
                "url": f"/jobs/{job_id}/card",
                "width": 320,
                "height": 240,
                "bytes": 9000,
                "content_type": "image/jpeg",
            }
        },
    }


async def many(page: Visit) -> None:
    """Answer as a service with so many jobs would."""

    async def answer(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        first = int(query["cursor"][0][1:]) + 1 if "cursor" in query else 0
        jobs = [job(number) for number in range(first, min(first + 100, JOBS))]
        data = {"jobs": jobs} | ({"next": jobs[-1]["id"]} if first + 100 < JOBS else {})
        await route.fulfill(
            body=json.dumps({"success": True, "message": "", "data": data}), content_type="application/json"
        )

    picture = small_jpeg(320, 240)
    await page.page.route("**/jobs?limit=*", answer)
    await page.page.route("**/jobs/*/card", lambda route: route.fulfill(body=picture, content_type="image/jpeg"))
    await page.page.reload()
    await page.page.wait_for_selector(".card .picture")


@pytest.mark.long
async def test_only_the_cards_that_can_be_seen_are_there_and_memory_is_bounded(
    place: Place, visit: Callable[..., Any]
) -> None:
    page: Visit = await visit((await place.replica()).url)
    await many(page)
    for _ in range(JOBS):
        if await page.page.evaluate(TO_THE_END) == JOBS:
            break
    assert await page.page.locator(".card").count() <= 60
    assert await page.page.inner_text(".card >> nth=-1 >> .name") == f"photo {JOBS - 1}.jpg"
    session = await page.page.context.new_cdp_session(page.page)
    await session.send("HeapProfiler.collectGarbage")
    assert (await session.send("Runtime.getHeapUsage"))["usedSize"] < 30 << 20
    assert await page.page.evaluate("() => document.querySelectorAll('*').length") < 1000


@pytest.mark.measured
async def test_scrolling_stays_above_fifty_frames_a_second(
    place: Place, visit: Callable[..., Any], at_most: AtMost
) -> None:
    page: Visit = await visit((await place.replica()).url)
    await many(page)
    await page.page.evaluate(SCROLL)
    at_most("milliseconds a frame while 10,000 jobs are scrolled", await page.page.evaluate(SCROLL), 20)
