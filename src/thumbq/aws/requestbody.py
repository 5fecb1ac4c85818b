"""The body of a large request, written from the bytes that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp.payload import Payload
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

_PIECE: Final = 1 << 18


class RequestBody(Payload):
    """Bytes that aiohttp writes in pieces, without a copy of them; whole ones would block the event loop.

    A BytesIO would be copied: aiohttp's BytesIOPayload calls its ``getbuffer``. Each write begins anew, so that a
    request can be sent again: by botocore, by aiohttp when a kept connection was closed, or after a redirect.
    """

    _value: bytes
    _autoclose = True  # aiohttp: there is nothing to close

    def __init__(self, value: bytes) -> None:
        super().__init__(value)
        self._size = len(value)

    def seek(self, offset: int) -> None:
        """Let botocore rewind the body before another try: nothing is to do."""
        assert offset == 0

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text."""
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write the body, or its first ``content_length`` bytes."""
        rest = memoryview(self._value)[:content_length]
        while rest:
            await writer.write(rest[:_PIECE])
            rest = rest[_PIECE:]
            await checkpoint()


def in_pieces(body: bytes) -> bytes | RequestBody:
    """Return a body as aiohttp is to write it: a large one in pieces."""
    return RequestBody(body) if len(body) > _PIECE else body
