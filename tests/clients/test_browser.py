"""A real browser: what pages of other origins may do to thumbq, and what of its answers they can read.

Nothing in the browser is intercepted: playwright would answer the preflights then.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from support.patience import patience, until
from support.pictures.images import small_jpeg
from support.programs import program

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from support.replicas.place import Place
    from support.replicas.replica import Replica

pytestmark = pytest.mark.long

BIG: Final = 20 << 20
MIB: Final = 1 << 20

TOOLS: Final = """
    const picture = (size) => {
        const form = new FormData()
        form.append('file', new Blob([size === undefined ? window.jpeg : new Uint8Array(size)]), 'photo.jpg')
        return form
    }
    const byFetch = async (method, path, {body, headers, mode} = {}) => {
        try {
            const answer = await fetch(window.thumbq + path, {method, body, headers, mode})
            return {status: answer.status, type: answer.type, headers: Object.fromEntries(answer.headers),
                    text: await answer.text()}
        } catch (error) {
            return {error: String(error)}
        }
    }
    const byXhr = (method, path, {body, headers} = {}) => new Promise((resolve) => {
        const xhr = new XMLHttpRequest()
        xhr.open(method, window.thumbq + path)
        Object.entries(headers ?? {}).forEach(([name, value]) => xhr.setRequestHeader(name, value))
        const names = ['Location', 'X-Request-Id', 'Retry-After', 'RateLimit', 'RateLimit-Policy']
        xhr.onload = () => resolve({status: xhr.status, text: xhr.responseText, headers: Object.fromEntries(
            names.map((name) => [name.toLowerCase(), xhr.getResponseHeader(name)]))})
        xhr.onerror = () => resolve({error: 'error'})
        xhr.send(body)
    })
