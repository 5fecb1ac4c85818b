"""Seeing to dead letters: those that a request chooses are redriven or removed, and what became of each is told."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import anyio

from thumbq.errors import BackendError
from thumbq.web.jsonbody import read_json, wrong_member
from thumbq.web.problems import ProblemRaised, problem_of
from thumbq.web.queueanswers import Chosen, SeenTo, SeenToAnswer, SeenToLetters
from thumbq.web.queuedesk import DESK
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from aiohttp import web

    from thumbq.web.queueanswers import Status
    from thumbq.web.queuedesk import DeskQueue

    Tell = Callable[[SeenTo], None]
    Ended = tuple[set[str], int | None]
    """The ids that were not found; and about how many dead letters are left, if all were meant."""
    Work = Callable[[DeskQueue, Sequence[str] | None, Tell], Awaitable[Ended]]
    """Sees to the dead letters of a queue with these ids, or to all of them, and tells of each."""

MOST_TOLD: Final = 100
"""How many of all dead letters are told of that were not seen to."""

_EXAMPLE: Final = '{"ids": ["0c1f6b1e-8f5c-4a52-9f0e-5b8f3d7f2f10"]}'
_RETRY_AFTER_S: Final = 5


@asynccontextmanager
async def looking(request: web.Request, queue: DeskQueue) -> AsyncIterator[None]:
    """Look at dead letters, one request at a time, and no longer than a client waits: then the block is cut off.

    Raises ProblemRaised when others look for so long.
    """
    had_its_turn = False
    with anyio.move_on_after(request.app[SERVICES].backend_timeout_s):
        async with queue.looking:
            had_its_turn = True
            try:
                yield
            finally:
                queue.changed()
    if not had_its_turn:
        text = "Somebody else looks at these dead letters. Try again in a moment."
        raise ProblemRaised(problem_of("busy", text, retry_after_s=_RETRY_AFTER_S))


@dataclass(slots=True)
class _Told:
    """What became of the dead letters: how many were seen to, and those to tell of."""

    wanted: Status
    each: bool
    """Whether each is told of, or only what was not seen to."""
    number: int = 0
    letters: dict[str, SeenTo] = field(default_factory=dict)

    def __call__(self, letter: SeenTo) -> None:
        self.number += letter.status == self.wanted
        if self.each or (letter.status != self.wanted and len(self.letters) < MOST_TOLD):
            self.letters[letter.id] = letter


async def see_to(request: web.Request, wanted: Status, work: Work) -> web.Response:
    """Answer what became of the dead letters that a request chooses; ``wanted`` is what should."""
    queue = request.app[DESK].queue_with_dead_letters(request)
    chosen = await read_json(request, Chosen, example=_EXAMPLE)
    if chosen.all == (chosen.ids is not None):
        raise wrong_member("all", "either it is true, or ids has the dead letters that are meant")
    ids = None if chosen.ids is None else list(dict.fromkeys(chosen.ids))
    told = _Told(wanted, each=ids is not None)
    if chosen.dry_run:
        told.number = (await queue.counts()).dead if ids is None else len(ids)
        return _answer(request, queue, told, left=None if ids else told.number, dry_run=True)
    missing: set[str] = set()
    left: int | None = None
    cut_off = True
    try:
        async with looking(request, queue):
            missing, left = await work(queue, ids, told)
            cut_off = False
    except BackendError:
        if not told.number:
            raise
    for name in ids or ():
        if name in missing or (cut_off and name not in told.letters):
            told(seen_to(name, "missing" if name in missing else "not-tried"))
    if cut_off and ids is None:
        with suppress(BackendError):
            left = (await queue.counts()).dead
    return _answer(request, queue, told, left=left, dry_run=False)


def seen_to(dead_letter_id: str, status: Status, *, message_id: str | None = None, error: str | None = None) -> SeenTo:
    """Return what became of a dead letter; what there is none of is left out."""
    given = {"message_id": message_id, "error": error}
    known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return SeenTo(id=dead_letter_id, status=status, **known)


def _answer(request: web.Request, queue: DeskQueue, told: _Told, *, left: int | None, dry_run: bool) -> web.Response:
    letters = list(told.letters.values())
    success = all(letter.status == told.wanted for letter in letters)
    data = SeenToLetters(
        replica=request.app[DESK].replica,
        queue=queue.label,
        dry_run=dry_run,
        number=told.number,
        letters=letters,
        left=left,
    )
    message = f"{told.number} dead letters {'would be ' if dry_run else ''}{told.wanted}"
    status = HTTPStatus.OK if success else HTTPStatus.MULTI_STATUS
    return SeenToAnswer(success=success, message=message, data=data).response(status)
