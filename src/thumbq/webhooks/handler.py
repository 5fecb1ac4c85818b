"""The handler of callbacks: a delivery in, a call, a disposition out."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog

from thumbq.core import callbackmessage, callbackretry, retry
from thumbq.core.callbackrules import DEFAULT_PORTS
from thumbq.core.manifest import Manifest
from thumbq.core.retry import Bury, Delete, Release
from thumbq.errors import BackendError, MalformedMessage, NotReached, ObjectMissing
from thumbq.jobs.delivery import Delivery
from thumbq.jobs.fencing import LeaseLost
from thumbq.jobs.groups import positions
from thumbq.jobs.handler import BUG_DELAY_S
from thumbq.manifests import manifest_ref
from thumbq.ports.observing import Attempted, Told, emit
from thumbq.webhooks.endpoints import Endpoints

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from thumbq.core.callbackmessage import Callback
    from thumbq.core.callbackrules import CallbackRules
    from thumbq.jobs.resources import JobResources
    from thumbq.jobs.stopping import StopRequest
    from thumbq.ports import ReceivedMessage, WebhookCaller
    from thumbq.ports.observing import Ending
    from thumbq.webhooks.endpoints import Turn
    from thumbq.webhooks.signing import Signer

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_BUSY_DELAY_S: Final = 60.0
"""How long a callback is put off at the most for which an endpoint that takes others has no turn."""

_MOST_PUT_OFF: Final = 10_000


class CallbackHandler:
    """Calls what the messages of the webhooks queue say, each time with another time-stamp and a new signature."""

    def __init__(
        self, resources: JobResources, *, caller: WebhookCaller, rules: CallbackRules, signer: Signer, random: Random
    ) -> None:
        self._store = resources.store
        self._health = resources.health
        self._clock = resources.clock
        self._caller = caller
        self._rules = rules
        self._signer = signer
        self._random = random
        self._endpoints = Endpoints()
        self._put_off: OrderedDict[str, int] = OrderedDict()

    def deliveries(self, messages: Sequence[ReceivedMessage], stop: StopRequest) -> list[Delivery]:
        """Return the deliveries of one receive's messages."""
        return [
            Delivery(message, last_receive=False, position=position, stop=stop)
            for message, position in zip(messages, positions(messages, fifo=False), strict=True)
        ]

    async def handle(self, delivery: Delivery) -> Delete | Release | Bury:
        """Make one call, when the endpoint has a turn for it. Never raises for what goes wrong with it."""
        message = delivery.message
        try:
            disposition = await self._handle(delivery)
        except MalformedMessage as error:
            disposition = Bury(error.code, error.text)
            self._tell(message, disposition)
        except LeaseLost:
            disposition = Release()
        except BackendError as error:
            self._health.failed()
            disposition = Release(retry.backoff_s(message.receive_count, self._random.random()))
            self._note_put_off(message)
            log.warning("callback.put_off", reason=str(error), delay_s=round(disposition.delay_s, 1))
        except Exception:  # a bug over one callback must not cancel the others: it is logged whole
            log.exception("callback.bug")
            return Release(BUG_DELAY_S)
        if not isinstance(disposition, Release):
            self._put_off.pop(message.id, None)
        return disposition

    async def _handle(self, delivery: Delivery) -> Delete | Release | Bury:
        callback = callbackmessage.decode(delivery.message.body)
        endpoint = _endpoint(callback.url)
        pattern = self._rules.pattern(callback.url) or endpoint
        structlog.contextvars.bind_contextvars(webhook_id=callback.id, endpoint=endpoint)
        del callback  # many may wait, and what was read of a message takes several times as much as the message
        turn: Turn | None = None
        with delivery.interruptible() as waiting:
            turn = await self._endpoints.take_turn(endpoint, pattern)
        if waiting.cancelled_caught:
            self._note_put_off(delivery.message)
            return Release()
        if turn is None:
            return self._busy(delivery.message, endpoint)
        try:
            return await self._call(delivery.message, turn)
        finally:
            self._endpoints.end_turn(turn)

    def _busy(self, message: ReceivedMessage, endpoint: str) -> Release:
        """Put a callback off that no call was made for; this does not count among its calls."""
        delay_s = callbackretry.delay_s(message.receive_count, self._random.random())
        if self._endpoints.takes(endpoint):
            delay_s = min(delay_s, _BUSY_DELAY_S)
        self._note_put_off(message)
        log.debug("callback.put_off", reason="too many wait for this endpoint", delay_s=round(delay_s, 1))
        return Release(delay_s)

    async def _call(self, message: ReceivedMessage, turn: Turn) -> Delete | Release | Bury:
        callback = callbackmessage.decode(message.body)
        if (reason := self._rules.refusal(callback.url)) is not None:
            refused = Bury("callback-not-allowed", reason)
            self._tell(message, refused)
            return refused
        if not await self._is_there(callback):
            log.info("callback.dropped", reason="its job was deleted")
            return Delete()
        calls = max(1, message.receive_count - self._put_off.get(message.id, 0))
        content, jitter = callback.content(), self._random.random()
        headers = self._signer.headers(callback.id, content, now=self._clock.wall())
        disposition: Delete | Release | Bury
        began = self._clock.monotonic()
        try:
            answer = await self._caller.call(callback.url, headers=headers, body=content)
        except NotReached as error:
            disposition = callbackretry.after_no_answer(error.reason, calls=calls, jitter=jitter)
            self._endpoints.note(turn, answered=False, took=False)
            _report(disposition, calls, error.reason)
        else:
            disposition = callbackretry.after_answer(answer.status, answer.retry_after_s, calls=calls, jitter=jitter)
            self._endpoints.note(turn, answered=True, took=isinstance(disposition, Delete))
            _report(disposition, calls, f"status {answer.status}")
        self._tell(message, disposition, call_s=self._clock.monotonic() - began)
        return disposition

    async def _is_there(self, callback: Callback) -> bool:
        """Whether the job has not been deleted. Raises BackendError."""
        there = True
        try:
            _, raw = await self._store.get(manifest_ref(callback.original), max_bytes=Manifest.MAX_BYTES)
            manifest = Manifest.decode(raw)  # None when another version of thumbq has written it
            there = manifest is None or manifest.status != "deleted"
        except ObjectMissing:
            there = False
        self._health.answered()
        return there

    def _tell(self, message: ReceivedMessage, disposition: Delete | Release | Bury, *, call_s: float = 0.0) -> None:
        """Tell the observers of a call that was made, or of a callback that will never be."""
        ending: Ending = "retried" if isinstance(disposition, Release) else "done"
        if isinstance(disposition, Bury):
            ending = "failed"
        now, sent_at = self._clock.wall(), message.sent_at
        attempt = Attempted(
            callbackmessage.QUEUE,
            ending,
            ended_at=now,
            sent_at=sent_at,
            code=disposition.code if isinstance(disposition, Bury) else None,
            wait_s=max(now - call_s - sent_at, 0.0) if ending == "done" and sent_at is not None else None,
            work_s=call_s or None,
        )
        emit(attempt)

    def _note_put_off(self, message: ReceivedMessage) -> None:
        """Note a receive that led to no call; what was forgotten of very many counts as calls."""
        self._put_off[message.id] = self._put_off.pop(message.id, 0) + 1
        if len(self._put_off) > _MOST_PUT_OFF:
            self._put_off.popitem(last=False)


def _endpoint(url: str) -> str:
    """Return host and port of a URL, as its turns are counted."""
    parts = urlsplit(url)
    return f"{(parts.hostname or '').removesuffix('.')}:{parts.port or DEFAULT_PORTS[parts.scheme]}"


def _report(disposition: Delete | Release | Bury, calls: int, what: str) -> None:
    if isinstance(disposition, Delete):
        emit(Told("callback", "done", calls))
        log.info("callback.done", calls=calls, answer=what)
    elif isinstance(disposition, Release):
        emit(Told("callback", "failed", calls))
        log.warning("callback.failed", calls=calls, reason=what, delay_s=round(disposition.delay_s, 1))
    else:
        emit(Told("callback", "given-up", calls))
        log.warning("callback.given_up", calls=calls, reason=disposition.text)
