"""The routes of those who run the queues."""

from __future__ import annotations

from functools import partial
from typing import Final

from aiohttp import hdrs

from thumbq.core.token import Scope
from thumbq.web import deadletters, queues
from thumbq.web.queueanswers import (
    Chosen,
    DeadLetterAnswer,
    DeadLettersAnswer,
    DeadLettersQuery,
    QueuePausedAnswer,
    QueuesAnswer,
    SeenToAnswer,
)
from thumbq.web.route import JSON, Body, Route

_STORE: Final = ("backend-bad-answer", "backend-refused", "backend-unavailable")
_BODY: Final = (
    *("incomplete-body", "too-large", "upload-stalled", "upload-too-slow", "busy", "stopping"),
    *("invalid-json", "invalid-member"),
)
_QUEUE: Final = {"queue": "Name of the queue; the only one is called `default`."}
_OUTCOMES: Final = {
    200: ("All that are meant were seen to.", Body(JSON, SeenToAnswer)),
    207: ("Some were; the others say why not.", Body(JSON, SeenToAnswer)),
}

_admin_route = partial(Route, scope=Scope.ADMIN)
_dead_letter_route = partial(_admin_route, parameters=_QUEUE)

QUEUE_ROUTES: Final = (
    _admin_route(
        method=hdrs.METH_GET,
        path="/queues",
        handler=queues.get_queues,
        name="get_queues",
        summary="Get the state of all queues, and what has ended on this replica in the last hour.",
        answers={200: ("The queues.", Body(JSON, QueuesAnswer))},
    ),
    _admin_route(
        method=hdrs.METH_POST,
        path="/queues/{queue}/pause",
        handler=queues.pause_queue,
        name="pause_queue",
        summary="Have no replica receive from a queue; within 20 seconds all know it.",
        parameters=_QUEUE,
        answers={200: ("It is paused, perhaps since before.", Body(JSON, QueuePausedAnswer))},
        problems=(*_STORE, "no-queue"),
    ),
    _admin_route(
        method=hdrs.METH_POST,
        path="/queues/{queue}/resume",
        handler=queues.resume_queue,
        name="resume_queue",
        summary="Have all replicas receive from a queue again; within 20 seconds all know it.",
        parameters=_QUEUE,
        answers={200: ("It is not paused.", Body(JSON, QueuePausedAnswer))},
        problems=(*_STORE, "no-queue"),
    ),
    _dead_letter_route(
        method=hdrs.METH_GET,
        path="/queues/{queue}/dead-letters",
        handler=deadletters.list_dead_letters,
        name="list_dead_letters",
        summary="Get dead letters. SQS counts a receive of each that is looked at, and hides it meanwhile.",
        query=DeadLettersQuery,
        answers={200: ("The dead letters.", Body(JSON, DeadLettersAnswer))},
        problems=(*_STORE, "no-queue", "no-dead-letters", "invalid-query", "busy"),
    ),
    _dead_letter_route(
        method=hdrs.METH_GET,
        path="/queues/{queue}/dead-letters/{id}",
        handler=deadletters.get_dead_letter,
        name="get_dead_letter",
        summary="Get a dead letter with its whole body.",
        parameters={**_QUEUE, "id": "Id of the dead letter."},
        answers={200: ("The dead letter.", Body(JSON, DeadLetterAnswer))},
        problems=(*_STORE, "no-queue", "no-dead-letters", "busy"),
        missing=("no-dead-letter",),
    ),
    _dead_letter_route(
        method=hdrs.METH_POST,
        path="/queues/{queue}/dead-letters/redrive",
        handler=deadletters.redrive_dead_letters,
        name="redrive_dead_letters",
        summary="Send dead letters back to the queue, or say how many that would be.",
        body=Body(JSON, Chosen),
        answers=_OUTCOMES,
        problems=(*_STORE, *_BODY, "no-queue", "no-dead-letters"),
    ),
    _dead_letter_route(
        method=hdrs.METH_POST,
        path="/queues/{queue}/dead-letters/remove",
        handler=deadletters.remove_dead_letters,
        name="remove_dead_letters",
        summary="Remove dead letters for good, or say how many that would be.",
        body=Body(JSON, Chosen),
        answers=_OUTCOMES,
        problems=(*_STORE, *_BODY, "no-queue", "no-dead-letters"),
    ),
)
