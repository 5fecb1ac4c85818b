"""Reading a multipart form part by part, whatever the client sends: for ``POST /upload`` and ``POST /inbox``."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import BodyPartReader, MultipartReader, hdrs
from aiohttp.multipart import BadContentDispositionHeader, BadContentDispositionParam

from thumbq.errors import UploadRefused
from thumbq.web.bodies import read, unbroken
from thumbq.web.multipart import CHARSET, MAX_CHARSET_BYTES, NestedForm, charset_of, parts_of, readable_head

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from aiohttp import web

    from thumbq.web.admission import RunningUpload

T = TypeVar("T")

MAX_FIELDS: Final = 100
"""How many other parts a form may have."""

_CHUNK_BYTES: Final = 1 << 16

# A client's bad header is no warning for the operator, and each new text of one would be remembered for good.
warnings.filterwarnings("ignore", category=BadContentDispositionHeader)
warnings.filterwarnings("ignore", category=BadContentDispositionParam)


@dataclass(frozen=True, slots=True)
class FormTexts:
    """What the client of one route is told about its form."""

    not_multipart: str
    incomplete: str
    nested: str


class FormReader:
    """Reads the parts of one form in their order.

    A part is complete only when ``next`` has read the boundary behind it: aiohttp gives no other sign of one that was
    cut off. A form of more than ``max_bytes`` is refused, before it is read if it says its length.

    Every method raises UploadRefused for a form that cannot be read on, and ProblemRaised when its upload is ended or
    finds no room.
    """

    def __init__(
        self, request: web.Request, upload: RunningUpload, texts: FormTexts, *, max_bytes: float = math.inf
    ) -> None:
        self._reader = parts_of(request, not_multipart=texts.not_multipart)
        self._body = request.content
        self._upload = upload
        self._texts = texts
        self._max_bytes = max_bytes
        self._charset: str | None = None
        self._check_size(request.content_length or 0)

    async def next(self) -> BodyPartReader | None:
        """Read the boundary behind the part before and the head of the next part; None behind the last part."""
        part = await self._next()
        if part is not None and self._charset is None and self.name(part) == CHARSET:
            self._charset = charset_of(await self.read(part, max_bytes=MAX_CHARSET_BYTES))
            part = await self._next()
        return part

    async def _next(self) -> BodyPartReader | None:
        try:
            part = await self._read(readable_head(self._reader.next(), self._body))
        except NestedForm:
            raise UploadRefused("nested-form", self._texts.nested) from None
        assert not isinstance(part, MultipartReader)
        return part

    @property
    def charset(self) -> str:
        """The encoding of the fields, as Python calls it: UTF-8 unless the form has named another."""
        return self._charset or "utf-8"

    def name(self, part: BodyPartReader) -> str:
        """Return the name of a part; "" when it has none."""
        with unbroken(self._texts.incomplete):
            return part.name or ""

    def filename(self, part: BodyPartReader) -> str | None:
        """Return the file name of a part."""
        with unbroken(self._texts.incomplete):
            name = part.filename
        if name is None or self._charset is None:
            return name
        return name.encode(errors="surrogateescape").decode(self._charset, errors="replace")

    async def read(self, part: BodyPartReader, *, max_bytes: int) -> bytes | None:
        """Return the content of a part; None as soon as it has more than ``max_bytes``: the rest stays unread."""
        # BytesIO hands its buffer over without a copy: a file is in memory once.
        content = BytesIO()
        while not part.at_eof():
            content.write(await self._chunk(part))
            if content.tell() > max_bytes:
                return None
            await self._upload.hold(content.tell(), at_most=max_bytes)
        return content.getvalue()

    async def skip(self, part: BodyPartReader) -> None:
        """Read a part to its end and drop it."""
        while not part.at_eof():
            await self._chunk(part)

    async def _chunk(self, part: BodyPartReader) -> bytes:
        chunk = await self._read(part.read_chunk(_CHUNK_BYTES))
        self._check_size(self._body.total_bytes)
        return chunk

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise UploadRefused("too-large", f"The request is larger than {self._max_bytes} bytes.")

    async def _read(self, reading: Coroutine[Any, Any, T]) -> T:
        return await read(self._upload, reading, what="upload", if_broken=self._texts.incomplete)


def check_encoding(part: BodyPartReader) -> None:
    """Raise UploadRefused for a file in a Content-Transfer-Encoding that changes its bytes."""
    if part.headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "binary").lower() not in {"binary", "8bit", "7bit"}:
        raise UploadRefused("transfer-encoding", "Send the file as it is, without a Content-Transfer-Encoding.")
