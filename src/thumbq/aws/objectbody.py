"""The bytes of an object as they arrive, held against the checksum that came with them."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final

import deflate
from botocore.exceptions import FlexibleChecksumError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from aiohttp import ClientResponse


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = deflate.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


_CHECKSUMS: Final[Mapping[str, Callable[[], Any]]] = {
    "x-amz-checksum-crc32": _Crc32,
    "x-amz-checksum-sha1": hashlib.sha1,
    "x-amz-checksum-sha256": hashlib.sha256,
}
"""Of S3's checksums those that need no further library, as botocore has it."""


class ObjectBody:
    """The body of an answer to a GET. Its connection is free again at its end, and closed when it is left before."""

    def __init__(self, response: ClientResponse) -> None:
        self._response = response
        self._expected: str = ""
        self._checksum: Any = None
        for name, make in _CHECKSUMS.items():
            expected = response.headers.get(name, "")
            if expected and "-" not in expected:  # behind a hyphen: a checksum of the checksums of parts
                self._expected, self._checksum = expected, make()
                break

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._response.close()  # no more than a release once all was read

    async def read(self, _size: int) -> bytes:
        """Return what has come of the body, and no bytes at its end.

        That is no more than aiohttp reads ahead, three pieces of 256 KiB; cut to a size, they would be copied twice.

        Raises aiohttp's errors, and FlexibleChecksumError when what was read is not what was stored.
        """
        piece = await self._response.content.readany()
        if self._checksum is None:
            return piece
        if piece:
            self._checksum.update(piece)
        elif self._checksum.digest() != b64decode(self._expected):
            found = b64encode(self._checksum.digest()).decode()
            raise FlexibleChecksumError(error_msg=f"the object's checksum is {self._expected}, its bytes have {found}")
        return piece
