"""Everything by keyboard alone: the focus is always somewhere, can be seen, and goes on from where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from page.test_access import ALL, line, log_in
from support.patience import until
from support.pictures.images import photo_jpeg, truncated_jpeg
from thumbq.core.token import Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from page.visit import Visit
    from support.replicas.place import Place

pytestmark = pytest.mark.long

HERE: Final = """() => {
    const {activeElement: here} = document;
    return (here.getAttribute('aria-label') || here.innerText || here.id).split('\\n')[0];
}"""

UNSEEN: Final = """() => {
    const here = document.activeElement, style = getComputedStyle(here), box = here.getBoundingClientRect();
    const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    const inside = box.bottom > 0 && box.top < innerHeight && box.width > 0;
    return outlined && inside ? null : `${here.outerHTML.slice(0, 120)} ${style.outline} ${box.top}`;
}"""


async def here(visit: Visit) -> str:
    return str(await visit.page.evaluate(HERE))


async def to(visit: Visit, name: str, key: str = "Tab") -> None:
    """Go on until the focus is at what has this name. It can be seen all the way."""
    for _ in range(60):
        await visit.page.keyboard.press(key)
        if await visit.page.evaluate("() => document.activeElement !== document.body"):
            assert await visit.page.evaluate(UNSEEN) is None
        if (await here(visit)).startswith(name):
            return
    raise AssertionError(f"no way to {name!r}")


async def stays(visit: Visit, name: str) -> None:
    """Wait until the focus is at what has this name."""

    async def there() -> bool:
        return (await here(visit)).startswith(name)

    await until(there, within_s=10, what=f"the focus at {name!r}")


async def test_the_focus_goes_on_from_where_it_was_whatever_goes_away(
    place: Place, tmp_path: Path, visit: Callable[..., Any]
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{line(ALL, *Scope)}\n")
    replica = await place.replica(tokens_file=tokens, processes=1, wait_for="listening on")
    page: Visit = await visit(replica.url, errors=["401"])
    await page.page.wait_for_selector("dialog #token")
    for _ in range(3):
        # Browsers let nobody keep a dialog open at the second Escape.
        await page.page.keyboard.press("Escape")
    await stays(page, "token")
    await log_in(page, ALL)
    await page.page.wait_for_selector(".gallery-state p")
    await page.drop(*((f"{name}.jpg", photo_jpeg(400, 300)) for name in "abc"), ("cut.jpg", truncated_jpeg()))
    await page.count(".upload[data-state=done]", 3)
    await page.count(".upload[data-state=failed]", 1)
    await uploads(page)
    await dialogs(page)


async def uploads(page: Visit) -> None:
    """Take one after the other out of the list."""
    await to(page, "Try cut.jpg again")
    await page.page.keyboard.press("Enter")
    await page.count(".upload[data-state=failed]", 1)
    await to(page, "Hide a.jpg")
    for following in ("Hide b.jpg", "Hide c.jpg"):
        await page.page.keyboard.press("Enter")
        await stays(page, following)
    await to(page, "Hide what is done", "Shift+Tab")
    await page.page.keyboard.press("Enter")
    await stays(page, "Remove cut.jpg")
    await page.page.keyboard.press("Enter")
    assert await page.page.evaluate("() => document.activeElement.id") == "main"


async def dialogs(page: Visit) -> None:
    """Say no and yes in dialogs, and see to dead letters."""
    await page.page.evaluate("() => scrollTo(0, 0)")
    await to(page, "Skip")
    await to(page, "Queues")
    await page.page.keyboard.press("Enter")
    await page.page.wait_for_selector(".plots canvas")
    for name, answer in (("Pause", "Cancel"), ("Pause", "Pause")):
        await to(page, name, "Tab" if answer == "Cancel" else "Shift+Tab")
        await page.page.keyboard.press("Enter")
        await stays(page, "Cancel")
        if answer == "Cancel":
            await page.page.keyboard.press("Escape")
            await stays(page, "Pause")
            await page.page.keyboard.press("Tab")
        else:
            await to(page, answer)
            await page.page.keyboard.press("Enter")
            await stays(page, "Resume")
    await page.page.keyboard.press("Enter")
    await stays(page, "Pause")
    await to(page, "Dead letters")
    await page.page.keyboard.press("Enter")
    await to(page, "Look")
    await page.page.keyboard.press("Enter")
    await page.count(".letters li", 2)
    await stays(page, "Look")
    await to(page, "Choose uploads/")
    await page.page.keyboard.press("Space")
    await to(page, "Delete 1", "Shift+Tab")
    await page.page.keyboard.press("Enter")
    await stays(page, "Cancel")
    await to(page, "Delete 1")
    await page.page.keyboard.press("Enter")
    await page.count(".letters li", 1)
    await stays(page, "Look")
