"""``POST /upload``: the files of a form become originals and jobs, with the options that the fields before them give.

The answer is 201 when all files are stored and queued, 207 when some are (``success`` is then false, and every
entry of ``data.jobs`` has its ``status`` or its ``problem``), and the first problem, with its status, when none is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from thumbq.errors import UploadRefused
from thumbq.web import fields, idempotency, problems
from thumbq.web.bodies import invite, running
from thumbq.web.fields import FILE, Fields
from thumbq.web.filetaker import taking_files, too_large
from thumbq.web.formreader import MAX_FIELDS, FormReader, FormTexts, check_encoding
from thumbq.web.problems import ProblemRaised
from thumbq.web.services import SERVICES
from thumbq.web.uploadanswer import answer

if TYPE_CHECKING:
    from aiohttp import BodyPartReader, web

    from thumbq.intake.uploads import Accepted
    from thumbq.web.filetaker import FileTaker
    from thumbq.web.problems import HttpProblem
    from thumbq.web.uploadanswer import Refused
    from thumbq.web.uploadlimits import UploadLimits

_EXAMPLE: Final = "curl -F file=@photo.jpg URL"
_TEXTS: Final = FormTexts(
    not_multipart=f"Send multipart/form-data with a part named {FILE}, for example: {_EXAMPLE}",
    incomplete="The form ends before its closing boundary or is damaged; what was cut off is not stored.",
    nested=f"A form inside the form is not taken: {_EXAMPLE}",
)
_NAMES_SHOWN: Final = 5
_NAME_CHARS_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class _File:
    """A complete part named ``file``: its content, or the problem for which there is none."""

    filename: str | None
    content: bytes | HttpProblem


async def upload(request: web.Request) -> web.Response:
    """Take the files of a form, and answer what became of each."""
    services = request.app[SERVICES]
    key = idempotency.key_of(request)
    with running(request) as running_upload:
        reader = FormReader(request, running_upload, _TEXTS, max_bytes=services.limits.max_request_bytes)
        await invite(request)
        async with taking_files(services, key) as taker:
            form = _UploadForm(reader, taker, services.limits)
            entries = await form.take_files()
    if not entries:
        raise UploadRefused("no-file", _no_file_text(form.other_names))
    if len(entries) > 1:
        structlog.contextvars.unbind_contextvars("job_id")  # the answer is about several
    return await answer(request, entries, replayed=taker.replayed)


class _UploadForm:
    """Takes the files of one form in their order. At most one is in memory at any time."""

    def __init__(self, reader: FormReader, taker: FileTaker, limits: UploadLimits) -> None:
        self.other_names: list[str] = []
        self._reader = reader
        self._limits = limits
        self._fields = Fields()
        self._taker = taker
        self._files = 0
        self._part: BodyPartReader | None = None
        self._filename: str | None = None  # of the file that is being read

    async def take_files(self) -> list[Accepted | Refused]:
        """Return what became of each file. A form that cannot be read on ends with an entry for its problem."""
        entries: list[Accepted | Refused] = []
        try:
            self._part = await self._reader.next()
            while self._part is not None:
                if self._reader.name(self._part) == FILE:
                    file = await self._read_file(self._part)
                    entries.append(await self._taker.take(file.filename, file.content))
                else:
                    await self._read_field(self._part)
        except (UploadRefused, ProblemRaised) as error:
            entries.append(await self._taker.refuse(self._filename, problems.explain(error)))
        return entries

    async def _read_field(self, part: BodyPartReader) -> None:
        name = self._reader.name(part)
        if len(self.other_names) == MAX_FIELDS:
            raise UploadRefused("too-many-fields", f"The form has more than {MAX_FIELDS} other fields.")
        self.other_names.append(name)
        if not fields.is_option(name):
            await self._reader.skip(part)
        elif self._files:
            raise UploadRefused("field-after-file", f"Send the field {name} before the files that it is for.")
        else:
            content = await self._read(part, max_bytes=fields.MAX_FIELD_BYTES)
            self._fields.add(name, content, self._reader.charset)
        self._part = await self._reader.next()

    async def _read_file(self, part: BodyPartReader) -> _File:
        if not self._files:  # all fields that count are known
            self._taker.use(self._fields.options())
        max_files = self._limits.max_files
        self._files += 1
        if self._files > max_files:
            raise UploadRefused("too-many-files", f"One request takes {max_files} files; send the rest apart.")
        self._filename = self._reader.filename(part)
        content = await self._content(part)
        self._part = await self._reader.next()
        filename, self._filename = self._filename, None
        return _File(filename, content)

    async def _content(self, part: BodyPartReader) -> bytes | HttpProblem:
        try:
            check_encoding(part)
        except UploadRefused as refusal:
            await self._reader.skip(part)
            return problems.explain(refusal)
        limit = self._limits.max_file_bytes
        content = await self._read(part, max_bytes=limit)
        if content is None:
            return too_large(limit)
        return content

    async def _read(self, part: BodyPartReader, *, max_bytes: int) -> bytes | None:
        """Read a part to its end, so that the form can go on; None when it has more than ``max_bytes``."""
        content = await self._reader.read(part, max_bytes=max_bytes)
        if content is None:
            await self._reader.skip(part)
        return content


def _no_file_text(other_names: list[str]) -> str:
    if not other_names:
        return f"The form is empty; it needs a part named {FILE}, for example: {_EXAMPLE}"
    names = ", ".join(name[:_NAME_CHARS_SHOWN] or "(no name)" for name in other_names[:_NAMES_SHOWN])
    more = " and more" if len(other_names) > _NAMES_SHOWN else ""
    return f"The form has no part named {FILE}; it has: {names}{more}. For example: {_EXAMPLE}"
