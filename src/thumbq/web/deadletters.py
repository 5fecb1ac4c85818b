"""``/queues/{queue}/dead-letters``: on request only, since SQS hides what is looked at, and counts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from thumbq.core import keys
from thumbq.deadletters import show
from thumbq.deadletters.purge import NO_CODE, Choice, remove
from thumbq.deadletters.redrive import redrive_each, redrive_some
from thumbq.web.problems import ProblemRaised, not_found, problem_of
from thumbq.web.queries import query_of
from thumbq.web.queueanswers import (
    DeadLetter,
    DeadLetterAnswer,
    DeadLetters,
    DeadLettersAnswer,
    DeadLettersQuery,
    OneDeadLetter,
)
from thumbq.web.queuedesk import DESK
from thumbq.web.queues import timestamp
from thumbq.web.seeingto import looking, see_to, seen_to
from thumbq.web.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from thumbq.core.links import Links
    from thumbq.deadletters.parsing import ParsedDeadLetter
    from thumbq.deadletters.redrive import Redriven
    from thumbq.errors import BackendError
    from thumbq.web.queueanswers import Status
    from thumbq.web.queuedesk import DeskQueue
    from thumbq.web.seeingto import Ended, Tell

MOST_LOOKED_AT: Final = 10_000
"""How many dead letters one look goes through at the most."""

BODY_CHARS: Final = 2000
"""How much of a body a list has."""


async def list_dead_letters(request: web.Request) -> web.Response:
    """Answer dead letters, and give all that were looked at back."""
    desk, services = request.app[DESK], request.app[SERVICES]
    queue, query = desk.queue_with_dead_letters(request), _query(request)
    found: list[DeadLetter] = []
    looked_at = 0

    def take(parsed: ParsedDeadLetter) -> bool:
        nonlocal looked_at
        looked_at += 1
        if not query.code or (parsed.note.code if parsed.note else NO_CODE) in query.code:
            found.append(_letter(parsed, services.links, most=BODY_CHARS))
        return len(found) < query.limit

    others: int | None = None
    async with looking(request, queue):
        others = (await show.show_all(queue.backend, queue.dead_letters, limit=MOST_LOOKED_AT, report=take)).others
    data = DeadLetters(
        replica=desk.replica,
        queue=queue.label,
        letters=found,
        looked_at=looked_at,
        others=others,
    )
    return DeadLettersAnswer(success=True, message=f"{len(found)} dead letters", data=data).response()


async def get_dead_letter(request: web.Request) -> web.Response:
    """Answer one dead letter with its whole body."""
    desk, services = request.app[DESK], request.app[SERVICES]
    queue, name = desk.queue_with_dead_letters(request), request.match_info["id"]
    found: list[DeadLetter] = []

    def take(parsed: ParsedDeadLetter, incomplete: BackendError | None) -> None:
        letter = _letter(parsed, services.links, most=None)
        found.append(letter.model_copy(update={"body_cut": incomplete is not None}))

    async with looking(request, queue):
        await show.show(queue.backend, queue.dead_letters, [name], report=take)
    if not found:
        text = "There is no such dead letter, or another reader holds it for now: try again in a minute."
        raise ProblemRaised(not_found("no-dead-letter", text))
    data = OneDeadLetter(replica=desk.replica, queue=queue.label, letter=found[0])
    return DeadLetterAnswer(success=True, message=found[0].reason, data=data).response()


async def redrive_dead_letters(request: web.Request) -> web.Response:
    """Send dead letters back to the queue; each is sent first and removed after."""

    async def work(queue: DeskQueue, ids: Sequence[str] | None, tell: Tell) -> Ended:
        def report(result: Redriven) -> None:
            status: Status = "redriven" if result.error is None else "failed"
            tell(seen_to(result.dead_letter_id, status, message_id=result.message_id, error=result.error))

        if ids is None:
            return set(), await redrive_each(queue.backend, queue.dead_letters, rate=None, report=report)
        return await redrive_some(queue.backend, queue.dead_letters, ids, rate=None, report=report), None

    return await see_to(request, "redriven", work)


async def remove_dead_letters(request: web.Request) -> web.Response:
    """Remove dead letters for good."""

    async def work(queue: DeskQueue, ids: Sequence[str] | None, tell: Tell) -> Ended:
        def report(parsed: ParsedDeadLetter, error: str | None) -> None:
            tell(seen_to(parsed.received.id, "removed" if error is None else "failed", error=error))

        looked = await remove(queue.backend, queue.dead_letters, Choice(frozenset(ids or ())), report=report)
        return looked.missing, None if ids else looked.others

    return await see_to(request, "removed", work)


def _query(request: web.Request) -> DeadLettersQuery:
    asked = query_of(request)
    given = {name: asked[name] for name in ("limit",) if name in asked}
    try:
        return DeadLettersQuery.model_validate({"code": tuple(asked.getall("code", ())), **given})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        text = f"The query is wrong: {fault['loc'][0]}: {fault['msg']}."
        raise ProblemRaised(problem_of("invalid-query", text)) from None


def _letter(parsed: ParsedDeadLetter, links: Links, *, most: int | None) -> DeadLetter:
    """Return a dead letter as it is shown, with ``most`` characters of its body."""
    received, note = parsed.received, parsed.note
    sources = parsed.sources
    upload_id = keys.upload_id(sources[0].key) if sources else None
    whole = note is None or note.body_bytes is None
    return DeadLetter(
        id=received.id,
        code=None if note is None else note.code,
        reason=parsed.reason,
        sent_at=None if received.sent_at is None else timestamp(received.sent_at),
        receive_count=parsed.receive_count,
        message_id=None if note is None else note.message_id,
        keys=[source.key for source in sources],
        original=None if upload_id is None else links.original(upload_id),
        job=None if upload_id is None else links.job(upload_id),
        body=parsed.body[:most],
        body_cut=not whole or (most is not None and len(parsed.body) > most),
    )
