"""Uploads, the gallery and a job's page in Chromium: what is dropped becomes pictures or says why not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from PIL import Image, ImageFilter

from page.slowline import slow_line
from support.patience import until
from support.pictures.images import animated_gif, encoded, jpeg, photo_jpeg, png_with_alpha, scene, turned_heic

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.async_api import Request

    from page.visit import Visit
    from support.replicas.place import Place
    from support.replicas.replica import Replica

pytestmark = pytest.mark.long

SHOTS: Final = "PAGE_SCREENSHOTS"
"""The directory in which pictures of the page are kept, if the variable is set."""

TOML: Final = """
[presets.card]
width = 640
height = 480
fit = "cover"

[presets.large]
width = 1280
format = "webp"

[[routes]]
prefix = "uploads/"
presets = ["thumbnail", "card", "large"]
"""

HEAD: Final = b"\xff\xd8\xff\xe0"


def pictures() -> list[tuple[str, bytes]]:
    """Return nine pictures of several formats."""
    names = ("harbour", "ridge", "dunes", "morning", "glacier")
    return [
        *((f"{name}.jpg", jpeg(_tinted(number), quality=88)) for number, name in enumerate(names)),
        ("IMG_2041.heic", turned_heic()),
        ("lake.png", encoded(_tinted(5), "PNG")),
        ("logo.png", png_with_alpha()),
        ("clip.gif", animated_gif()),
    ]


def _tinted(number: int) -> Image.Image:
    tint = ["#e8a36b", "#6b9ae8", "#d9c27a", "#7ad9a5", "#a58be0", "#e07a9d"][number % 6]
    picture = scene(1600, 1200).filter(ImageFilter.GaussianBlur(2))
    return Image.blend(picture, Image.new("RGB", picture.size, tint), 0.35)


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    kept = os.environ.get(SHOTS)
    directory = Path(kept) if kept else tmp_path
    directory.mkdir(exist_ok=True)
    return directory


async def replica_with_presets(place: Place, tmp_path: Path) -> Replica:
    config = tmp_path / "thumbq.toml"
    config.write_text(TOML)
    return await place.replica(config=config, processes=2)


async def drop_all(visit: Visit) -> None:
    await visit.drop(*pictures(), ("notes.txt", b"no picture at all\n" * 40))
    await visit.drop(("too-large.jpg", HEAD), zeros=25 << 20)
    await visit.paste(("image.png", png_with_alpha()))


async def test_what_is_dropped_and_pasted_becomes_pictures_or_says_why_not(
    place: Place, tmp_path: Path, shots: Path, visit: Callable[..., Any]
) -> None:
    replica = await replica_with_presets(place, tmp_path)
    page: Visit = await visit(replica.url)
    await page.page.wait_for_selector(".gallery-state p")
    await page.accessible()
    await page.shot(shots, "empty-1280")
    await page.watch()
    await drop_all(page)
    await page.count(".upload", 12)
    await page.count(".upload[data-state=done] .picture", 10)
    states, shares = await page.seen()
    assert states == {"sending", "queued", "done", "refused"}
    assert min(shares) < max(shares) == 1
    told = await page.page.locator(".upload[data-state=refused]").all_inner_texts()
    assert "notes.txt" in told[0]
    assert "The file is not an image of a known format (JPEG," in told[0]
    assert "too-large.jpg" in told[1]
    assert "The file is larger than 25 MiB (26214400 bytes)." in told[1]
    await page.count(".card .picture", 10)
    await page.accessible()
    await page.shot(shots, "home-1280")
    summary = page.page.locator("#uploads-title")
    assert await summary.inner_text() == "10 of 12 files done, 2 refused"
    assert await page.page.text_content("[aria-live]") == "10 of 12 files done, 2 refused"
    await the_other_views(page, shots)


async def the_other_views(page: Visit, shots: Path) -> None:
    """Look at a job's page, the dialog before a deletion, and a job that there is not."""
    await page.page.click("text=harbour.jpg >> nth=0")
    await page.page.wait_for_selector(".times .bar")
    await page.count(".pictures .picture", 4)
    await page.accessible()
    await page.shot(shots, "job-1280")
    parts = await page.page.locator(".times dt").all_inner_texts()
    assert parts == ["Waited", "Fetched", "Rendered", "Stored", "Together", "Finished"]
    links = await page.page.locator(".links code").all_inner_texts()
    assert any(link.startswith("curl -o thumbnail.jpg http://127.0.0.1") for link in links)
    assert " 100w, " in links[-1]
    assert ' 1280w" sizes=' in links[-1]
    assert 'width="1280" height="960"' in links[-1]
    await page.page.click("text=Delete")
    await page.page.wait_for_selector("dialog")
    await page.accessible()
    await page.page.click("text=Cancel")
    await page.page.evaluate("() => void (location.hash = '#/jobs/' + '0'.repeat(27))")
    page.expected_errors += ("404",)
    await page.page.wait_for_selector("text=There is no such picture")
    await page.accessible()
    await page.page.go_back()
    await page.page.go_back()
    await page.page.wait_for_selector(".card .picture")