"""


async def on_page(browser: Browser, address: str, thumbq: str) -> Page:
    """Open a page with a picture and the address of thumbq."""
    page = await browser.new_page()
    await page.goto(address)
    await page.evaluate(
        "([thumbq, jpeg]) => { window.thumbq = thumbq; window.jpeg = new Uint8Array(jpeg) }",
        [thumbq, list(small_jpeg())],
    )
    return page


async def do(page: Page, script: str) -> Any:
    """Run the body of an async function on a page, and return what it returns."""
    return await page.evaluate("async () => {" + TOOLS + script + "}")


async def jobs(place: Place, replica: Replica) -> list[str]:
    async with place.session.get(f"{replica.url}/jobs") as answer:
        return [job["id"] for job in (await answer.json())["data"]["jobs"]]


def refused(replica: Replica, code: str) -> int:
    """Count the requests that were refused with this code, by the log."""
    return sum(code in json.dumps(line) for line in replica.events("http.request"))


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_a_page_of_another_origin_changes_nothing(
    place: Place, browser: Browser, other_port: int, name: str
) -> None:
    replica = await place.replica()
    job_id = await place.upload(replica, small_jpeg())
    await place.finished(replica, job_id, within_s=20)
    page = await on_page(browser, f"http://{name}:{other_port}/", replica.url)
    tries = await do(
        page,
        f"""
        const job = '/jobs/{job_id}'
        return [
            await byFetch('POST', '/upload', {{body: picture()}}),
            await byXhr('POST', '/upload', {{body: picture()}}),
            await byFetch('POST', '/upload', {{body: picture(), headers: {{'Idempotency-Key': 'one'}}}}),
            await byFetch('PUT', '/upload/photo.jpg', {{body: window.jpeg}}),
            await byXhr('PUT', '/upload/photo.jpg', {{body: window.jpeg}}),
            await byFetch('POST', '/uploads', {{body: '{{"content_type": "image/jpeg"}}'}}),
            await byFetch('DELETE', job),
            await byXhr('DELETE', job),
            await byFetch('POST', job + '/webhook'),
            await byFetch('GET', job),
        ]
        """,
    )
    assert all(set(answer) == {"error"} for answer in tries), tries
    # What needs no leave to be sent has been sent; the browser only keeps the answer to itself.
    [opaque] = await do(page, "return [await byFetch('POST', '/upload', {body: picture(), mode: 'no-cors'})]")
    assert opaque["type"] == "opaque"
    assert await do(page, "return navigator.sendBeacon(window.thumbq + '/upload', picture())")
    await do(
        page,
        """
        const form = document.createElement('form')
        Object.assign(form, {method: 'post', enctype: 'multipart/form-data', action: window.thumbq + '/upload'})
        const input = document.createElement('input')
        const files = new DataTransfer()
        files.items.add(new File([window.jpeg], 'photo.jpg'))
        Object.assign(input, {type: 'file', name: 'file'})
        input.files = files.files
        form.append(input)
        document.body.append(form)
        form.submit()
        """,
    )
    await until(lambda: refused(replica, "cross-site") >= 7, within_s=10, what="all refusals in the log")
    assert await jobs(place, replica) == [job_id]
    assert (await place.job(replica, job_id))["status"] == "done"


async def test_a_page_of_a_known_origin_uploads_deletes_and_reads_all_answers(
    place: Place, browser: Browser, other_port: int
) -> None:
    origin = f"http://localhost:{other_port}"
    replica = await place.replica(cors_origins=origin, rate_limit="1000/minute")
    page = await on_page(browser, origin, replica.url)
    job: dict[str, Any] = {}
    for way in ("byFetch", "byXhr"):
        uploaded = await do(page, f"return await {way}('POST', '/upload', {{body: picture()}})")
        assert uploaded["status"] == 201
        [job] = json.loads(uploaded["text"])["data"]["jobs"]
        assert uploaded["headers"]["location"] == job["url"]
        put = await do(page, f"return await {way}('PUT', '/upload/photo.jpg', {{body: window.jpeg}})")
        assert put["status"] == 201
        problem = await do(page, f"return await {way}('POST', '/upload', {{body: new FormData()}})")
        assert (problem["status"], json.loads(problem["text"])["code"]) == (400, "no-file")
        assert problem["headers"]["x-request-id"]
        assert problem["headers"]["ratelimit"].startswith('"default";r=')
        assert problem["headers"]["ratelimit-policy"] == '"default";q=1000;w=60'
    held = await do(page, f"return await byFetch('GET', '{job['url']}', {{headers: {{Prefer: 'wait=30'}}}})")
    assert json.loads(held["text"])["data"]["status"] == "done"
    assert held["headers"]["preference-applied"] == "wait=30"
    again = {"headers": {"If-None-Match": held["headers"]["etag"]}}
    assert (await do(page, f"return await byFetch('GET', '{job['url']}', {json.dumps(again)})"))["status"] in {200, 304}
    shown = await do(
        page,
        f"""
        const image = new Image()
        image.src = window.thumbq + '{job["url"]}/thumbnail'
        await image.decode()
        return [image.naturalWidth, image.naturalHeight]
        """,
    )
    assert shown == [64, 48]
    key = "{body: picture(), headers: {'Idempotency-Key': 'one'}}"
    tries = await do(page, f"return [await byFetch('POST', '/upload', {key}), await byXhr('POST', '/upload', {key})]")
    assert tries[0]["text"] == tries[1]["text"]
    assert len(await jobs(place, replica)) == 5
    for way in ("byFetch", "byXhr"):
        assert (await do(page, f"return await {way}('DELETE', '{job['url']}')"))["status"] == 204
        gone = await do(page, f"return await {way}('GET', '{job['url']}')")
        assert (gone["status"], json.loads(gone["text"])["code"]) == (410, "deleted")
    assert len(await jobs(place, replica)) == 4


async def test_a_page_whose_name_suddenly_means_this_machine_is_refused(place: Place, browser: Browser) -> None:
    replica = await place.replica()
    address = replica.url.replace("127.0.0.1", "rebound.example")
    page = await browser.new_page()
    answer = await page.goto(f"{address}/jobs")
    assert answer is not None
    assert (answer.status, (await answer.json())["code"]) == (421, "wrong-host")
    status = await page.evaluate("""async () => {
        const form = new FormData()
        form.append('file', new Blob(['x']), 'photo.jpg')
        return (await fetch('/upload', {method: 'POST', body: form})).status
    }""")
    assert status == 421
    assert await jobs(place, replica) == []


async def test_a_browser_reads_a_refusal_that_comes_while_it_sends_20_megabytes(
    place: Place, browser: Browser, other_port: int
) -> None:
    origin = f"http://localhost:{other_port}"
    replica = await place.replica(cors_origins=origin, max_upload_bytes=MIB)
    page = await on_page(browser, origin, replica.url)
    for way in ("byFetch", "byXhr"):
        for request in ("'POST', '/upload', {body: picture(%d)}", "'PUT', '/upload/a.jpg', {body: new Uint8Array(%d)}"):
            answer = await do(page, f"return await {way}({request % BIG})")
            assert answer.get("status") == 413, answer
            assert json.loads(answer["text"])["code"] == "too-large"


@pytest.mark.parametrize("expect", [(), ("-H", "Expect:")], ids=["asks first", "sends at once"])
async def test_curl_reads_each_refusal_at_the_door_that_comes_while_it_sends_20_megabytes(
    place: Place, tmp_path: Path, expect: tuple[str, ...]
) -> None:
    token = "upload:upload:" + "0" * 64
    replica = await place.replica(tokens=token, max_upload_bytes=MIB, wait_for="try: curl")
    big = tmp_path / "big.jpg"
    big.write_bytes(bytes(BIG))

    async def curl(*arguments: str) -> tuple[int, Any]:
        command = [program("curl"), "-sS", *expect, *arguments, f"{replica.url}/upload"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        out, _ = await asyncio.wait_for(process.communicate(), patience(30))
        assert process.returncode is not None
        return process.returncode, json.loads(out)

    form = ("-F", f"file=@{big}")
    for code, arguments in {
        "unauthorized": form,
        "cross-site": (*form, "-H", "Origin: https://elsewhere.example"),
        "wrong-host": (*form, "-H", "Host: elsewhere.example"),
    }.items():
        status, answer = await curl(*arguments)
        assert (status, answer["code"]) == (0, code)
