"""Settings of where things are kept."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, field_validator

from thumbq.core.keys import MAX_KEY_PREFIXES
from thumbq.settings.paths import NamedPath


class BackendSettings(BaseModel):
    """The store and the queue."""

    config: NamedPath | None = Field(default=None, description="Settings file; `thumbq.toml` here when there is one.")
    local: NamedPath | None = Field(default=None, description="Directory of the embedded backend.")
    bucket: str | None = Field(default=None, description="S3 bucket of originals, renditions and manifests.")
    queue: str | None = Field(default=None, description="SQS queue, by name or URL.")

    key_prefixes: int = Field(
        default=1,
        ge=1,
        le=MAX_KEY_PREFIXES,
        description="Over how many prefixes of their keys new originals are [spread](scale.md#spread-keys).",
    )

    @field_validator("local", mode="before")
    @classmethod
    def _named(cls, directory: Any) -> Any:
        # An unset shell variable; as a path it would mean the current directory.
        if directory == "":
            raise ValueError("it is empty: name a directory")
        return directory
