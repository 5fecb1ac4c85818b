"""``POST /jobs/{id}/webhook``: the callback of a job that has ended is sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thumbq.core import keys
from thumbq.web.answers import CallbackAnswer, SentCallback
from thumbq.web.jobs import deleted
from thumbq.web.problems import ProblemRaised, not_found, problem_of
from thumbq.web.services import SERVICES, in_time
from thumbq.webhooks.sender import NotCallable

if TYPE_CHECKING:
    from aiohttp import web

    from thumbq.web.services import WebServices


async def send_callback_again(request: web.Request) -> web.Response:
    """Answer the callback's id once its message is in the queue."""
    services = request.app[SERVICES]
    with in_time(services):
        data = SentCallback(webhook_id=await _send(services, request.match_info["id"]))
    return CallbackAnswer(success=True, message="The callback is sent again", data=data).response(202)


async def _send(services: WebServices, job_id: str) -> str:
    state = await services.states.find(job_id, with_original=False, fresh=True) if keys.is_id(job_id) else None
    if state is None:
        raise ProblemRaised(not_found("no-job", "There is no job with this id."))
    if state.deleted:
        raise deleted()
    if services.callbacks is None:
        text = "No callbacks are called here: the settings have no table [webhooks]."
        raise ProblemRaised(problem_of("no-callback", text))
    if state.manifest is None:
        text = f"The job is {state.status}: its callback is sent when it has ended."
        raise ProblemRaised(problem_of("job-not-ended", text))
    try:
        return await services.callbacks.send_again(state.manifest)
    except NotCallable as error:
        raise ProblemRaised(problem_of("no-callback", error.text)) from error
