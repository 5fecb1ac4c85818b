"""One browser on the page, and all that it does there: requests, errors, what is dropped and pasted."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from support.patience import patience, until
from support.programs import module

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from playwright.async_api import Browser, ConsoleMessage, Page, Request

SIZES: Final = {"wide": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}

_FILES: Final = """(files) => {
    const transfer = new DataTransfer();
    for (const {name, type, body, zeros} of files) {
        const bytes = Uint8Array.from(atob(body), (character) => character.charCodeAt(0));
        transfer.items.add(new File([bytes, new Uint8Array(zeros)], name, {type}));
    }
    return transfer;
}"""

_PASTE: Final = """(transfer) => document.body.dispatchEvent(
    new ClipboardEvent('paste', {clipboardData: transfer, bubbles: true}))"""

_WATCH: Final = """() => {
    window.seen = {states: [], shares: []};
    new MutationObserver((changes) => {
        for (const {target, attributeName} of changes) {
            if (attributeName === 'data-state') window.seen.states.push(target.dataset.state);
            else if (target.localName === 'progress') window.seen.shares.push(target.value);
        }
    }).observe(document.body, {subtree: true, attributes: true, attributeFilter: ['data-state', 'value']});
}"""

AXE_TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass
class Visit:
    """A page that is open, with what it has asked and complained of so far."""

    page: Page
    origin: str
    expected_errors: tuple[str, ...] = ()
    """Parts of what may stand on the console: Chromium writes a line for each answer that is an error."""
    errors: list[str] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)
    held: set[Request] = field(default_factory=set)
    sent: set[Request] = field(default_factory=set)
    uploads: list[Request] = field(default_factory=list)
    most_held: int = 0
    most_sent: int = 0

    @classmethod
    async def begin(
        cls, browser: Browser, url: str, *, size: str = "wide", errors: Iterable[str] = (), **more: Any
    ) -> Visit:
        phone = {"is_mobile": True, "has_touch": True} if size == "phone" else {}
        options: dict[str, Any] = {"viewport": SIZES[size], **phone, **more}
        context = await browser.new_context(**options)
        context.set_default_timeout(1000 * patience(10))
        page = await context.new_page()
        visit = cls(page, "{0.scheme}://{0.netloc}".format(urlsplit(url)), tuple(errors))
        page.on("console", visit._console)
        page.on("pageerror", lambda error: visit.errors.append(str(error)))
        page.on("request", visit._began)
        page.on("requestfinished", visit._ended)
        page.on("requestfailed", visit._ended)
        await page.goto(url)
        return visit

    def check(self) -> None:
        """Nothing has gone wrong, and nobody else was asked for anything."""
        assert not [error for error in self.errors if not any(part in error for part in self.expected_errors)]
        assert self.origins <= {self.origin}
        assert self.most_held <= 2
        assert self.most_sent <= 3

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.type}: {message.text} {message.location}")

    def _began(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data"):
            self.origins.add(f"{parts.scheme}://{parts.netloc}")
        if "prefer" in request.headers:
            self.held.add(request)
        if request.method == "POST" and parts.path.endswith("/upload"):
            self.sent.add(request)
            self.uploads.append(request)
        self.most_held, self.most_sent = max(self.most_held, len(self.held)), max(self.most_sent, len(self.sent))

    def _ended(self, request: Request) -> None:
        self.held.discard(request)
        self.sent.discard(request)

    async def watch(self) -> None:
        """Note each state and each progress that is shown from now on."""
        await self.page.evaluate(_WATCH)

    async def seen(self) -> tuple[set[str], list[float]]:
        """Return the states and the progress that were shown."""
        seen = await self.page.evaluate("() => window.seen")
        return set(seen["states"]), seen["shares"]

    async def drop(self, *files: tuple[str, bytes], zeros: int = 0) -> None:
        """Drop files on the page. So many ``zeros`` follow each."""
        transfer = await self._transfer(files, zeros)
        await self.page.dispatch_event("main", "drop", {"dataTransfer": transfer})

    async def drop_from_disk(self, path: Path) -> None:
        """Drop a file or a folder, as a person does."""
        session = await self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for event in ("dragEnter", "dragOver", "drop"):
            await session.send("Input.dispatchDragEvent", {"type": event, "x": 20, "y": 100, "data": data})

    async def paste(self, *files: tuple[str, bytes]) -> None:
        """Paste files."""
        await (await self._transfer(files, 0)).evaluate(_PASTE)

    async def _transfer(self, files: Iterable[tuple[str, bytes]], zeros: int) -> Any:
        described = [
            {"name": name, "type": "", "body": base64.b64encode(body).decode(), "zeros": zeros} for name, body in files
        ]
        return await self.page.evaluate_handle(_FILES, described)

    async def count(self, selector: str, number: int, *, within_s: float = 10) -> None:
        """Wait until so many elements are there."""
        locator = self.page.locator(selector)

        async def there() -> bool:
            return bool(await locator.count() == number)

        await until(there, within_s=within_s, what=f"{number} of {selector}")

    async def show(self, scheme: Any) -> None:
        """Show the page in light or in dark, at rest."""
        await self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await self.page.evaluate(
            "() => new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))"
        )

    async def accessible(self) -> None:
        """Axe finds nothing, in light and in dark."""
        axe = module("axe_playwright_python.async_playwright").Axe()
        for scheme in ("light", "dark"):
            await self.show(scheme)
            found = await axe.run(self.page, options={"runOnly": AXE_TAGS})
            assert found.violations_count == 0, f"{scheme} {self.page.url}\n{found.generate_report()}"

    async def shot(self, directory: Path, name: str) -> None:
        """Keep pictures of the page as it is, in light and in dark."""
        for scheme in ("light", "dark"):
            await self.show(scheme)
            await self.page.screenshot(path=directory / f"{name}-{scheme}.png")
