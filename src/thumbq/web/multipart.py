"""aiohttp's reader of multipart forms, without its own reading of ``_charset_``; and what that field may say.

aiohttp 3.14 ends with an AssertionError for a form with ``_charset_`` whose boundary has 30 characters or more, as
browsers' have (aio-libs/aiohttp#13640). In a multipart that does not call itself a form it looks for no such field.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import BodyPartReader, MultipartReader, content_disposition_filename, hdrs, parse_content_disposition
from aiohttp.helpers import parse_mimetype
from aiohttp.http_exceptions import BadHttpMessage, InvalidHeader, LineTooLong

from thumbq.errors import UploadRefused

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from aiohttp import StreamReader, web

T = TypeVar("T")

CHARSET: Final = "_charset_"
"""The field that names the encoding of the others (RFC 7578, 4.6)."""

MAX_CHARSET_BYTES: Final = 40

_MAX_LINE_BYTES: Final = 8190
_MAX_LINES: Final = 128
_MAX_BOUNDARY_CHARS: Final = 70  # RFC 2046, 5.1.1

# The encodings of the WHATWG's standard that Python has. Any name would do for Python, but it remembers each for good.
_CHARSETS: Final = frozenset(
    (
        *("utf-8", "utf8", "us-ascii", "ascii", "latin1", "iso-8859-1", "macintosh", "koi8-r", "koi8-u", "ibm866"),
        *(f"iso-8859-{number}" for number in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
        *(f"windows-{number}" for number in (874, *range(1250, 1259))),
        *("gbk", "gb2312", "gb18030", "big5", "euc-jp", "iso-2022-jp", "shift_jis", "euc-kr"),
    )
)
_AS_PYTHON_CALLS_IT: Final = {"macintosh": "mac_roman", "windows-874": "cp874"}


class _Part(BodyPartReader):
    """A part whose Content-Disposition is parsed once, for both of its names."""

    def __init__(self, *args: Any, subtype: str, **options: Any) -> None:
        del subtype
        super().__init__(*args, subtype="form-data", **options)

    @cached_property
    def _disposition(self) -> Mapping[str, str]:
        return parse_content_disposition(self.headers.get(hdrs.CONTENT_DISPOSITION))[1]

    @property
    def name(self) -> str | None:
        return content_disposition_filename(self._disposition, "name")

    @property
    def filename(self) -> str | None:
        return content_disposition_filename(self._disposition, "filename")


class NestedForm(Exception):
    """A part of a form is a form itself."""


class _Nested(MultipartReader):
    def __init__(self, *_args: Any, **_options: Any) -> None:  # before aiohttp looks for its boundary
        raise NestedForm


class _Parts(MultipartReader):
    part_reader_cls: type[BodyPartReader] = _Part
    multipart_reader_cls: type[MultipartReader] = _Nested


def parts_of(request: web.Request, *, not_multipart: str) -> MultipartReader:
    """Return the parts of a form. Raises UploadRefused for a body that says of itself that it is none."""
    if request.content_type != "multipart/form-data":
        raise UploadRefused("not-multipart", not_multipart)
    # Another multipart than a form: for this aiohttp looks for no ``_charset_``.
    content_type = f"multipart/mixed;{request.headers[hdrs.CONTENT_TYPE].partition(';')[2]}"
    boundary = parse_mimetype(content_type).parameters.get("boundary", "")
    if not (0 < len(boundary) <= _MAX_BOUNDARY_CHARS and boundary.isprintable()):
        text = (
            f"The header Content-Type has no boundary of 1 to {_MAX_BOUNDARY_CHARS} characters, so its parts"
            " cannot be told apart. Leave the header to what makes the form: it knows the boundary."
        )
        raise UploadRefused("no-boundary", text)
    return _Parts(
        {hdrs.CONTENT_TYPE: content_type}, request.content, max_field_size=_MAX_LINE_BYTES, max_headers=_MAX_LINES
    )


def charset_of(content: bytes | None) -> str:
    """Return the encoding that a field ``_charset_`` names, as Python calls it. Raises UploadRefused for none."""
    name = (content or b"").decode(errors="replace").strip().lower()
    if name not in _CHARSETS:
        text = f"The field {CHARSET} names no encoding that is known here. Leave it out and send UTF-8."
        raise UploadRefused("invalid-field", text)
    return _AS_PYTHON_CALLS_IT.get(name, name)


async def readable_head(reading: Coroutine[Any, Any, T], content: StreamReader) -> T:
    """Return what ``reading`` reads: the head of a part.

    Raises UploadRefused for one that cannot be read, unless ``content`` was cut off in it.
    """
    try:
        return await reading
    except BadHttpMessage as error:
        if not content.at_eof():
            _refuse_head(error)
        raise


def _refuse_head(error: BadHttpMessage) -> None:
    if isinstance(error, InvalidHeader):
        text = "A header of a part cannot be read: it holds a NUL or a line's end, or has no name with a colon behind."
        raise UploadRefused("invalid-part-head", text) from None
    if isinstance(error, LineTooLong) or error.message == "Too many headers received":
        text = f"A part has more than {_MAX_LINES} headers, or one of more than {_MAX_LINE_BYTES:,} bytes."
        raise UploadRefused("part-head-too-large", text) from None
