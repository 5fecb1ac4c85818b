"""The replies of render processes: data that the parent checks and does not trust, since hostile code may have sent it.

A pickle can call any function there is: the sandbox would be worth nothing. So jobs are answered in JSON, which is
checked here. The one call of an executor that a process is in is answered by a pickle, which may hold little but
numbers, texts and built-in exceptions (see ReplyQueue in executor.py).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from thumbq.imaging import Refusal
from thumbq.ports import Rendered  # noqa: TC001 -- pydantic reads the annotation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thumbq.core.preset import Preset

MAX_BYTES: Final = 1 << 20
"""The size of a reply at most; honest ones have a few hundred bytes."""


@dataclass(frozen=True, slots=True)
class Done:
    """A finished job. The bodies are not in ``rendered`` but come one after the other behind the reply."""

    rendered: Rendered
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The render function raised, which is a bug; it says nothing about the image."""

    text: str


Reply = Done | Refusal | Failed

_REPLY: Final = TypeAdapter[Reply](Reply)


def encode(reply: Reply) -> bytes:
    """Return a reply as a render process sends it."""
    # Texts of decoders can have lone surrogates, which are no UTF-8.
    return json.dumps(asdict(reply), ensure_ascii=False, default=bytes.decode).encode(errors="replace")


def decode(raw: object, presets: Sequence[Preset], body_bytes: int) -> Reply:
    """Return the reply to a job for ``presets``, behind which so many bytes came; Failed if it makes no sense."""
    try:
        reply = _REPLY.validate_json(raw)  # type: ignore[arg-type]  # other types are among the errors
    except ValidationError:
        return Failed("its answer makes no sense")
    if isinstance(reply, Done) and not _fits(reply, presets, body_bytes):
        return Failed("its answer is not what was asked for")
    return reply


def _fits(done: Done, presets: Sequence[Preset], body_bytes: int) -> bool:
    images, dear = done.rendered.images, [one.preset for one in done.rendered.not_made]
    if dear != [preset.name for preset in presets if preset.name in dear]:
        return False
    presets = [preset for preset in presets if preset.name not in dear]
    return (
        0 < len(images) == len(presets) == len(done.sizes)
        and all(image.preset == preset.name for image, preset in zip(images, presets, strict=True))
        and all(image.content_type in preset.content_types for image, preset in zip(images, presets, strict=True))
        and min(done.sizes, default=0) >= 0
        and sum(done.sizes) == body_bytes
    )
