"""Reading the files of a multipart form, one at a time, whatever the client sends."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final, TypeVar

from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import BadContentDispositionHeader, BadContentDispositionParam

from thumbq.core.uploadoptions import NO_OPTIONS
from thumbq.errors import UploadRefused
from thumbq.web import fields
from thumbq.web.fields import Fields
from thumbq.web.problems import HttpProblem, ProblemRaised, explain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from thumbq.core.uploadoptions import UploadOptions
    from thumbq.web.admission import Uploads
    from thumbq.web.services import UploadLimits

FIELD: Final = "file"
EXAMPLE: Final = "curl -F file=@photo.jpg URL"

_CHUNK_BYTES: Final = 1 << 16
_MAX_FIELDS: Final = 100
_MIB: Final = 1 << 20

# A client's bad header is no warning for the operator, and each new text of one would be remembered for good.
warnings.filterwarnings("ignore", category=BadContentDispositionHeader)
warnings.filterwarnings("ignore", category=BadContentDispositionParam)

# What aiohttp raises when a body ends early or is no multipart: the reader's own complaints (RuntimeError for a bad
# `_charset_`), a connection that went away, and faults of chunking or compression.
BROKEN_BODY: Final = (ValueError, RuntimeError, ConnectionError, web.RequestPayloadError, HttpProcessingError)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FilePart:
    """A part named ``file``: its whole body, or the problem for which there is none."""

    filename: str | None
    content: bytes | HttpProblem


class FileParts:
    """The files of one request. ``fields`` are the names of the other parts that went by, ``asked`` is what some say.

    With the first file everything is known that is asked for, and ``check`` raises UploadRefused if it cannot be had.

    A file counts only when the boundary behind it was read: aiohttp tells a part that was cut off by nothing else.
    """

    def __init__(
        self, request: web.Request, limits: UploadLimits, uploads: Uploads, *, check: Callable[[UploadOptions], None]
    ) -> None:
        self.fields: list[str] = []
        self.asked = NO_OPTIONS
        self._form = Fields()
        self._check = check
        self._body = request.content
        self._request = request
        self._limits = limits
        self._uploads = uploads
        self._reader: MultipartReader | None = None
        self._part: BodyPartReader | None = None
        self._files = 0
        self._at_end = False

    async def next(self) -> FilePart | None:
        """Return the next file, or None after the last. A body that cannot be read on ends with its problem."""
        if self._at_end:
            return None
        filename = None
        try:
            part = await self._next_file()
            if part is None:
                self._at_end = True
                return None
            filename = part.filename
            content = await self._content(part)
            await self._advance()
        except ProblemRaised as raised:
            problem = raised.problem
        except UploadRefused as error:
            problem = explain(error)
        except TimeoutError:
            text = f"No byte of the upload came for {self._limits.stall_timeout_s:g} seconds."
            problem = HttpProblem(408, "upload-stalled", text)
        except BROKEN_BODY:
            text = "The form ends before its closing boundary or is damaged; what was cut off is not stored."
            problem = HttpProblem(400, "incomplete-body", text)
        else:
            return FilePart(filename, content)
        self._at_end = True
        return FilePart(filename, problem)

    async def _next_file(self) -> BodyPartReader | None:
        if self._reader is None:
            self._reader = await self._request.multipart()
            await self._advance()
        while (part := self._part) is not None and part.name != FIELD:
            if len(self.fields) == _MAX_FIELDS:
                raise _too_large("too-many-fields", f"The form has more than {_MAX_FIELDS} other fields.")
            await self._pass(part, part.name or "")
            await self._advance()
        if part is not None:
            if not self._files:
                self.asked = self._form.asked()
                self._check(self.asked)
            self._files += 1
            if self._files > self._limits.max_files:
                raise _too_large(
                    "too-many-files", f"One request takes {self._limits.max_files} files; send the rest apart."
                )
        return part

    async def _pass(self, part: BodyPartReader, name: str) -> None:
        """Take a part that is no file."""
        self.fields.append(name)
        if name not in fields.NAMES:
            await self._read(part, keep_bytes=0)
        elif self._files:
            raise fields.too_late(name)
        else:
            self._form.add(name, await self._read(part, keep_bytes=fields.MAX_FIELD_BYTES))

    async def _advance(self) -> None:
        """Read the boundary behind the part that was read, and the headers of the next part."""
        assert self._reader is not None
        part = await self._unstalled(self._reader.next())
        if isinstance(part, MultipartReader):
            raise ProblemRaised(HttpProblem(400, "nested-form", f"A form inside the form is not taken: {EXAMPLE}"))
        self._part = part

    async def _content(self, part: BodyPartReader) -> bytes | HttpProblem:
        encoding = part.headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "binary").lower()
        plain = encoding in {"binary", "8bit", "7bit"}
        limit = self._limits.max_file_bytes
        content = await self._read(part, keep_bytes=limit if plain else 0)
        if not plain:
            text = "Send the file as it is, without a Content-Transfer-Encoding."
            return HttpProblem(415, "transfer-encoding", text)
        if content is None:
            return HttpProblem(413, "too-large", f"The file is larger than {limit / _MIB:g} MiB ({limit} bytes).")
        return content

    async def _read(self, part: BodyPartReader, *, keep_bytes: int) -> bytes | None:
        """Read a part to its end; return its bytes, or None when they are more than ``keep_bytes``."""
        # BytesIO hands its buffer over without a copy: a file is in memory once.
        kept: BytesIO | None = BytesIO()
        while not part.at_eof():
            chunk = await self._unstalled(part.read_chunk(_CHUNK_BYTES))
            if self._body.total_bytes > self._limits.max_request_bytes:
                raise request_too_large(self._limits)
            if kept is not None:
                kept.write(chunk)
                if kept.tell() > keep_bytes:
                    kept = None
        return None if kept is None else kept.getvalue()

    async def _unstalled(self, step: Awaitable[T]) -> T:
        with self._uploads.waiting(at_most_s=self._limits.stall_timeout_s):
            return await step


def request_too_large(limits: UploadLimits) -> ProblemRaised:
    """Return the problem of a request that is larger than all files together may be."""
    return _too_large("too-large", f"The request is larger than {limits.max_request_bytes} bytes.")


def _too_large(code: str, detail: str) -> ProblemRaised:
    return ProblemRaised(HttpProblem(413, code, detail))