@pytest.mark.parametrize("language", ["en-US", "ja-JP"])
async def test_on_a_phone_it_fits_in_both_languages_and_at_twice_the_size_of_letters(
    place: Place, tmp_path: Path, shots: Path, visit: Callable[..., Any], language: str
) -> None:
    replica = await replica_with_presets(place, tmp_path)
    page: Visit = await visit(replica.url, size="phone", locale=language)
    await drop_all(page)
    await page.count(".upload[data-state=done] .picture", 10)
    await page.count(".upload[data-state=refused]", 2)
    short = language[:2]
    assert await page.page.get_attribute("html", "lang") == short
    for name, link in (("home", None), ("job", "text=harbour.jpg >> nth=0")):
        if link is not None:
            await page.page.click(link)
            await page.page.wait_for_selector(".times .bar")
        await page.accessible()
        await page.shot(shots, f"{name}-390-{short}")
        await page.page.evaluate("() => void (document.documentElement.style.fontSize = '200%')")
        widths = await page.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], name
        await page.page.evaluate("() => void (document.documentElement.style.fontSize = '')")


async def test_everything_goes_by_keyboard_alone(place: Place, tmp_path: Path, visit: Callable[..., Any]) -> None:
    replica = await replica_with_presets(place, tmp_path)
    page: Visit = await visit(replica.url)
    await page.page.wait_for_selector(".gallery-state p")
    file = tmp_path / "photo.jpg"
    file.write_bytes(photo_jpeg(400, 300))
    async with page.page.expect_file_chooser() as choosing:
        await to(page, "Choose pictures")
        await page.page.keyboard.press("Enter")
    await (await choosing.value).set_files(file)
    await page.count(".card .picture", 1)
    await to(page, "Options:")
    await page.page.keyboard.press("Enter")
    await page.page.keyboard.press("Tab")
    await page.page.keyboard.press("Space")
    assert await page.page.locator(".chosen").inner_text() == "thumbnail"
    await to(page, "photo.jpg")
    await page.page.keyboard.press("Enter")
    await page.page.wait_for_selector(".links code")
    await page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await to(page, "Copy: thumbnail")
    await page.page.keyboard.press("Enter")
    await until(lambda: page.page.locator("text=Copied: thumbnail").count(), within_s=5, what="what was copied")
    copied = await page.page.evaluate("() => navigator.clipboard.readText()")
    assert copied.startswith(f"{replica.url}/jobs/")
    await to(page, "Pictures")
    await page.page.keyboard.press("Enter")
    await page.count(".card .picture", 1)


async def test_a_folder_is_dropped_with_all_that_is_in_it(
    place: Place, tmp_path: Path, visit: Callable[..., Any]
) -> None:
    replica = await place.replica(processes=1)
    album = tmp_path / "album"
    for name in ("a.jpg", "deep/b.jpg", "deep/er/c.jpg"):
        (album / name).parent.mkdir(parents=True, exist_ok=True)
        (album / name).write_bytes(photo_jpeg(400, 300))
    (album / ".DS_Store").write_bytes(b"of the system")
    page: Visit = await visit(replica.url)
    await page.page.wait_for_selector(".gallery-state p")
    await page.drop_from_disk(album)
    await page.count(".upload[data-state=done] .picture", 3)
    assert sorted(await page.page.locator(".upload .name").all_inner_texts()) == ["a.jpg", "b.jpg", "c.jpg"]
    # Where presets are tried, what is dropped anywhere is tried, and not stored.
    await page.page.evaluate("() => void (location.hash = '#/settings')")
    await page.page.wait_for_selector(".try")
    await page.drop_from_disk(album / "a.jpg")
    await page.page.wait_for_selector(".try img:not([hidden])")
    assert len(page.uploads) == 3


