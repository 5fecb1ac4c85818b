"""A process behind two pipes, where there can be no executor: AWS Lambda has no /dev/shm, and so no semaphores.

Calls go to the process as pickles. Answers are JSON of a bounded length, and are checked: see replies.py.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from thumbq.errors import Problem
from thumbq.pool.replies import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext

T = TypeVar("T", bound=Problem | None)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The result of a call in the process; ``error`` is the text of what it raised."""

    problem: Problem | None = None
    error: str | None = None


_ANSWER: Final = TypeAdapter[_Answer](_Answer)


def semaphores_exist() -> bool:
    """Whether this system gives out the semaphores that an executor needs: glibc's are files in /dev/shm."""
    try:
        # Of this context, since such a lock is known to no resource tracker.
        multiprocessing.get_context("fork").Lock()
    except (ImportError, OSError):
        return False
    return True


class PipeExecutor:
    """One process that does one call after the other: as much of a ProcessPoolExecutor as ProcessHandle needs.

    The process starts at once. A thread writes the calls and waits for the answers, so that a process that is stopped
    holds up nobody else.
    """

    def __init__(
        self, *, mp_context: BaseContext, initializer: Callable[..., object], initargs: tuple[Any, ...]
    ) -> None:
        calls_to, self._calls = mp_context.Pipe(duplex=False)
        self._answers, answers_to = mp_context.Pipe(duplex=False)
        self._thread = ThreadPoolExecutor(1)
        with calls_to, answers_to:
            self._process: Any = mp_context.Process(  # type: ignore[attr-defined]  # typeshed has it in the subclasses only
                target=serve, args=(calls_to, answers_to, initializer, initargs)
            )
            self._process.start()
        # At a program's end multiprocessing waits for processes that are not shut down; this one then ends by itself.
        atexit.register(self._calls.close)

    def submit(self, function: Callable[..., T], /, *arguments: Any) -> Future[T]:
        """Call a function in the process; the future raises BrokenProcessPool when it has ended or answers nonsense.

        Raises RuntimeError after ``shutdown``.
        """
        return self._thread.submit(self._ask, function, arguments)

    def shutdown(self) -> None:
        """Wait for the end of the process, which must have been killed, and free everything."""
        self._thread.shutdown()
        atexit.unregister(self._calls.close)
        self._calls.close()
        self._answers.close()
        self._process.join()

    def _ask(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        try:
            self._calls.send((function, arguments))
            answer = _ANSWER.validate_json(self._answers.recv_bytes(MAX_BYTES))
        except (EOFError, OSError, ValidationError) as error:
            raise BrokenProcessPool("the process is gone, or its answer makes no sense") from error
        if answer.error is not None:
            raise RuntimeError(answer.error)
        return answer.problem


def serve(
    calls: Connection, answers: Connection, initializer: Callable[..., object], initargs: tuple[Any, ...]
) -> None:
    """Do calls in the process until the parent hangs up."""
    initializer(*initargs)
    while True:
        try:
            function, arguments = calls.recv()
        except EOFError:
            return
        answers.send_bytes(
            json.dumps(asdict(_answer(function, arguments)), ensure_ascii=False).encode(errors="replace")
        )


def _answer(function: Callable[..., Problem | None], arguments: tuple[Any, ...]) -> _Answer:
    try:
        return _Answer(problem=function(*arguments))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        return _Answer(error=str(error) or type(error).__name__)
