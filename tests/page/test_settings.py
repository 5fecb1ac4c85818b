"""The live try of presets in Chromium, on a real replica."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Final

import pytest

from page.test_uploads import shots
from support.patience import until
from support.pictures.bombs import png
from support.pictures.images import photo_jpeg
from thumbq.core.preset import Preset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from page.visit import Visit
    from support.replicas.place import Place

pytestmark = pytest.mark.long

__all__ = ["shots"]

BY: Final = "\N{MULTIPLICATION SIGN}"

CHANGED_FAST: Final = """async (input) => {
    for (let width = 101; width <= 150; width += 1) {
        input.value = width;
        input.dispatchEvent(new InputEvent('input', {bubbles: true}));
        await new Promise((done) => setTimeout(done, 10));
    }
}"""


async def test_a_preset_is_tried_the_last_change_wins_and_a_bomb_is_refused(
    place: Place, visit: Callable[..., Any], shots: Path
) -> None:
    replica = await place.replica(processes=1)
    opened: Visit = await visit(f"{replica.url}/#/settings")
    page = opened.page
    await page.locator(".try").wait_for()
    assert await page.locator("tbody tr").count() == 3
    asked: list[str] = []
    under_way = most = 0

    def began(url: str) -> None:
        nonlocal under_way, most
        if "/try?" in url:
            asked.append(url)
            under_way += 1
            most = max(most, under_way)

    def ended(url: str) -> None:
        nonlocal under_way
        under_way -= "/try?" in url

    page.on("request", lambda request: began(request.url))
    page.on("requestfinished", lambda request: ended(request.url))
    picker, facts = page.locator(".try [type=file]"), page.locator(".try [role=status]")
    await picker.set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photo_jpeg()})
    await until(lambda: says(facts, "CPU"), within_s=20, what="a rendition with its CPU time")
    await page.get_by_label("Height").fill("")
    before = len(asked)
    await page.get_by_label("Width").evaluate(CHANGED_FAST)
    await until(lambda: says(facts, f"150 {BY}"), within_s=20, what="the last change")
    assert most == 1, "one at a time"
    assert len(asked) - before < 50, "changes are coalesced"
    assert "width=150" in asked[-1]
    await page.get_by_label("Height").fill("60")
    await page.get_by_label("Fit").select_option("cover")
    await page.get_by_label("Format").select_option("webp")
    await until(lambda: says(facts, f"150 {BY} 60 · WebP"), within_s=20, what="the options")
    [(name, options)] = tomllib.loads(await page.locator(".try code").last.inner_text())["presets"].items()
    preset = Preset(name=name, **options)
    assert (preset.width, preset.height, preset.fit, preset.focal_point) == (150, 60, "cover", (0.5, 0.5))
    await opened.accessible()
    await opened.shot(shots, "settings-1280")
    opened.expected_errors += ("422", "400")
    await picker.set_input_files({"name": "bomb.png", "mimeType": "image/png", "buffer": png(60_000, 60_000)})
    await until(lambda: says(facts, "too-large"), within_s=20, what="its code")
    assert await page.locator(".try img").is_hidden()
    counts = await place.counts()
    assert (counts.visible, counts.in_flight) == (0, 0)
    phone: Visit = await visit(f"{replica.url}/#/settings", size="phone", locale="ja-JP")
    await phone.page.locator(".try").wait_for()
    await phone.accessible()
    await phone.shot(shots, "settings-390-ja")
    widths = await phone.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]


async def says(facts: Any, text: str) -> bool:
    return text in await facts.inner_text()
