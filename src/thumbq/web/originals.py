"""``GET /originals/{id}``: an original as it was uploaded, for those who look at all jobs.

It is a stranger's file: a browser shows it as a picture of the format that its first bytes announce, or saves it, and
runs nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import anyio
from aiohttp import hdrs, web

from thumbq.core import filenames
from thumbq.core.formats import sniff
from thumbq.core.job import ObjectRef
from thumbq.errors import ObjectMissing, ObjectTooLarge
from thumbq.web.jobs import job_id_of, no_job
from thumbq.web.problems import ProblemRaised, not_found, problem_of
from thumbq.web.services import SERVICES, in_time

if TYPE_CHECKING:
    from thumbq.ports import ObjectInfo

AT_ONCE: Final = 2
SENT_WITHIN_S: Final = 60.0
_RETRY_AFTER_S: Final = 1


class OriginalsInMemory:
    """How many originals are in memory on their way to clients, each no longer than SENT_WITHIN_S."""

    def __init__(self) -> None:
        self.number = 0

    def __enter__(self) -> None:
        """Count one more. Raises ProblemRaised when there are AT_ONCE."""
        if self.number >= AT_ONCE:
            text = "Other originals are on their way. Try again in a moment."
            raise ProblemRaised(problem_of("busy", text, retry_after_s=_RETRY_AFTER_S))
        self.number += 1

    def __exit__(self, *_: object) -> None:
        """Count one less."""
        self.number -= 1


ORIGINALS: Final = web.AppKey("originals", OriginalsInMemory)


async def get_original(request: web.Request) -> web.StreamResponse:
    """Answer the original of a job, if it is no larger than an upload may be."""
    services, job_id = request.app[SERVICES], job_id_of(request)
    with request.app[ORIGINALS]:
        with in_time(services):
            state = await services.states.find(job_id, with_original=False)
            if state is None:
                raise no_job()
            ref = ObjectRef(services.backend.bucket, state.key)
            try:
                info, body = await services.backend.store.get(ref, max_bytes=services.limits.max_file_bytes)
            except ObjectMissing:
                raise ProblemRaised(not_found("no-original", "The original is not in the store.")) from None
            except ObjectTooLarge:
                text = "The original is larger than an upload may be: get it from the store."
                raise ProblemRaised(problem_of("too-large", text)) from None
        response = web.StreamResponse(headers=_headers(info, body, replaceable=state.replaceable))
        with anyio.move_on_after(SENT_WITHIN_S) as bound:
            await response.prepare(request)
            if request.method != hdrs.METH_HEAD:
                await response.write(body)
            await response.write_eof()
        if bound.cancelled_caught and request.transport is not None:
            request.transport.abort()
        return response


def _headers(info: ObjectInfo, body: bytes, *, replaceable: bool) -> dict[str, Any]:
    known = sniff(body)
    name = filenames.decode(info.metadata)
    named = "" if name is None else f"; filename*=UTF-8''{quote(name, safe='')}"
    return {
        hdrs.CONTENT_TYPE: "application/octet-stream" if known is None else known.content_type,
        hdrs.CONTENT_LENGTH: str(len(body)),
        hdrs.CONTENT_DISPOSITION: ("attachment" if known is None else "inline") + named,
        hdrs.CACHE_CONTROL: "private, no-cache" if replaceable else "private, max-age=31536000, immutable",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
