"""Taking the files of one request: each becomes an original and a job, or is refused with its problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core.units import MIB
from thumbq.core.uploadoptions import NO_OPTIONS
from thumbq.errors import UploadRefused
from thumbq.ports.observing import Uploaded, emit
from thumbq.web import problems
from thumbq.web.problems import HttpProblem, problem_of
from thumbq.web.uploadanswer import Refused

if TYPE_CHECKING:
    from thumbq.core.uploadoptions import UploadOptions
    from thumbq.intake.uploads import Accepted
    from thumbq.web.services import WebServices


class FileTaker:
    """Takes the files of one request in their order."""

    def __init__(self, services: WebServices) -> None:
        self._services = services
        self._options = NO_OPTIONS
        self._outage: HttpProblem | None = None

    def use(self, options: UploadOptions) -> None:
        """Take all files with these options. Raises UploadRefused for those that cannot be had."""
        self._services.intake.check(options)
        self._options = options

    async def take(self, filename: str | None, content: bytes | HttpProblem) -> Accepted | Refused:
        """Store and queue a file, or say why there is none."""
        taken = await self._take(filename, content)
        emit(Uploaded(taken.problem.code) if isinstance(taken, Refused) else Uploaded(None, taken.size))
        return taken

    async def _take(self, filename: str | None, content: bytes | HttpProblem) -> Accepted | Refused:
        if isinstance(content, HttpProblem):
            return Refused(filename, content)
        if self._outage is not None:
            # While the store or the queue fails, one file's wait for it is enough: the others share its problem.
            return Refused(filename, self._outage)
        try:
            return await self._services.intake.accept(
                content, filename=filename, options=self._options, within_s=self._services.backend_timeout_s
            )
        except problems.EXPLAINED as error:
            problem = problems.explain(error)
            if not isinstance(error, UploadRefused):
                self._outage = problem
            return Refused(filename, problem)


def too_large(limit: int) -> HttpProblem:
    """Return the problem of a file of more than ``limit`` bytes."""
    return problem_of("too-large", f"The file is larger than {limit / MIB:g} MiB ({limit} bytes).")
