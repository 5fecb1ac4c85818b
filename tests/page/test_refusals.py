"""What the page refuses before it sends it is what thumbq would: first bytes are told as core/formats.py does."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import pytest

from support.pictures.images import animated_gif, avif, encoded, jpeg, png_with_alpha, scene, turned_heic
from thumbq.core.formats import SNIFF_BYTES, sniff
from thumbq.web.page.assets import load_assets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from page.visit import Visit
    from support.replicas.place import Place

pytestmark = pytest.mark.long

SNIFFED: Final = """async ([module, heads]) => {
    const {sniff} = await import(module);
    return heads.map((head) => sniff(Uint8Array.from(head)));
}"""


def heads() -> Iterator[bytes]:
    """Return first bytes of every format, damaged ones, and ones with brands at all places."""
    small, chance = scene(40, 30), random.Random(1)
    whole = [
        *(encoded(small, name) for name in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")),
        *(jpeg(small), png_with_alpha(), animated_gif(), turned_heic(), avif(small)),
        *(b"", b"BM", b"MM\0+\0\x08\0\0", b"II+\0\x08\0\0\0", b"GIF89", b"text\n" * 20),
    ]
    brands = (b"mif1\0\0\0\0mif1avif", b"heic\0\0\0\0avif", b"avis\0\0\0\0", b"mp42\0\0\0\0mp41isomavif")
    for size in (8, 16, 20, 24, 28, 4096):
        whole += [size.to_bytes(4, "big") + b"ftyp" + each for each in brands]
    for head in whole:
        yield head[:SNIFF_BYTES]
        for _ in range(20 if head else 0):
            changed = bytearray(head[:SNIFF_BYTES])
            changed[chance.randrange(min(len(changed), 32))] = chance.choice([0, 10, 13, 255, 65])
            yield bytes(changed)


async def test_the_page_tells_formats_as_thumbq_does(place: Place, visit: Callable[..., Any]) -> None:
    page: Visit = await visit((await place.replica()).url)
    await page.page.wait_for_selector(".panel")
    [module] = [name for name in load_assets()[1] if name.startswith("upload-files.")]
    given = list(heads())
    told = await page.page.evaluate(SNIFFED, [f"/page/{module}", [list(head) for head in given]])
    expected = [None if (known := sniff(head)) is None else known.name for head in given]
    assert told == expected
    assert {name for name in expected if name} == {"JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "HEIF", "AVIF"}
