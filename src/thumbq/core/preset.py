"""A preset: a named recipe for renditions."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thumbq.core import keys

RENDER_VERSION: Final = 1
"""Counts up when the same preset would give other bytes, so that old renditions are known to be old."""

PRESET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

EXTENSIONS: Final = {"jpeg": "jpg", "png": "png", "webp": "webp"}

Side = Annotated[int, Field(ge=1, le=16_383)]


class Preset(BaseModel):
    """How one rendition is made.

    At least one side is given; a missing one follows from the image's proportions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=f"^{PRESET_NAME.pattern}$")
    width: Side | None = Field(default=None, description="pixels")
    height: Side | None = Field(default=None, description="pixels")
    fit: Literal["contain", "fill"] = Field(
        default="contain",
        description="contain: inside the box, proportions kept; fill: stretched to exactly the box",
    )
    enlarge: bool = Field(default=False, description="whether contain may make a small image larger")
    format: Literal["jpeg", "png", "webp"] = "jpeg"
    quality: int = Field(default=80, ge=1, le=100, description="of JPEG and WebP")
    background: str = Field(
        default="#ffffff",
        pattern=r"^#[0-9a-fA-F]{6}$",
        description="under transparent pixels when the format has none",
    )
    key: str = Field(default="{preset}/{name}.{ext}", description="key template; {hash} is there too")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width is None and self.height is None:
            raise ValueError("give width, height or both (pixels)")
        if self.fit == "fill" and (self.width is None or self.height is None):
            raise ValueError('fit = "fill" stretches to an exact size: give width and height')
        reserved = (*keys.OWN_PREFIXES, keys.UPLOADS_PREFIX)
        if self.output_prefix.startswith(reserved):
            raise ValueError(
                f"key template {self.key!r} writes under {self.output_prefix}, which thumbq keeps for itself"
            )
        return self

    @property
    def output_prefix(self) -> str:
        """The folder that this preset's renditions lie under."""
        return keys.output_prefix(self.key, preset=self.name)

    @property
    def extension(self) -> str:
        """The extension of this preset's renditions, without a dot."""
        return EXTENSIONS[self.format]

    @property
    def content_type(self) -> str:
        """The media type of this preset's renditions."""
        return f"image/{self.format}"

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when this preset would write other bytes or another key."""
        recipe = f"{RENDER_VERSION}:{self.model_dump_json()}"
        return hashlib.sha256(recipe.encode()).hexdigest()[:16]

    def rendition_key(self, source_key: str) -> str:
        """Return the key of this preset's rendition of an original."""
        return keys.rendition_key(self.key, preset=self.name, source_key=source_key, extension=self.extension)


THUMBNAIL: Final = Preset(name="thumbnail", width=100, height=100)
"""The preset that is there without any settings."""
