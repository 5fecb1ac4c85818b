"""``POST /inbox``: takes the forms of direct uploads where the store has no address of its own, as S3 would.

Fields come first, the part ``file`` after them; what follows it does not count.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final, TypeVar

from aiohttp import BodyPartReader, MultipartReader, hdrs, web

from thumbq.web.parts import BROKEN_BODY, FIELD
from thumbq.web.problems import HttpProblem, ProblemRaised
from thumbq.web.services import SERVICES, UPLOADS

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from thumbq.web.admission import Uploads

_CHUNK_BYTES: Final = 1 << 16
_MAX_FIELDS: Final = 100
_MAX_FIELD_BYTES: Final = 20_000
"""For all fields together, as on S3 (Amazon S3 API Reference, "POST Object")."""

T = TypeVar("T")


async def accept_presigned_upload(request: web.Request) -> web.Response:
    """Take an original with the form that was signed for it, and queue its job; 204, as from S3."""
    services, uploads = request.app[SERVICES], request.app[UPLOADS]
    receiver = services.backend.presigned_verifier
    if receiver is None or services.direct is None:
        raise ProblemRaised(HttpProblem(404, "no-direct-uploads", "Forms are not posted here."))
    if request.content_type != "multipart/form-data":
        text = "Send multipart/form-data: the fields as they came, then the file."
        raise ProblemRaised(HttpProblem(400, "not-multipart", text))
    with uploads.slot():
        stall_s = services.limits.stall_timeout_s
        posted = _Posted(request, uploads, stall_s)
        try:
            form = receiver.verify(await posted.fields())
            body = await posted.file(max_bytes=form.max_bytes)
        except TimeoutError:
            text = f"No byte of the upload came for {stall_s:g} seconds."
            raise ProblemRaised(HttpProblem(408, "upload-stalled", text)) from None
        except BROKEN_BODY:
            text = "The form ends before the end of its file or is damaged; nothing was stored."
            raise ProblemRaised(HttpProblem(400, "incomplete-body", text)) from None
        await services.direct.take(form, body, within_s=services.backend_timeout_s)
    return web.Response(status=204)


class _Posted:
    """A form as it comes in. Nothing of its file is read before its fields were looked at."""

    def __init__(self, request: web.Request, uploads: Uploads, stall_s: float) -> None:
        self._request = request
        self._uploads = uploads
        self._stall_s = stall_s
        self._reader: MultipartReader | None = None
        self._file: BodyPartReader | None = None

    async def fields(self) -> dict[str, str]:
        """Read all fields up to the file."""
        self._reader = await self._request.multipart()
        found: dict[str, str] = {}
        room = _MAX_FIELD_BYTES
        while (part := await self._next_part()) is not None:
            name = (part.name or "").lower()
            if name == FIELD:
                self._file = part
                return found
            if name in found:
                raise ProblemRaised(HttpProblem(400, "repeated-field", f'The field "{name[:100]}" is there twice.'))
            value = await self._read(part, max_bytes=room)
            if value is None or len(found) == _MAX_FIELDS:
                text = f"The form has more than {_MAX_FIELDS} fields, or {_MAX_FIELD_BYTES} bytes of them."
                raise ProblemRaised(HttpProblem(413, "too-many-fields", text))
            room -= len(value)
            found[name] = value.decode(errors="replace")
        text = f"The form has no part named {FIELD}: it comes last, after the fields."
        raise ProblemRaised(HttpProblem(400, "no-file", text))

    async def file(self, *, max_bytes: int) -> bytes:
        """Read the file, and the boundary behind it: nothing else tells it from one that was cut off."""
        assert self._file is not None
        if self._file.headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "binary").lower() not in {"binary", "8bit", "7bit"}:
            text = "Send the file as it is, without a Content-Transfer-Encoding."
            raise ProblemRaised(HttpProblem(415, "transfer-encoding", text))
        body = await self._read(self._file, max_bytes=max_bytes)
        if body is None:
            text = f"The file is larger than the {max_bytes} bytes that its form allows."
            raise ProblemRaised(HttpProblem(413, "too-large", text))
        await self._next_part()
        return body

    async def _next_part(self) -> BodyPartReader | None:
        assert self._reader is not None
        part = await self._unstalled(self._reader.next())
        if isinstance(part, MultipartReader):
            raise ProblemRaised(HttpProblem(400, "nested-form", "A form inside the form is not taken."))
        return part

    async def _read(self, part: BodyPartReader, *, max_bytes: int) -> bytes | None:
        """Return a part's bytes; None as soon as they are more than ``max_bytes``."""
        kept = BytesIO()
        while not part.at_eof():
            kept.write(await self._unstalled(part.read_chunk(_CHUNK_BYTES)))
            if kept.tell() > max_bytes:
                return None
        return kept.getvalue()

    async def _unstalled(self, step: Awaitable[T]) -> T:
        with self._uploads.waiting(at_most_s=self._stall_s):
            return await step
