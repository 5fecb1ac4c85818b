"""What a child answers. The parent takes it as data, and believes nothing of it: hostile code may have written it.

An executor unpickles what its processes send, and a pickle can call any function there is: the child's sandbox would be
worth nothing. So jobs are answered in JSON, which the parent checks, and what is pickled around that may hold almost
nothing but numbers, texts and built-in exceptions.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
from concurrent.futures.process import _ResultItem
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from thumbq.imaging import Refusal
from thumbq.ports import Rendered  # noqa: TC001 -- pydantic reads the annotation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thumbq.core.preset import Preset

MAX_BYTES: Final = 1 << 20
"""What an answer may have; those of honest children have a few hundred."""

_GLOBALS: Final = {
    ("concurrent.futures.process", "_ResultItem"),
    ("concurrent.futures.process", "_rebuild_exc"),
    ("thumbq.errors", "Problem"),
}


@dataclass(frozen=True, slots=True)
class Done:
    """A finished job. The bodies are not in ``rendered`` but one after the other in the output file."""

    rendered: Rendered
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The render function raised, which it never should; says nothing about the image."""

    text: str


Reply = Done | Refusal | Failed

_REPLY: Final = TypeAdapter[Reply](Reply)


def encode(reply: Reply) -> bytes:
    """Return a reply as the child sends it."""
    # Texts of decoders can have lone surrogates, which are no UTF-8.
    return json.dumps(asdict(reply), ensure_ascii=False, default=bytes.decode).encode(errors="replace")


def decode(raw: object, presets: Sequence[Preset], output_bytes: int) -> Reply:
    """Read a reply to a job for ``presets`` whose output file has so many bytes; what makes no sense is Failed."""
    try:
        reply = _REPLY.validate_json(raw)  # type: ignore[arg-type]  # other types are among the errors
    except ValidationError:
        return Failed("its answer makes no sense")
    if isinstance(reply, Done) and not _fits(reply, presets, output_bytes):
        return Failed("its answer is not what was asked for")
    return reply


def _fits(done: Done, presets: Sequence[Preset], output_bytes: int) -> bool:
    images = done.rendered.images
    return (
        len(images) == len(presets) == len(done.sizes)
        and all(image.preset == preset.name for image, preset in zip(images, presets, strict=True))
        and all(image.content_type in preset.content_types for image, preset in zip(images, presets, strict=True))
        and min(done.sizes, default=0) >= 0
        and sum(done.sizes) <= output_bytes
    )


class ReplyQueue(SimpleQueue[Any]):
    """An executor's result queue whose reader is wary."""

    _reader: Connection
    _writer: Connection
    _poll: Callable[[], bool]

    def __init__(self, *, ctx: Any) -> None:
        super().__init__(ctx=ctx)
        self._plain = self._reader
        self._reader = _WaryReader(os.dup(self._plain.fileno()), writable=False)
        self._poll = self._reader.poll

    def __getstate__(self) -> Any:
        state: Any = super().__getstate__()
        return self._plain, *state[1:]

    def hang_up(self) -> None:
        """Close the ends that the child has too: who waits for the rest of a message then sees the child's end."""
        self._plain.close()
        self._writer.close()


class _WaryReader(Connection):
    def recv(self) -> _ResultItem:
        item: Any = _Unpickler(io.BytesIO(self.recv_bytes(MAX_BYTES))).load()
        sane = (
            type(item) is _ResultItem
            and type(item.work_id) is int
            and item.exit_pid is None
            and isinstance(item.exception, Exception | None)
        )
        if not sane:
            raise pickle.UnpicklingError("a render process sent what is no result")
        return cast("_ResultItem", item)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _GLOBALS:
            return super().find_class(module, name)
        found = getattr(builtins, name, None) if module == "builtins" else None
        if isinstance(found, type) and issubclass(found, Exception):
            return found
        raise pickle.UnpicklingError(f"a render process sent {module}.{name}")
