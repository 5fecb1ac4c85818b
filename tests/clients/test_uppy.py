"""Uppy in a real browser, by the recipes of its document, beside thumbq and from another origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from support.documents import UPPY, example
from support.pictures.images import photo_jpeg
from support.programs import program, run
from support.servers.front import Front, front

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from support.replicas.place import Place

pytestmark = pytest.mark.long

ADDRESS: Final = "'https://pictures.example.com'"
THROUGH_THUMBQ: Final = "Through thumbq"
TO_S3: Final = "Straight to S3"
SIGNS_OR_TAKES: Final = {THROUGH_THUMBQ: "/upload", TO_S3: "/uploads"}
"""What the first request for a file is sent to."""

TOOLS: Final = """
    const upload = async (files) => {
        uppy.clear()
        files.forEach(([name, type, data]) => uppy.addFile({name, type, data: new Blob([data], {type})}))
        return told(await uppy.upload())
    }
    const told = ({successful, failed}) => ({
        ids: successful.map(({meta, response}) => meta.job ?? response.body.id),
        errors: failed.map(({error}) => error),
    })
    const photo = (name) => [name, 'image/jpeg', window.jpeg]
"""


@dataclass(frozen=True)
class Uploading:
    """A page with a recipe of the document. All its requests go through ``front``."""

    recipe: str
    page: Page
    front: Front
    place: Place

    async def do(self, script: str) -> Any:
        """Run the body of an async function on the page."""
        return await self.page.evaluate("async () => {" + TOOLS + script + "}")

    async def jobs(self) -> list[str]:
        """Return the ids of all jobs."""
        async with self.place.session.get(f"{self.place.replicas[0].url}/jobs") as answer:
            return [job["id"] for job in (await answer.json())["data"]["jobs"]]

    def statuses(self) -> list[int]:
        return self.front.statuses("POST", SIGNS_OR_TAKES[self.recipe])


def bundle(npm: Path, directory: Path, recipe: str) -> Path:
    """Return the script of a page that has the recipe, and the one for thumbnails."""
    texts = [example(UPPY, heading, "js") for heading in (recipe, "Thumbnails")]
    assert ADDRESS in texts[0]
    source, made = directory / "page.js", directory / "bundle.js"
    source.write_text("\n".join(texts).replace(ADDRESS, "window.thumbq") + "\nObject.assign(window, {uppy, ended})\n")
    modules = npm / "node_modules"
    done = run(
        [
            *(program("node"), str(modules / "esbuild" / "bin" / "esbuild"), str(source)),
            *("--bundle", "--format=iife", f"--outfile={made}"),
        ],
        cwd=directory,
        seconds=30,
        environment={"NODE_PATH": str(modules)},
    )
    assert done.returncode == 0, done.stdout
    return made


@pytest.fixture(params=[THROUGH_THUMBQ, TO_S3])
def recipe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["same origin", "other origin"])
async def uploading(
    *,
    request: pytest.FixtureRequest,
    recipe: str,
    npm: Path,
    place: Place,
    browser: Browser,
    other_port: int,
    tmp_path: Path,
) -> AsyncIterator[Uploading]:
    origin = f"http://localhost:{other_port}"
    script = bundle(npm, tmp_path, recipe)
    replica = await place.replica(cors_origins=origin)
    async with front(replica.url) as (before, address):
        page = await browser.new_page()
        await page.goto(f"{address}/livez" if request.param == "same origin" else origin)
        await page.evaluate(
            "([thumbq, jpeg]) => { window.thumbq = thumbq; window.jpeg = new Uint8Array(jpeg) }",
            [address, list(photo_jpeg(64, 48))],
        )
        await page.add_script_tag(path=script)
        yield Uploading(recipe, page, before, place)


async def test_twelve_files_are_done_and_a_refused_one_is_sent_once_and_says_why(uploading: Uploading) -> None:
    uploaded = await uploading.do("return await upload(Array.from({length: 12}, (_, i) => photo(`${i}.jpg`)))")
    assert uploaded["errors"] == []
    assert len(set(uploaded["ids"])) == 12
    shown = await uploading.do(f"""
        const jobs = await ended({uploaded["ids"]})
        const image = new Image()
        image.src = window.thumbq + jobs[0].renditions.thumbnail.url
        await image.decode()
        return [jobs.map(({{status}}) => status), image.naturalWidth]
    """)
    assert shown == [["done"] * 12, 64]
    assert sorted(await uploading.jobs()) == sorted(uploaded["ids"])
    before = len(uploading.statuses())
    refused = await uploading.do("return await upload([['notes.txt', 'text/plain', 'no image']])")
    assert refused["ids"] == []
    [text] = refused["errors"]
    assert "image/jpeg" in text or "JPEG" in text
    [status] = uploading.statuses()[before:]
    assert status in {400, 415}


async def test_a_retry_after_a_lost_answer_makes_no_second_job(uploading: Uploading) -> None:
    for path in {SIGNS_OR_TAKES[uploading.recipe], *(["/inbox"] if uploading.recipe == TO_S3 else [])}:
        # The browser itself may send once more what was lost on a connection that it had open.
        uploading.front.lost += [("POST", path)] * 2
    first = await uploading.do("return await upload([photo('a.jpg')])")
    for _ in range(3):  # as often as somebody presses Uppy's button for it
        if first["ids"]:
            break
        first = await uploading.do("return told(await uppy.retryAll())")
    assert uploading.front.lost == []
    assert (await uploading.jobs(), first["errors"]) == (first["ids"], [])
    assert [job["status"] for job in await uploading.do(f"return await ended({first['ids']})")] == ["done"]
