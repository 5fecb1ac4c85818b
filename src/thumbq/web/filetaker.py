"""Taking the files of one request: each becomes an original and a job, or is refused with its problem."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from thumbq.core.units import MIB
from thumbq.core.uploadoptions import NO_OPTIONS
from thumbq.errors import UploadRefused
from thumbq.intake.keyedupload import KeyedUpload
from thumbq.ports.observing import Uploaded, emit
from thumbq.web import problems
from thumbq.web.problems import HttpProblem, problem_of
from thumbq.web.uploadanswer import Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thumbq.core.uploadoptions import UploadOptions
    from thumbq.intake.keyedupload import Key
    from thumbq.intake.uploads import Accepted
    from thumbq.web.services import WebServices

_PASSING: Final = frozenset({"incomplete-body", "upload-stalled", "upload-too-slow"})
"""Refusals that another try may not meet, besides those with a status of 500 or more."""


class FileTaker:
    """Takes the files of one request in their order, and remembers under its idempotency key what became of them."""

    def __init__(self, services: WebServices, keyed: KeyedUpload | None) -> None:
        self.replayed = False
        self._services = services
        self._keyed = keyed
        self._options = NO_OPTIONS
        self._outage: HttpProblem | None = None
        self._whole = True

    def use(self, options: UploadOptions) -> None:
        """Take all files with these options. Raises UploadRefused for those that cannot be had."""
        self._services.intake.check(options)
        self._options = options

    async def take(self, filename: str | None, content: bytes | HttpProblem) -> Accepted | Refused:
        """Store and queue a file, or say why there is none. Raises KeyNotFree."""
        taken = await self._take_keyed(filename, content)
        if self._keyed is None or not self._keyed.is_replayed:  # that was told before
            emit(Uploaded(taken.problem.code) if isinstance(taken, Refused) else Uploaded(None, taken.size))
        return taken

    async def refuse(self, filename: str | None, problem: HttpProblem) -> Refused:
        """Refuse a file with which the request cannot be read on. Raises KeyNotFree."""
        if _is_passing(problem):
            self._whole = False
        elif self._keyed is not None:
            await self._keyed.look_at(problem.code.encode(), filename=filename, options=self._options)
            self._keyed.refused(problem.code, problem.detail)
        emit(Uploaded(problem.code))
        return Refused(filename, problem)

    async def end(self, *, whole: bool = True) -> None:
        """Record what became of the request. Raises KeyNotFree."""
        if self._keyed is not None:
            await self._keyed.end(whole=whole and self._whole)
            self.replayed = self._whole and self._keyed.is_replayed

    async def _take_keyed(self, filename: str | None, content: bytes | HttpProblem) -> Accepted | Refused:
        if self._keyed is None:
            return await self._take(filename, content)
        looked_at = content.code.encode() if isinstance(content, HttpProblem) else content
        known = await self._keyed.look_at(looked_at, filename=filename, options=self._options)
        if known is not None and known.code is not None:
            content = problem_of(known.code, known.text or "")
        entry = await self._take(filename, content)
        if isinstance(entry, Refused) and not _is_passing(entry.problem):
            self._keyed.refused(entry.problem.code, entry.problem.detail)
        return entry

    async def _take(self, filename: str | None, content: bytes | HttpProblem) -> Accepted | Refused:
        if isinstance(content, HttpProblem):
            return Refused(filename, content)
        if self._outage is not None:
            # While the store or the queue fails, one file's wait for it is enough: the others share its problem.
            return Refused(filename, self._outage)
        accept = self._services.intake.accept if self._keyed is None else self._keyed.accept
        try:
            return await accept(
                content, filename=filename, options=self._options, within_s=self._services.backend_timeout_s
            )
        except problems.EXPLAINED as error:
            problem = problems.explain(error)
            if not isinstance(error, UploadRefused):
                self._outage = problem
            return Refused(filename, problem)


@asynccontextmanager
async def taking_files(services: WebServices, key: Key | None) -> AsyncIterator[FileTaker]:
    """Take the files of a request, under its key if it has one. Raises KeyNotFree at the end too."""
    taker = FileTaker(services, None if key is None else KeyedUpload(key, services.intake))
    try:
        yield taker
    except BaseException:
        await taker.end(whole=False)
        raise
    await taker.end()


def _is_passing(problem: HttpProblem) -> bool:
    return problem.code in _PASSING or problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def too_large(limit: int) -> HttpProblem:
    """Return the problem of a file of more than ``limit`` bytes."""
    return problem_of("too-large", f"The file is larger than {limit / MIB:g} MiB ({limit} bytes).")
