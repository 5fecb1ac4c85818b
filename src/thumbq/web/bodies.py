"""Waiting for the body of a request: a client that stalls or a body that breaks ends with a problem."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from thumbq.errors import UploadRefused
from thumbq.web.services import SERVICES, UPLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator

# What aiohttp raises when a body ends early or is no multipart: the reader's own complaints, a connection that went
# away, and faults of chunking or compression.
_BROKEN: Final = (ValueError, ConnectionError, web.RequestPayloadError, HttpProcessingError)


@contextmanager
def reading(request: web.Request, *, what: str, if_broken: str) -> Iterator[None]:
    """Wait for bytes of a request's body, which is called ``what``, and no longer than the limits allow.

    Raises UploadRefused with the code ``upload-stalled``, or with that of ``unbroken``, and ProblemRaised when the
    service stops.
    """
    stall_s = request.app[SERVICES].limits.stall_timeout_s
    try:
        with unbroken(if_broken), request.app[UPLOADS].waiting(at_most_s=stall_s):
            yield
    except TimeoutError:
        text = f"No byte of the {what} came for {stall_s:g} seconds."
        raise UploadRefused("upload-stalled", text) from None


@contextmanager
def unbroken(if_broken: str) -> Iterator[None]:
    """Raise UploadRefused with the code ``incomplete-body`` and this text for a body that aiohttp cannot read."""
    try:
        yield
    except _BROKEN:
        raise UploadRefused("incomplete-body", if_broken) from None
