"""``GET /`` and ``GET /page/{name}``: the page and its files."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from thumbq.web.door import DOOR
from thumbq.web.page.assets import load_assets
from thumbq.web.problems import ProblemRaised, not_found
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thumbq.web.page.assets import Asset

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self';"
        " form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Referrer-Policy": "no-referrer",
    hdrs.VARY: hdrs.ACCEPT_ENCODING,
}
"""What holds for the page: nothing from elsewhere, and no text becomes code."""

_ADDRESS: Final = "{address}"


async def get_page(request: web.Request) -> web.Response:
    """Answer the page. It is asked for each time, so that a new one is seen at once."""
    index, _ = load_assets()
    return _answer(request, _addressed(request, index), "no-cache")


def _addressed(request: web.Request, index: Asset) -> Asset:
    """Return the index with thumbq's address in the command for those who have no JavaScript."""
    base = request.app[SERVICES].links.base or f"{request.app[DOOR].proxies.scheme(request)}://{request.host}"
    return index.with_text(_ADDRESS, html.escape(f"{base}/"))


async def get_asset(request: web.Request) -> web.Response:
    """Answer a file of the page. Its name changes with it."""
    _, assets = load_assets()
    asset = assets.get(request.match_info["name"])
    if asset is None:
        text = "The page has no such file, or not any more: load the page again."
        raise ProblemRaised(not_found("no-asset", text))
    return _answer(request, asset, "public, max-age=31536000, immutable")


def _answer(request: web.Request, asset: Asset, caching: str) -> web.Response:
    headers = {**HEADERS, hdrs.CACHE_CONTROL: caching, hdrs.ETAG: f'"{asset.etag}"'}
    if any(etag.value in {asset.etag, "*"} for etag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = asset.body
    if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        body, headers[hdrs.CONTENT_ENCODING] = asset.gzipped, "gzip"
    if request.method == hdrs.METH_HEAD:
        headers[hdrs.CONTENT_LENGTH] = str(len(body))
        return web.Response(content_type=asset.media_type, charset="utf-8", headers=headers)
    return web.Response(body=body, content_type=asset.media_type, charset="utf-8", headers=headers)
