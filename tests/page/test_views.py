"""Every view and every state of it, in both languages: nothing is wrong for those who hear it or need it large."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest

from page.test_access import ALL, UPLOADS, WRONG, line, log_in
from page.test_uploads import TOML, shots
from support.patience import until
from support.pictures.bombs import png
from support.pictures.images import jpeg, photo_jpeg, scene, truncated_jpeg, turned_heic
from thumbq.core.token import Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from page.visit import Visit
    from support.replicas.place import Place
    from support.replicas.replica import Replica

pytestmark = pytest.mark.long

__all__ = ["shots"]

FITS: Final = "() => document.documentElement.scrollWidth <= innerWidth"
WIDTHS: Final = (320, 390, 640, 1280)
"""Of windows, in CSS pixels: 640 is 1,280 at twice the size, and 320 at four times."""


class Looked:
    """Looks at each state of a visit: by axe in light and dark, for what does not fit, and for a picture to keep."""

    def __init__(self, visit: Visit, shots: Path, suffix: str) -> None:
        self.visit = visit
        self._shots, self._suffix = shots, suffix

    async def at(self, name: str) -> None:
        """Look at a state."""
        page = self.visit.page
        await self.visit.shot(self._shots, f"{name}-{self._suffix}")
        await self.visit.accessible()
        size = page.viewport_size
        assert size is not None
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": size["height"]})
            await until(partial(page.evaluate, FITS), within_s=5, what=f"{name} in {width} pixels")
        await page.set_viewport_size(size)

    async def go(self, path: str, selector: str) -> None:
        """Go to a view."""
        await self.visit.page.evaluate("(path) => void (location.hash = path)", path)
        await self.visit.page.wait_for_selector(selector)


@pytest.mark.parametrize("window", ["en wide", "ja phone", "en phone", "ja wide"])
async def test_every_view_and_state_is_accessible_and_fits(
    place: Place, tmp_path: Path, shots: Path, visit: Callable[..., Any], window: str
) -> None:
    language, size = window.split()
    config, tokens = tmp_path / "thumbq.toml", tmp_path / "tokens"
    config.write_text(TOML)
    tokens.write_text(f"{line(ALL, *Scope)}\n{line(UPLOADS, Scope.UPLOAD, name='uploads')}\n")
    replica = await place.replica(config=config, tokens_file=tokens, processes=1, wait_for="listening on")
    page: Visit = await visit(replica.url, size=size, locale=language, errors=["401"])
    looked = Looked(page, shots, f"{1280 if size == 'wide' else 390}-{language}")
    await pictures(looked)
    await operators(looked)
    await troubles(looked, replica, tokens)


async def pictures(looked: Looked) -> None:
    """Look at the log-in, at uploads, and at the pages of jobs."""
    visit, page = looked.visit, looked.visit.page
    await page.wait_for_selector("dialog #token")
    await looked.at("login")
    await log_in(visit, WRONG)
    await page.wait_for_selector(".fault:not(:empty)")
    await looked.at("login-wrong")
    await log_in(visit, ALL)
    await page.wait_for_selector(".gallery-state p")
    await looked.at("empty")
    await visit.drop(
        *(("harbour.jpg", photo_jpeg(1600, 1200)), ("IMG_2041.heic", turned_heic()), ("cut off.jpg", truncated_jpeg())),
        *(("notes.txt", b"no picture\n"), (f"a name that is {'very ' * 20}long.jpg", jpeg(scene(300, 900)))),
    )
    await visit.count(".upload[data-state=done] .picture", 3)
    await visit.count(".upload[data-state=failed]", 1)
    await visit.count(".upload[data-state=refused]", 1)
    await visit.count(".card", 4)
    await looked.at("uploads")
    await page.click(".choices summary")
    await looked.at("options")
    for name, link in (("job", "IMG_2041.heic"), ("job-tall", "a name"), ("job-failed", "cut off.jpg")):
        await page.click(f".upload >> text={link}")
        await page.wait_for_selector(".job h1")
        await page.wait_for_selector(".faults" if name == "job-failed" else ".pictures .picture >> nth=1")
        await looked.at(name)
        if name != "job-failed":
            await page.go_back()
    await page.click("footer button")
    await looked.at("job-delete")
    await page.keyboard.press("Escape")
    visit.expected_errors += ("404",)
    await looked.go(f"#/jobs/{'0' * 26}", ".gallery-state h1")
    await looked.at("job-none")


async def operators(looked: Looked) -> None:
    """Look at the queues and at the presets."""
    visit, page = looked.visit, looked.visit.page
    await looked.go("#/queues", ".plots canvas")
    await page.click(".plots summary")
    await page.click(".dead > summary")
    await looked.at("queues")
    await page.click(".dead .row button")
    await visit.count(".letters li", 1)
    await page.click(".letters summary")
    await page.check(".letters input")
    await looked.at("queues-dead")
    for name, button in (("redrive", ".dead .row >> nth=1 >> button >> nth=0"), ("purge", ".dead .danger >> nth=0")):
        await page.click(button)
        await page.wait_for_selector("dialog")
        await looked.at(f"queues-{name}")
        await page.keyboard.press("Escape")
    await page.click(".queue > header button")
    await page.wait_for_selector("dialog")
    await looked.at("queues-pause")
    await page.click("dialog .danger")
    await page.wait_for_selector(".queue .badge")
    await looked.at("queues-paused")
    await page.click(".queue > header button")
    await looked.go("#/settings", ".try")
    await looked.at("settings")
    facts, picker = page.locator(".try [role=status]"), page.locator(".try [type=file]")
    visit.expected_errors += ("422",)
    for name, body, said in (
        ("settings-try", photo_jpeg(), "CPU"),
        ("settings-bomb", png(60_000, 60_000), "too-large"),
    ):
        await picker.set_input_files({"name": "a", "mimeType": "image/jpeg", "buffer": body})

        async def answered(said: str = said) -> bool:
            return said in await facts.inner_text()

        await until(answered, within_s=20, what=said)
        await looked.at(name)


async def troubles(looked: Looked, replica: Replica, tokens: Path) -> None:
    """Look at the page while thumbq is away, and as somebody who may less."""
    visit, page = looked.visit, looked.visit.page
    visit.expected_errors += ("ERR_INTERNET_DISCONNECTED",)
    await looked.go("#/", ".card")
    await page.context.set_offline(True)
    # Requests of the page may still get through for a moment.
    await until(lambda: page.evaluate("fetch('livez').then(() => false, () => true)"), within_s=10, what="no network")
    await visit.drop(("late.jpg", photo_jpeg(400, 300)))
    await visit.count(".upload[data-state=paused]", 1)
    await page.wait_for_selector(".away:not(:empty)")
    await looked.at("away")
    await page.context.set_offline(False)
    await visit.count(".upload[data-state=done]", 4)
    await anyio.Path(tokens).write_text(f"{line(UPLOADS, Scope.UPLOAD, name='uploads')}\n")
    replica.signal(signal.SIGHUP)
    await until(lambda: replica.events("settings.read"), within_s=5, what="the new tokens")
    await page.reload()
    await page.wait_for_selector("dialog #token")
    await log_in(visit, UPLOADS)
    await page.wait_for_selector(".gallery-state p")
    await looked.at("uploads-only")
    await looked.go("#/queues", ".gallery-state h1")
    await looked.at("forbidden")
