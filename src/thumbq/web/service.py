"""``GET /service``: what this service takes and makes, and what the client may do with it. The page needs to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from thumbq.core.formats import PATTERNS, SNIFF_BYTES
from thumbq.core.token import Scope
from thumbq.intake.storing import EMPTY
from thumbq.intake.uploads import UNKNOWN_FORMAT
from thumbq.web.access import token_of
from thumbq.web.answers import Answer, Envelope
from thumbq.web.filetaker import too_large
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from aiohttp import web

    from thumbq.core.preset import Preset
    from thumbq.web.services import WebServices


class UploadLimit(Answer):
    """What an upload may be."""

    max_file_bytes: int
    max_files: int


class KnownFormat(Answer):
    """A format, by the first bytes of its files."""

    name: str
    content_type: str
    pattern: str = Field(description="Regular expression over these bytes, each a character; `.` is any of them.")
    written: bool = Field(description="Whether renditions may have it.")


class KnownPreset(Answer):
    """A preset, in short."""

    name: str
    width: int | None
    height: int | None
    fit: str
    format: str
    quality: int
    focal_point: tuple[float, float] | None


class Client(Answer):
    """Who asks."""

    name: str | None = Field(description="The token's name; null where no token is asked for.")
    scopes: list[Scope]


class Service(Answer):
    """What the service takes and makes."""

    client: Client
    limits: UploadLimit
    sniff_bytes: int = Field(description="How many of a file's first bytes its format is told by.")
    formats: list[KnownFormat] = Field(description="In the order in which they are tried.")
    refusals: dict[Literal["too-large", "unsupported-format", "empty-file"], str] = Field(
        description="By code: what a file is refused with."
    )
    presets: list[KnownPreset]
    upload_presets: list[str] = Field(description="Names of the presets that an upload gets if it names none.")
    queues: list[str] = Field(description="Names for `priority`, the most urgent first; none where there is one queue.")


class ServiceAnswer(Envelope):
    """What the service takes and makes."""

    data: Service


async def get_service(request: web.Request) -> web.Response:
    """Answer what there is to know before an upload."""
    token = token_of(request)
    client = Client(name=None, scopes=list(Scope))
    if token is not None:
        client = Client(name=token.name, scopes=[scope for scope in Scope if scope in token.scopes])
    return ServiceAnswer(
        success=True, message="What this service takes and makes", data=_service(request.app[SERVICES], client)
    ).response()


def _service(services: WebServices, client: Client) -> Service:
    limits, catalog = services.limits, services.catalog
    return Service(
        client=client,
        limits=UploadLimit(max_file_bytes=limits.max_file_bytes, max_files=limits.max_files),
        sniff_bytes=SNIFF_BYTES,
        formats=[
            KnownFormat(
                name=known.name,
                content_type=known.content_type,
                pattern=pattern,
                written=known.output is not None,
            )
            for pattern, known in PATTERNS
        ],
        refusals={
            "too-large": too_large(limits.max_file_bytes).detail,
            "unsupported-format": UNKNOWN_FORMAT,
            "empty-file": EMPTY,
        },
        presets=[_preset(preset) for preset in catalog.presets.values()],
        upload_presets=[preset.name for preset in catalog.presets_for_uploads()],
        queues=list(services.intake.priorities),
    )


def _preset(preset: Preset) -> KnownPreset:
    return KnownPreset(
        name=preset.name,
        width=preset.width,
        height=preset.height,
        fit=preset.fit,
        format=preset.format,
        quality=preset.quality,
        focal_point=preset.focal_point,
    )