async def test_closing_asks_while_something_is_sent(place: Place, tmp_path: Path, visit: Callable[..., Any]) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(photo_jpeg(400, 300) + bytes(20 << 20))
    async with slow_line((await place.replica(processes=1)).url, 1 << 16) as url:
        page: Visit = await visit(url)
        await page.page.wait_for_selector(".gallery-state p")
        # Chromium asks only whom a person has used.
        async with page.page.expect_file_chooser() as choosing:
            await page.page.click("text=Choose pictures")
        await (await choosing.value).set_files(file)
        await page.page.wait_for_selector(".upload[data-state=sending]")
        async with page.page.expect_event("dialog") as asked:
            await page.page.evaluate("() => void setTimeout(() => location.reload())")
        question = await asked.value
        assert question.type == "beforeunload"
        await question.dismiss()
        await page.page.click(".upload .tools button")
        await page.count(".upload", 0)
        await page.page.reload()
        await page.page.wait_for_selector(".gallery-state p")
        await page.page.close()


async def to(visit: Visit, name: str) -> None:
    """Go to what has this name with the tabulator."""
    for _ in range(60):
        await visit.page.keyboard.press("Tab")
        here = await visit.page.evaluate(
            "() => document.activeElement.getAttribute('aria-label') || document.activeElement.innerText"
        )
        if here.split("\n")[0].startswith(name):
            return
    raise AssertionError(f"no way to {name!r}")


async def test_presets_and_the_queue_can_be_chosen(place: Place, tmp_path: Path, visit: Callable[..., Any]) -> None:
    config = tmp_path / "thumbq.toml"
    config.write_text(f'{TOML}[[queues]]\nname = "high"\n[[queues]]\nname = "low"\ndefault = true\n')
    replica = await place.replica(config=config, processes=1)
    page: Visit = await visit(replica.url)
    await page.page.click("text=Options:")
    await page.page.get_by_label("card").check()
    await page.page.select_option("#queue", "high")
    await page.accessible()
    await page.drop(("photo.jpg", photo_jpeg(400, 300)))
    await page.count(".upload[data-state=done] .picture", 1)
    assert [line.get("queue") for line in replica.events("job.done")] == ["high"]
    await page.page.click("text=photo.jpg >> nth=0")
    await page.count(".pictures .picture", 2)
    assert await page.page.locator("figcaption b").all_inner_texts() == ["Original", "card"]


async def test_a_picture_is_deleted_once_that_is_confirmed(
    place: Place, tmp_path: Path, visit: Callable[..., Any]
) -> None:
    replica = await replica_with_presets(place, tmp_path)
    asked: list[str] = []

    def note(request: Request) -> None:
        if request.method == "DELETE":
            asked.append(request.url)

    page: Visit = await visit(replica.url)
    page.page.on("request", note)
    await page.drop(("one.jpg", photo_jpeg(400, 300)), ("two.jpg", photo_jpeg(400, 300)))
    await page.count(".card .picture", 2)
    await page.page.click(".card >> text=one.jpg")
    for answer in ("Cancel", "Delete"):
        await page.page.click("footer >> text=Delete")
        assert "one.jpg, its renditions and its record" in await page.page.inner_text("dialog")
        assert not asked
        await page.page.click(f"dialog >> text={answer} >> nth=-1")
    await page.count(".card", 1)
    assert [url.rpartition("/")[0] for url in asked] == [f"{replica.url}/jobs"]
    assert await page.page.inner_text(".card .name") == "two.jpg"
    await page.count(".upload", 1)
    async with place.session.get(asked[0]) as fetched:
        assert fetched.status == 410
