"""Settings of the HTTP side."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field

from thumbq.core.units import MIB


def _base(url: str | None) -> str | None:
    """Return an address without a slash at its end. Raises ValueError for what no link can begin with."""
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("it must be an address such as https://pictures.example.com, without a query")
    return url.rstrip("/")


class HttpSettings(BaseModel):
    """Where to listen, and what uploads may be."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    public_url: Annotated[str | None, AfterValidator(_base)] = Field(
        default=None,
        description="Address that clients reach thumbq at, as `https://pictures.example.com`; all links are absolute"
        " then.",
    )
    max_upload_bytes: int = Field(default=25 * MIB, ge=1, description="Largest file in an upload.")
    max_upload_files: int = Field(default=20, ge=1, description="Most files in one upload request.")
    max_uploads: int = Field(
        default=8,
        ge=1,
        description="Files of the largest size that uploads may hold in memory at once; smaller ones share their room."
        " An upload that finds none waits 5 s and is then answered 503.",
    )
    upload_expiry_s: int = Field(
        default=900, ge=1, le=604_800, description="How long a presigned upload can be used; at most a week."
    )
    page: bool = Field(default=True, description="Whether the [page](page.md) is served, at `/`.")
    max_waiters: int = Field(
        default=1000,
        ge=0,
        description="Requests that wait for news of jobs (`Prefer: wait`); one more is answered at once.",
    )
