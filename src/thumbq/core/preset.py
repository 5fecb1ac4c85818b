"""A preset: a named recipe for renditions."""

from __future__ import annotations

import hashlib
import re
from math import inf
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thumbq.core import keys
from thumbq.core.formats import EXTENSIONS, output_name

if TYPE_CHECKING:
    from collections.abc import Iterator

RENDER_VERSION: Final = 4
"""Counts up when the same preset would give other bytes, so that old renditions are known to be old."""

PRESET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

FULL_CHROMA_QUALITY: Final = 90
"""From this quality on a JPEG or AVIF keeps its colours at full resolution, unless the preset says otherwise."""

Side = Annotated[int, Field(ge=1, le=16_383)]
Share = Annotated[float, Field(ge=0, le=1)]
Gravity = Literal[
    "center", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"
]  # fmt: skip


class Preset(BaseModel):
    """How one rendition is made.

    At least one side is given, and a missing one follows from the image's proportions; ``none`` keeps the size.
    Values are taken as they are (``true`` is no 1), and an option that would do nothing is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=f"^{PRESET_NAME.pattern}$")
    width: Side | None = Field(default=None, description="Pixels.")
    height: Side | None = Field(default=None, description="Pixels.")
    fit: Literal["contain", "cover", "fill", "none"] = Field(
        default="contain",
        description="`contain`: inside the box, proportions kept; `cover`: the box is filled, what overhangs is cut;"
        " `fill`: stretched to exactly the box; `none`: the size stays, only the format changes.",
    )
    gravity: Gravity = Field(default="center", description="Which part `cover` keeps.")
    focal_point: tuple[Share, Share] | None = Field(
        default=None,
        strict=False,  # TOML has lists, no tuples
        description="The point that `cover` keeps nearest the middle: shares of width and height from the left top.",
    )
    enlarge: bool = Field(
        default=False,
        description="Whether `contain` and `cover` may make a small image larger; else `cover` keeps the box's"
        " proportions only.",
    )
    format: Literal["jpeg", "png", "webp", "avif", "auto"] = Field(
        default="jpeg",
        description="`auto`: JPEG, or for an image with transparency (or an animation) WebP, with `lossless` PNG.",
    )
    quality: int = Field(default=80, ge=1, le=100, description="Of JPEG, AVIF and lossy WebP, 1 to 100.")
    background: str = Field(
        default="#ffffff",
        pattern=r"^#[0-9a-fA-F]{6}$",
        description="Under transparent pixels in a JPEG; the other formats, and so `auto`, keep them transparent.",
    )
    progressive: bool = Field(default=False, description="Progressive JPEG.")
    chroma: Literal["auto", "4:2:0", "4:2:2", "4:4:4"] = Field(
        default="auto", description="Colour resolution of JPEG and AVIF; `auto`: 4:2:0 below quality 90, else 4:4:4."
    )
    lossless: bool = Field(default=False, description="Of WebP and `auto`; PNG always is.")
    sharpen: int = Field(default=0, ge=0, le=300, description="Unsharp mask after the resizing, in percent.")
    animated: bool = Field(
        default=False, description="Whether an animation stays one (WebP, PNG, AVIF); else its first frame is taken."
    )
    effort: int | None = Field(
        default=None,
        ge=0,
        le=9,
        description="CPU time for smaller files of PNG, WebP and AVIF, 0 to 9; by default what pays for thumbnails.",
    )
    keep_copyright: bool = Field(default=False, description="Keeps EXIF's artist and copyright, and nothing else.")
    embedded_thumbnail: bool = Field(
        default=False,
        description="Lets a HEIC's own thumbnail serve when it is large enough, also one that was not"
        " [compared](images.md#formats) with the image: it may show another picture."
        ' Not with `fit = "none"`.',
    )
    key: str = Field(default="{preset}/{name}.{ext}", description="Key template; `{hash}` is there too.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if faults := [*self._size_faults(), *self._format_faults(), *self._key_faults()]:
            raise ValueError("; ".join(faults))
        return self

    def _size_faults(self) -> Iterator[str]:
        both = self.width is not None and self.height is not None
        if self.fit == "none":
            if self.width is not None or self.height is not None:
                yield 'fit = "none" keeps the size: leave out width and height, or choose another fit'
        elif self.width is None and self.height is None:
            yield "give width, height or both (pixels)"
        elif self.fit == "fill" and not both:
            yield 'fit = "fill" stretches to an exact size: give width and height'
        elif self.fit == "cover" and not both:
            yield 'fit = "cover" fills an exact size: give width and height'
        if self.fit != "cover" and (self.gravity != "center" or self.focal_point is not None):
            yield 'gravity and focal_point say what fit = "cover" keeps: they mean nothing here'
        if self.gravity != "center" and self.focal_point is not None:
            yield "gravity and focal_point exclude each other: leave one out"

        if "enlarge" in self.model_fields_set and self.fit in {"fill", "none"}:
            yield f'enlarge is for fit = "contain" and "cover": it means nothing for {self.fit}'
        if self.embedded_thumbnail and self.fit == "none":
            yield 'embedded_thumbnail means nothing for fit = "none": a thumbnail has not the size of the image'

    def _format_faults(self) -> Iterator[str]:
        if self.lossless and self.format in {"jpeg", "avif"}:
            yield f'{self.format} is not lossless here: choose format = "webp" or "png"'
        if self.animated and self.format == "jpeg":
            yield 'a JPEG cannot be animated: choose format = "webp", "png", "avif" or "auto"'
        if self.progressive and self.format not in {"jpeg", "auto"}:
            yield f"progressive is for JPEG: it means nothing for {self.format}"
        if self.chroma != "auto" and self.format not in {"jpeg", "avif", "auto"}:
            yield f"chroma is for JPEG and AVIF: it means nothing for {self.format}"
        if "quality" in self.model_fields_set and (self.format == "png" or (self.format == "webp" and self.lossless)):
            yield f"quality is for JPEG, AVIF and lossy WebP: it means nothing for lossless {self.format}"
        if "background" in self.model_fields_set and self.format != "jpeg":
            yield f"background is for JPEG: it means nothing for {self.format}, which keeps transparency"
        if self.effort is not None and self.format == "jpeg":
            yield "effort is for PNG, WebP and AVIF: it means nothing for jpeg"

    def _key_faults(self) -> Iterator[str]:
        try:
            prefix = self.output_prefix
        except ValueError as error:
            yield str(error)
            return
        if prefix.startswith((*keys.OWN_PREFIXES, keys.UPLOADS_PREFIX, keys.INBOX_PREFIX)):
            yield f"key template {self.key!r} writes under {prefix}, which thumbq keeps for itself"

    @property
    def output_prefix(self) -> str:
        """The folder that this preset's renditions lie under."""
        return keys.output_prefix(self.key, preset=self.name)

    @property
    def full_chroma(self) -> bool:
        """Whether ``chroma`` comes to 4:4:4."""
        return self.chroma == "4:4:4" or (self.chroma == "auto" and self.quality >= FULL_CHROMA_QUALITY)

    @property
    def content_types(self) -> tuple[str, ...]:
        """The media types that this preset's renditions may have, the usual one first."""
        names = (self.output_name(keeps_more=keeps_more) for keeps_more in (False, True))
        return tuple(dict.fromkeys(f"image/{name}" for name in names))

    @property
    def weight(self) -> tuple[bool, bool, float]:
        """What making it takes, beside other presets and roughly: animations and AVIF last, the small ones first."""
        sides = self.width or self.height or inf, self.height or self.width or inf
        return self.animated, self.format == "avif", sides[0] * sides[1]

    def output_name(self, *, keeps_more: bool) -> str:
        """Return the format of a rendition that keeps transparency or frames, or has none to keep."""
        return output_name(self.format, lossless=self.lossless, keeps_more=keeps_more)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when this preset would write other bytes or another key."""
        recipe = f"{RENDER_VERSION}:{self.model_dump_json()}"
        return hashlib.sha256(recipe.encode()).hexdigest()[:16]

    def rendition_key(self, source_key: str, content_type: str | None = None) -> str:
        """Return the key of this preset's rendition of an original; ``auto`` gives each media type its own."""
        extension = EXTENSIONS[content_type or self.content_types[0]]
        return keys.rendition_key(self.key, preset=self.name, source_key=source_key, extension=extension)


THUMBNAIL: Final = Preset(name="thumbnail", width=100, height=100)
"""The preset that is made of every original unless the settings say otherwise."""

BUILT_IN: Final = (
    THUMBNAIL,
    Preset(name="stretched", width=100, height=100, fit="fill"),
    Preset(name="jpgfiles", fit="none"),
)
"""The presets that are there without any settings: a message or a route can name them."""
